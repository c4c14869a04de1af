"""What there is to measure, and to compute on."""

from __future__ import annotations

import json
from typing import Any

from . import _call, _chanscope, _inputs


def inspect(
    X: Any,
    *,
    k: int = 25,
    queries: int | None = None,
    baselines: bool = True,
    estimate: bool = True,
    skip_unreadable: bool = False,
    device: str = "auto",
    memory: int | str | None = None,
    threads: int | None = None,
    progress: _call.Progress | bool | None = None,
) -> list[dict[str, Any]]:
    """Shape, type, NaN and dead channels of every layer of `X`, and what a run of `redundancy` would need.

    `X` is what :func:`chanscope.redundancy` takes, and `k`, `queries` and `baselines` are the options of the run to be
    estimated. Returns a dict for each layer, with the fields of ``chanscope inspect --json``; `run` holds the estimates
    `seconds`, `memory_bytes`, `disk_bytes` and `read_bytes`, or says why a run would be `refused`. With `estimate=False`
    `run` is None, and there is no trial run of up to a few seconds per layer. Computes no measure. Raises :class:`chanscope.Error`.
    """
    arguments = {
        "k": _call.integer("k", k, least=1),
        "queries": None if queries is None else _call.integer("queries", queries, least=1),
        "baselines": _call.boolean("baselines", baselines),
        "estimate": _call.boolean("estimate", estimate),
    }
    call = _call.settings(device=device, memory=memory, threads=threads, progress=progress)
    found = _inputs.collect(X, skip_unreadable=_call.boolean("skip_unreadable", skip_unreadable))
    try:
        return [json.loads(layer) for layer in _chanscope.inspect(found, arguments, call)]
    finally:
        _call.close(call)


def devices(*, threads: int | None = None) -> list[dict[str, Any]]:
    """The CPU and every GPU adapter, with the fields of ``chanscope devices --json``.

    `device` is the name to pass as ``device=``, and `auto` is true for what ``device="auto"`` takes.
    """
    call = _call.settings(device="cpu", progress=False)
    count = 0 if threads is None else _call.integer("threads", threads, least=1)
    return [json.loads(device) for device in _chanscope.devices(count, call)]
