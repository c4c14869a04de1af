"""A redundancy run on a Ray cluster: a task for each unit of a planned run (docs/large-dumps.md).

Needs Ray: ``pip install 'chanscope[ray]'``. Files are the protocol. A task is given the name of a folder and the number of a
unit, and writes what it finds into the folder. Results are those of one process, to the byte, apart from the times.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

import ray

from . import _call
from ._errors import Error, FileError, UsageError
from ._load import load
from ._units import merge, plan, status

__all__ = ["redundancy", "work"]

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
        Other options of :func:`chanscope.redundancy`, such as ``k``, ``kernel`` and ``channels``. ``images`` is a file, as
        `dump` is.

    Returns the results in `out`. If it is interrupted, :func:`work` goes on.
    """
    folder = os.path.abspath(_call.path("out", out))
    _start()
    count = 4 * _slots(num_cpus, num_gpus) if units is None else units
    # Naming `threads` here refuses it among the options: tasks have as many as CPUs.
    plan(dump, y, units=count, out=folder, device="cpu", threads=None, progress=False, force=force, **options)
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
    folder = os.path.abspath(_call.path("out", out))
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
            found = status(folder)
            if found.finished:
                break
            wanted = {*found.missing, *found.damaged}
            last = range(found.graphs) if stage == "graphs" else range(found.graphs, found.units)
            pending = sorted(wanted.intersection(last))
            _run(task, folder, stage, pending, chosen, settings["progress"])
        else:
            merge(folder, keep_units=keep_units)
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
    _compute([folder, *arguments, "--threads", str(chosen["threads"])])


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


def _compute(arguments: list[str]) -> None:
    """Runs ``chanscope work`` in a process of its own, which ends when Ray kills the task."""
    run = [sys.executable, "-c", _CHILD, str(os.getpid()), "work", *arguments, "--quiet"]
    done = subprocess.run(run, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        text = lines[-1].removeprefix("chanscope: ") if lines else f"chanscope work ended with {done.returncode}"
        raise (UsageError if done.returncode == 2 else Error)(text)


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
