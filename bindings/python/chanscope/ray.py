"""A redundancy run on a Ray cluster: a task for each unit of a planned run (docs/large-dumps.md).

Needs Ray: ``pip install 'chanscope[ray]'``. Files are the protocol. A task is given the name of a folder and the number of a
unit, and writes what it finds into the folder. Results are those of one process, to the byte, apart from the times.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import ray

from . import _call
from ._errors import Error, FileError, UsageError
from ._load import load

__all__ = ["redundancy", "work"]

_VALUES = {"k": "-k", "kernel": "--kernel", "sigma": "--sigma", "identical": "--identical", "queries": "--queries"}
_VALUES |= {"seed": "--seed"}
_FLAGS = {"aggregate": "--aggregate", "save_graph": "--save-graph", "skip_unreadable": "--skip-unreadable"}


def redundancy(
    dump: str | os.PathLike[str] | list[str | os.PathLike[str]],
    y: str | os.PathLike[str] | None = None,
    *,
    out: str | os.PathLike[str],
    units: int | None = None,
    num_cpus: int = 1,
    num_gpus: int = 0,
    max_retries: int = 3,
    device: str | None = None,
    memory: int | str | None = None,
    progress: _call.Progress | bool | None = None,
    force: bool = False,
    keep_units: bool = False,
    **options: Any,
) -> Any:
    """Measures how redundant the channels of a dump are, as :func:`chanscope.redundancy` does, on a Ray cluster.

    >>> r = cs.ray.redundancy("/shared/dump", out="/shared/run", num_gpus=1, aggregate=True)

    Parameters
    ----------
    dump, y
        A file or folder, or several, on a file system that all nodes share; and optionally a file of labels.
    out
        Folder for the run and its results, on such a file system as well.
    units
        Number of units that each stage is cut into, about. Default: four for each task that runs at a time.
    num_cpus, num_gpus
        What Ray reserves for a task. A task has as many threads as CPUs.
    max_retries
        How often a unit is tried again whose worker died.
    device, memory
        Of each task. Default: ``"gpu"`` with `num_gpus`, else ``"cpu"``; and half of the free memory of its node, divided by
        the tasks that the node can run at a time.
    progress
        None (a tqdm bar where somebody sees it), False, or a function of (stage, done, total).
    force, keep_units
        Whether earlier results are replaced, and whether the files of units are kept after they were merged.
    options
        Other options of :func:`chanscope.redundancy`, such as ``k``, ``kernel`` and ``channels``.

    Returns the results in `out`. If it is interrupted, :func:`work` goes on.
    """
    folder, dumps = _absolute("out", out), dump if isinstance(dump, (list, tuple)) else [dump]
    arguments = [*(_absolute("dump", d) for d in dumps), "--out", folder, *_arguments(options)]
    if y is not None:
        arguments += ["--labels", _absolute("y", y)]
    if _call.boolean("force", force):
        arguments.append("--force")
    _start()
    count = 4 * _slots(num_cpus, num_gpus) if units is None else _call.integer("units", units, least=1)
    _command(["plan", *arguments, "--units", str(count), "--device", "cpu"])
    return work(
        folder,
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        max_retries=max_retries,
        device=device,
        memory=memory,
        progress=progress,
        keep_units=keep_units,
    )


def work(
    out: str | os.PathLike[str],
    *,
    num_cpus: int = 1,
    num_gpus: int = 0,
    max_retries: int = 3,
    device: str | None = None,
    memory: int | str | None = None,
    progress: _call.Progress | bool | None = None,
    keep_units: bool = False,
) -> Any:
    """Computes the units that a planned or interrupted run in `out` lacks, and merges them. Arguments as in `redundancy`."""
    folder = _absolute("out", out)
    settings = _call.settings(memory=memory, progress=progress)
    _start()
    slots = _slots(num_cpus, num_gpus)
    chosen = {
        "device": device or ("gpu" if num_gpus else "cpu"),
        "memory": settings["memory"],
        "threads": max(1, int(num_cpus)),
        "share": max(1, -(-slots // max(1, len(_nodes())))),
    }
    task = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=_call.integer("max_retries", max_retries))(
        _unit
    )
    try:
        for stage in ("graphs", "overlap"):
            found = _command(["status", folder])
            if found["finished"]:
                break
            wanted = {*found["missing"], *(damage["unit"] for damage in found["damaged"])}
            last = range(found["graphs"]) if stage == "graphs" else range(found["graphs"], found["units"])
            pending = sorted(wanted.intersection(last))
            _run(task, folder, stage, pending, chosen, settings["progress"])
        else:
            _command(["merge", folder, *(["--keep-units"] if _call.boolean("keep_units", keep_units) else [])])
    finally:
        _call.close(settings)
    return load(folder)


def _run(task: Any, folder: str, stage: str, units: list[int], chosen: dict[str, Any], progress: Any) -> None:
    """Runs the tasks of a stage. The first one that fails ends the others."""
    tasks = [task.remote(folder, stage, unit, chosen) for unit in units]
    waiting = list(tasks)
    try:
        while waiting:
            done, waiting = ray.wait(waiting, timeout=1)
            ray.get(done)
            if progress is not None and done:
                progress(stage, len(tasks) - len(waiting), len(tasks))
    except BaseException as error:
        for one in waiting:
            ray.cancel(one, force=True)
        if isinstance(error, ray.exceptions.RayTaskError) and isinstance(error.cause, Error):
            raise error.cause from None
        raise


def _unit(folder: str, stage: str, unit: int, chosen: dict[str, Any]) -> None:
    """The task: computes one unit, on whatever node it lands."""
    if not os.path.exists(os.path.join(folder, "run.json")):
        raise FileError(f"{folder}: not there on node {socket.gethostname()}; use a folder that all nodes share")
    memory = chosen["memory"] or str(_free_memory() // 2 // chosen["share"])
    arguments = ["--stage", stage, "--unit", str(unit), "--device", chosen["device"], "--memory", memory]
    _command(["work", folder, *arguments, "--threads", str(chosen["threads"])])


#: Ends with the process that started it, so that a killed task does not go on unseen.
_CHILD = """
import ctypes, os, signal, sys
parent = int(sys.argv.pop(1))
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)
from chanscope._chanscope import command
sys.exit(command(["chanscope", *sys.argv[1:]]))
"""


def _command(arguments: list[str]) -> Any:
    """Runs the command line in a process of its own, and returns what ``--json`` prints."""
    run = [sys.executable, "-c", _CHILD, str(os.getpid()), *arguments, "--quiet", "--json"]
    done = subprocess.run(run, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        text = lines[-1].removeprefix("error: ") if lines else f"chanscope {arguments[0]} ended with {done.returncode}"
        raise (UsageError if done.returncode == 2 else Error)(text)
    return json.loads(done.stdout)


def _arguments(options: dict[str, Any]) -> list[str]:
    """Keywords as the command line's options."""
    out: list[str] = []
    for name, value in options.items():
        if name in _VALUES:
            out += [] if value is None else [_VALUES[name], str(value)]
        elif name in _FLAGS:
            out += [_FLAGS[name]] if _call.boolean(name, value) else []
        elif name == "channels":
            if value is not None:
                numbers: Iterable[Any] = [value] if isinstance(value, int) else value
                out += ["--channels", value if isinstance(value, str) else ",".join(str(int(c)) for c in numbers)]
        elif name == "non_finite":
            if value not in ("raise", "skip"):
                raise UsageError(f"non_finite is {value!r}, expected 'raise' or 'skip'")
            out += ["--nan", "skip"] if value == "skip" else []
        else:
            raise TypeError(f"redundancy() got an unexpected keyword argument {name!r}")
    return out


def _absolute(name: str, path: Any) -> str:
    return os.path.abspath(_call.path(name, path))


def _start() -> None:
    if not ray.is_initialized():
        ray.init()


def _nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _slots(num_cpus: int, num_gpus: int) -> int:
    """Tasks that the cluster runs at a time."""
    resources = ray.cluster_resources()
    found = [resources.get(name, 0) // of for name, of in (("CPU", num_cpus), ("GPU", num_gpus)) if of]
    slots = int(min(found, default=1))
    if slots < 1:
        has = f"{resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} GPUs"
        raise UsageError(f"num_cpus={num_cpus}, num_gpus={num_gpus}: the cluster has {has}")
    return slots


def _free_memory() -> int:
    """Bytes that are free on this node."""
    with open("/proc/meminfo", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["MemAvailable"].split()[0]) << 10
