"""Every option of the command line is an argument of the function of its name, or stands here with the reason why not."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import chanscope as cs

ROOT = Path(__file__).resolve().parents[3]

#: The functions of the same names as commands.
FUNCTIONS = {
    "ablate": cs.ablate,
    "compare": cs.compare,
    "devices": cs.devices,
    "filters": cs.filters,
    "impulse": cs.impulse,
    "inspect": cs.inspect,
    "merge": cs.merge,
    "plan": cs.plan,
    "rank": cs.rank,
    "redundancy": cs.redundancy,
    "report": cs.report,
    "run": cs.run,
    "shuffle": cs.shuffle,
    "status": cs.status,
    "work": cs.work,
}
#: Commands that measure no input of the user's.
COMMANDS_ONLY = {"bench", "demo", "help"}

#: Arguments of other names, by option.
RENAMED = {
    "--labels": "y",
    "--nan": "non_finite",
    "--no-baselines": "baselines",
    "--no-estimate": "estimate",
    "--no-supports": "supports",
    "--quiet": "progress",
    "--ranking": "given",
}

_NOTHING_RANDOM = "nothing is drawn at random"
_RETURNED = "the results are returned, and have a method `save(folder, force=...)`"
_NO_LONG_CALL = "the call takes no time worth a progress bar"
_READS_A_FOLDER = "nothing is computed and little memory is needed"
_IN_FOLDER = "the folder is the first argument, as on the command line"

#: Options that are no arguments on purpose.
LEFT_OUT: dict[str, dict[str, str]] = {
    "ablate": {},
    "compare": {"--seed": _NOTHING_RANDOM},
    "devices": {
        "--device": "all devices are listed",
        "--memory": _READS_A_FOLDER,
        "--out": "nothing is written",
        "--force": "nothing is written",
        "--seed": _NOTHING_RANDOM,
        "--quiet": _NO_LONG_CALL,
    },
    "filters": {
        "--seed": "it draws the filters of `--study` only",
        "--study": "the paper's experiment, which measures no input of the user's",
    },
    "impulse": {"--seed": _NOTHING_RANDOM},
    "inspect": {
        "--size": "models (.onnx) are not inspected, only activations",
        "--layout": "models (.onnx) are not inspected, only activations",
        "--out": "nothing is written",
        "--force": "nothing is written",
        "--seed": _NOTHING_RANDOM,
    },
    "merge": {
        "--device": "sums are added up on the host",
        "--out": _IN_FOLDER,
        "--force": _IN_FOLDER,
        "--seed": "it is part of the plan",
        "--quiet": _NO_LONG_CALL,
    },
    "plan": {},
    "rank": {
        "--out": _RETURNED,
        "--force": _RETURNED,
        "--seed": _NOTHING_RANDOM,
    },
    "redundancy": {
        "--units": "`plan(units=...)`, `work` and `merge` are the run in units",
        "--keep-units": "`merge(keep_units=...)`, after `plan` and `work`",
    },
    "report": {
        "--device": _READS_A_FOLDER,
        "--memory": _READS_A_FOLDER,
        "--threads": _READS_A_FOLDER,
        "--out": _IN_FOLDER,
        "--force": _IN_FOLDER,
        "--seed": _NOTHING_RANDOM,
        "--quiet": _NO_LONG_CALL,
    },
    "run": {
        "--out": "`dump` is the folder, as it is on the command line, which refuses `--out`",
        "--seed": _NOTHING_RANDOM,
    },
    "shuffle": {},
    "status": {
        "--device": _READS_A_FOLDER,
        "--memory": _READS_A_FOLDER,
        "--threads": _READS_A_FOLDER,
        "--out": _IN_FOLDER,
        "--force": _IN_FOLDER,
        "--seed": _NOTHING_RANDOM,
        "--quiet": _NO_LONG_CALL,
    },
    "work": {"--out": _IN_FOLDER, "--force": _IN_FOLDER, "--seed": "it is part of the plan"},
}
#: Of every command: what it is asked about itself, and how its results are printed.
OF_THE_COMMAND = {"--help", "--version", "--json"}


def help_of(*command: str) -> str:
    run = [sys.executable, "-m", "chanscope", *command, "--help"]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout


def options_of(command: str) -> set[str]:
    """The options in the help of a command, by their long names where they have one."""
    # Lines that go on with an explanation are indented further.
    lines = re.findall(r"^ {2,6}(-\w)?(?:, )?(--[a-z-]+)?(?: <[^>]*>(?:\.\.\.)?)?(?: |$)", help_of(command), re.MULTILINE)
    found = {long or short for short, long in lines if long or short}
    assert OF_THE_COMMAND <= found, found
    return found - OF_THE_COMMAND


def argument(option: str) -> str:
    return RENAMED.get(option, option.lstrip("-").replace("-", "_"))


def test_every_command_is_a_function():
    listed = re.findall(r"^  ([a-z]+)  ", help_of().partition("Commands:")[2], re.MULTILINE)
    assert "redundancy" in listed and set(listed) == FUNCTIONS.keys() | COMMANDS_ONLY
    assert FUNCTIONS.keys() == LEFT_OUT.keys()


@pytest.mark.parametrize("command", FUNCTIONS)
def test_every_option_is_an_argument(command):
    options, left_out = options_of(command), LEFT_OUT[command]
    arguments = inspect.signature(FUNCTIONS[command]).parameters
    missing = {option for option in options if argument(option) not in arguments}
    assert missing == left_out.keys(), "give the function an argument, or say in LEFT_OUT why it has none"
    assert left_out.keys() <= options and all(left_out.values())


def test_help_is_read_to_its_end():
    found = options_of("redundancy")
    assert {"-k", "--labels", "--images", "--strongest", "--no-supports", "--keep-units", "--quiet"} <= found
    used = {option for command in FUNCTIONS for option in options_of(command)}
    assert RENAMED.keys() <= used


def pairs(path: str, table: str) -> dict[str, str]:
    """A table of pairs of names in a source of Rust."""
    text = (ROOT / path).read_text(encoding="utf-8")
    body = text.partition(f"const {table}: &[(&str, &str)] = &[")[2].partition("];")[0]
    return dict(re.findall(r'\("([^"]+)", "([^"]+)"\)', body))


def test_messages_name_the_arguments():
    """The library refuses parameters by names of its own. What a message calls them in Python is an argument of the
    functions whose commands have that option."""
    options, names = pairs("src/cli/error.rs", "FLAGS"), pairs("bindings/python/src/error.rs", "ARGUMENTS")
    assert len(options) > 20 and names["image_size"] == "size"
    for parameter, option in options.items():
        assert names.get(parameter, parameter) == argument(option), parameter
    everywhere = {name for f in FUNCTIONS.values() for name in inspect.signature(f).parameters}
    assert set(names.values()) <= everywhere
