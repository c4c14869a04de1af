"""What all long calls share: device, memory, threads, progress, and the folder of results."""

from __future__ import annotations

import atexit
import operator
import os
import sys
from collections.abc import Callable
from typing import Any

from . import _chanscope
from ._errors import UsageError

#: Called with the stage, the work done in it and the work altogether.
Progress = Callable[[str, int, int], object]

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_chanscope.forked)
atexit.register(_chanscope.abandon_outputs)


class _Bar:
    """A tqdm bar, a new one for each stage that takes longer than half a second."""

    def __init__(self, tqdm: Any) -> None:
        self._tqdm = tqdm
        self._bar: Any = None
        self._stage: str | None = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage:
            self.close()
            self._bar, self._stage = self._tqdm(total=total, desc=stage, leave=False, delay=0.5), stage
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _default_progress() -> Progress | None:
    """A bar where somebody can see it and tqdm is there."""
    if not (sys.stderr is not None and sys.stderr.isatty()) and "ipykernel" not in sys.modules:
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return _Bar(tqdm)


def settings(
    *,
    device: str = "auto",
    memory: int | str | None = None,
    threads: int | None = None,
    progress: Progress | bool | None = None,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Checks these arguments and hands them to the extension module."""
    os.environ.setdefault("NODEVICE_SELECT", "1")  # Mesa's device-select layer complains where there is no desktop
    if not isinstance(device, str):
        raise UsageError(f"device is {device!r}, expected auto, cpu, gpu, or gpu:NAME_OR_INDEX")
    if memory is not None and (isinstance(memory, bool) or not isinstance(memory, (int, str))):
        raise UsageError(f"memory is {memory!r}, expected a number of bytes or a text such as '8GiB'")
    if progress is None:
        progress = _default_progress()
    elif progress is False:
        progress = None
    elif not callable(progress):
        raise UsageError(f"progress is {progress!r}, expected None, False or a function of (stage, done, total)")
    return {
        "device": device,
        "memory": None if memory is None else str(memory),
        "threads": 0 if threads is None else integer("threads", threads, least=1),
        "progress": progress,
        "out": None if out is None else path("out", out),
        "force": boolean("force", force),
    }


def close(call: dict[str, Any]) -> None:
    """Ends the progress bar of a call, if it has one."""
    if isinstance(call["progress"], _Bar):
        call["progress"].close()


def integer(name: str, value: Any, least: int = 0) -> int:
    """An argument that is an integer."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{name} is {value!r}, expected an integer") from None
    if number < least:
        raise UsageError(f"{name} is {number}, expected at least {least}")
    return number


def number(name: str, value: Any) -> float:
    """An argument that is a real number."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return float(value)
    except TypeError:
        raise UsageError(f"{name} is {value!r}, expected a number") from None


def boolean(name: str, value: Any) -> bool:
    """An argument that is True or False."""
    if value is True or value is False:
        return bool(value)
    if type(value).__name__ in ("bool_", "bool"):
        return bool(value)
    raise UsageError(f"{name} is {value!r}, expected True or False")


def text(name: str, value: Any) -> str:
    """An argument that is a text."""
    if isinstance(value, str):
        return value
    raise UsageError(f"{name} is {value!r}, expected a text")


def path(name: str, value: Any) -> str:
    """An argument that is a path."""
    try:
        found = os.fspath(value)
    except TypeError:
        raise UsageError(f"{name} is {value!r}, expected a path") from None
    return os.fsdecode(found)


def names(name: str, value: Any) -> list[str]:
    """An argument that is a list of names, or one name."""
    if value is None:
        return []
    return [text(name, item) for item in ([value] if isinstance(value, str) else value)]


def sigma(value: Any) -> float | None:
    """The bandwidth: None for kth/3."""
    if isinstance(value, str):
        if value == "kth/3":
            return None
        raise UsageError(f"sigma is {value!r}, expected 'kth/3' or a positive number")
    found = number("sigma", value)
    if not 0 < found < float("inf"):
        raise UsageError(f"sigma is {found}, expected 'kth/3' or a positive number")
    return found


def graph(k: Any, kernel: Any, sigma_: Any, identical: Any) -> dict[str, Any]:
    """Options of a graph."""
    return {
        "k": integer("k", k),
        "kernel": text("kernel", kernel),
        "sigma": sigma(sigma_),
        "identical": text("identical", identical),
    }
