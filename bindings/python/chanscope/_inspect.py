"""What there is to measure, and to compute on."""

from __future__ import annotations

import json
from typing import Any

from . import _call, _chanscope, _inputs


def inspect(
    X: Any,
    *,
    k: int = 25,
    skip_unreadable: bool = False,
    device: str = "auto",
    memory: int | str | None = None,
    threads: int | None = None,
    progress: _call.Progress | bool | None = None,
) -> list[dict[str, Any]]:
    """Shape, type, NaN and dead channels of every layer of `X`, and what a run of `redundancy` would need.

    `X` is what :func:`chanscope.redundancy` takes. Returns a dict for each layer, with the fields of
    ``chanscope inspect --json``; `run` holds the estimates `seconds`, `memory_bytes`, `disk_bytes` and `read_bytes`, or says
    why a run would be `refused`. Computes no measure. Raises :class:`chanscope.Error`.
    """
    call = _call.settings(device=device, memory=memory, threads=threads, progress=progress)
    found = _inputs.collect(X, skip_unreadable=_call.boolean("skip_unreadable", skip_unreadable))
    try:
        return [json.loads(layer) for layer in _chanscope.inspect(found, _call.integer("k", k, least=1), call)]
    finally:
        _call.close(call)


def devices(*, threads: int | None = None) -> list[dict[str, Any]]:
    """The CPU and every GPU adapter, with the fields of ``chanscope devices --json``.

    `device` is the name to pass as ``device=``, and `auto` is true for what ``device="auto"`` takes.
    """
    call = _call.settings(device="cpu", progress=False)
    count = 0 if threads is None else _call.integer("threads", threads, least=1)
    return [json.loads(device) for device in _chanscope.devices(count, call)]
