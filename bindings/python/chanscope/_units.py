"""A redundancy run in units, shared by processes or machines that see its folder (docs/large-dumps.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import _call, _chanscope, _inputs
from ._errors import UsageError
from ._load import load
from ._redundancy import Redundancy

#: A file or folder of activations, or several.
Dump = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


@dataclass(frozen=True)
class Plan:
    """A planned run: its folder, the number of its units, of which the first are of graphs, and about how many seconds they
    take together on the device that it was planned on. `hash` stands for everything that the units depend on."""

    folder: str
    hash: str
    units: int
    graphs: int
    seconds: float


@dataclass(frozen=True)
class Worked:
    """Units that were computed, that were done before, and of graphs that overlaps wait for."""

    computed: list[int]
    skipped: list[int]
    waiting_for: list[int]


@dataclass(frozen=True)
class Status:
    """How far a run is: which units are done, missing and damaged (with the reason). `array` lists those to compute, as
    Slurm takes it."""

    finished: bool
    units: int
    graphs: int
    done: list[int]
    missing: list[int]
    damaged: dict[int, str]
    array: str


def files(X: Any, y: Any, images: Any, sigma: Any) -> dict[str, Any]:
    """The files of a run whose folder outlives the process."""
    given = [X] if isinstance(X, (str, os.PathLike)) else X
    try:
        dumps = [os.path.abspath(os.fsdecode(path)) for path in given]
    except TypeError:
        raise UsageError("X is no file or folder: a run that others go on with has its input in files") from None
    if any(path.lower().endswith((".pt", ".pth")) for path in dumps):
        raise UsageError("X is a .pt file: a run that others go on with reads .npy and .safetensors")
    labels = None if y is None else os.path.abspath(_call.path("y", y))
    if images is not None and not isinstance(images, (str, os.PathLike)):
        raise UsageError("images is no file: a run that others go on with has its input in files, so save it as an .npy")
    return {
        "dumps": dumps,
        "labels": labels,
        "images": None if images is None else os.path.abspath(_call.path("images", images)),
        "sigma": sigma if isinstance(sigma, str) else repr(float(sigma)),
    }


def plan(
    X: Dump,
    y: str | os.PathLike[str] | None = None,
    *,
    units: int,
    out: str | os.PathLike[str],
    k: int = 25,
    kernel: str = "gaussian",
    sigma: float | str = "kth/3",
    identical: str = "keep",
    aggregate: bool = False,
    across: bool = False,
    channels: Any = None,
    non_finite: str = "raise",
    baselines: bool = True,
    strongest: bool = False,
    images: str | os.PathLike[str] | None = None,
    queries: int | None = None,
    seed: int = 0,
    skip_unreadable: bool = False,
    save_graph: bool = False,
    supports: bool = True,
    device: str = "auto",
    memory: int | str | None = None,
    threads: int | None = None,
    progress: _call.Progress | bool | None = None,
    force: bool = False,
) -> Plan:
    """Cuts a run of :func:`chanscope.redundancy` into about `units` units of each stage, written to ``out/run.json``.

    `X` is a file or folder of activations, or several, `y` a file of labels and `images` one of images. Whoever sees these and `out` then computes
    units by :func:`work`, at the same time as others. :func:`merge` puts the results together: the same to the bit as those
    of one process.
    """
    graph = _call.graph(k, kernel, sigma, identical)
    arguments = {
        "across": _call.boolean("across", across),
        "aggregate": _call.boolean("aggregate", aggregate),
        "channels": _inputs.channels(channels),
        "non_finite": _call.text("non_finite", non_finite),
        "skip_unreadable": _call.boolean("skip_unreadable", skip_unreadable),
        "save_graph": _call.boolean("save_graph", save_graph),
        "supports": _call.boolean("supports", supports),
        "baselines": _call.boolean("baselines", baselines),
        "strongest": _call.boolean("strongest", strongest) or images is not None,
        "queries": None if queries is None else _call.integer("queries", queries, least=1),
        "seed": _call.integer("seed", seed),
    }
    folder = _call.path("out", out)
    call = _call.settings(device=device, memory=memory, threads=threads, progress=progress, out=folder, force=force)
    count = _call.integer("units", units, least=1)
    try:
        return Plan(folder, *_chanscope.plan(files(X, y, images, sigma), graph, arguments, count, call))
    finally:
        _call.close(call)


def work(
    folder: str | os.PathLike[str],
    *,
    stage: str | None = None,
    shard: tuple[int, int] | str | None = None,
    unit: Any = None,
    device: str = "auto",
    memory: int | str | None = None,
    threads: int | None = None,
    progress: _call.Progress | bool | None = None,
) -> Worked:
    """Computes units of a planned run that are missing or damaged.

    `stage`: "graphs" or "overlap"; by default graphs, and then overlaps if all units of graphs are done. `shard`: (I, N) or
    "I/N", every N-th unit from the I-th on, counted from 0. `unit`: these units, such as [3, 17] or "3,17-19".
    """
    if shard is not None and unit is not None:
        raise UsageError("shard and unit exclude each other")
    if isinstance(unit, int):
        unit = [unit]
    call = _call.settings(
        device=device, memory=memory, threads=threads, progress=progress, out=_call.path("folder", folder)
    )
    wanted = None if stage is None else _call.text("stage", stage)
    try:
        return Worked(*_chanscope.work(wanted, _shard(shard), _inputs.numbers("unit", unit), call))
    finally:
        _call.close(call)


def _shard(given: Any) -> tuple[int, int] | None:
    if given is None:
        return None
    wrong = UsageError(f"shard is {given!r}, expected I/N with I from 0 to N - 1, such as (3, 8) or '3/8'")
    try:
        index, count = map(int, given.split("/")) if isinstance(given, str) else map(int, given)
    except (TypeError, ValueError):
        raise wrong from None
    if not 0 <= index < count:
        raise wrong
    return index, count


def status(folder: str | os.PathLike[str]) -> Status:
    """Says which units of a planned run are done, missing or damaged. Looks at every byte of every unit."""
    found = json.loads(_chanscope.status(_call.path("folder", folder)))
    found["damaged"] = {damage["unit"]: damage["reason"] for damage in found["damaged"]}
    return Status(**found)


def merge(
    folder: str | os.PathLike[str],
    *,
    keep_units: bool = False,
    memory: int | str | None = None,
    threads: int | None = None,
) -> Redundancy:
    """Puts the results of a planned run together, once all units are done, and returns them.

    The files of units are removed then, unless `keep_units` is true. `memory` and `threads` are those of
    :func:`chanscope.redundancy`.
    """
    name = _call.path("folder", folder)
    call = _call.settings(device="cpu", memory=memory, threads=threads, progress=False, out=name)
    _chanscope.merge(_call.boolean("keep_units", keep_units), call)
    found: Redundancy = load(name)
    return found
