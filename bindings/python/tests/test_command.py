"""The installed command is the command line."""

from __future__ import annotations

import subprocess
import sys

import chanscope


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "chanscope", *arguments], capture_output=True, text=True)


def test_version_is_the_packages():
    assert run("--version").stdout == f"chanscope {chanscope.__version__}\n"


def test_wrong_usage_is_one_line_and_exit_code_2():
    done = run("redundancy", "--no-such-option")
    assert done.returncode == 2
    assert done.stderr.startswith("chanscope: ") and done.stderr.count("\n") == 1
