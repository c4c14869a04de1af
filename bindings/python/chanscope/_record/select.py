"""Which values of a forward pass are recorded."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .._errors import UsageError
from .trace import Origin


@dataclass
class Candidate:
    """A value that may be recorded: what a module returned, or a function that is an activation."""

    #: Name of the module, or of the module and the function that it called.
    base: str
    #: The same with the number of the call, from the second call on.
    name: str
    #: The module, `None` for a function.
    module: Any
    activation: bool
    origin: Origin | None
    ndim: int


@dataclass
class Pattern:
    """One entry of `layers`."""

    text: str
    kind: Any = None
    matched: bool = False
    #: Modules that a glob pattern took before it was known whether an activation has such a name.
    provisional: set[str] = field(default_factory=set)
    activations_only: bool = False

    def takes(self, c: Candidate) -> bool:
        if self.kind is not None:
            return c.module is not None and isinstance(c.module, self.kind)
        if not _is_glob(self.text):
            return self.text in (c.base, c.name)
        return fnmatch.fnmatchcase(c.base, self.text) or fnmatch.fnmatchcase(c.name, self.text)


class Selection:
    """Decides during the first pass; later passes record the layers that were found in it.

    A name takes every call of that module or function, or the one call it names. A glob pattern takes the activations
    among what it matches, and all modules that it matches if no activation is among them. A type takes modules of that type.
    """

    def __init__(self, layers: Any, modules: Iterable[tuple[str, Any, bool]]) -> None:
        self.by_default = layers is None
        self.patterns = [] if layers is None else [_pattern(entry) for entry in _listed(layers)]
        if layers is not None and not self.patterns:
            raise UsageError(
                "layers= is empty: name layers, or leave it out to record every activation that follows a convolution"
            )
        self._offered: list[Candidate] = []
        self._firm: set[str] = set()
        for name, module, activation in modules:
            for p in self.patterns:
                p.activations_only |= (
                    activation and p.kind is None and p.takes(Candidate(name, name, module, True, None, 0))
                )

    def wants(self, c: Candidate) -> bool:
        """Whether a value of the first pass is recorded, for the time being."""
        self._offered.append(c)
        if self.by_default:
            return c.activation and c.origin is not None and _follows_convolution(c)
        wanted = False
        for p in self.patterns:
            if not p.takes(c):
                continue
            if p.kind is not None or not _is_glob(p.text) or c.activation:
                p.matched = wanted = True
                p.activations_only |= p.kind is None and _is_glob(p.text)
                self._firm.add(c.name)
            elif not p.activations_only:
                p.provisional.add(c.name)
                wanted = True
        return wanted

    def settle(self, model: str, recorded: set[str]) -> set[str]:
        """After the first pass: those of the recorded names that are not wanted after all.

        Raises if a pattern, or the default, matched nothing.
        """
        if self.by_default and not recorded:
            raise UsageError(
                f"no activation of {model} follows a convolution; name layers with layers=. {self._names()}"
            )
        kept, dropped = set(self._firm), set()
        for p in self.patterns:
            if p.activations_only:
                dropped |= p.provisional
            else:
                kept |= p.provisional
                p.matched |= bool(p.provisional)
        missing = [p.text for p in self.patterns if not p.matched]
        if missing:
            raise UsageError(self._nothing(missing, model))
        self._offered = []
        return dropped - kept

    def _nothing(self, missing: list[str], model: str) -> str:
        what = ", ".join(repr(m) for m in missing)
        near = difflib.get_close_matches(missing[0], [c.name for c in self._offered], 3)
        hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
        return f"layers={what} matches nothing that ran in the forward pass of {model}.{hint} {self._names()}"

    def _names(self) -> str:
        activations = [c.name for c in self._offered if c.activation]
        others = [c.name for c in self._offered if not c.activation and c.name]
        return f"Activations: {_shortened(activations)}. Other modules: {_shortened(others)}."


def _follows_convolution(c: Candidate) -> bool:
    """A convolution on maps of `[N, H, W, C]` is written as a linear layer."""
    layer, axis = c.origin
    return (layer == "conv" and c.ndim >= 3) or (layer == "linear" and c.ndim == 4 and axis == 3)


def _is_glob(text: str) -> bool:
    return any(mark in text for mark in "*?[")


def _listed(layers: Any) -> list[Any]:
    if isinstance(layers, (str, type)):
        return [layers]
    try:
        return list(layers)
    except TypeError:
        raise UsageError(f"layers= takes names, glob patterns or module types, not {layers!r}") from None


def _pattern(entry: Any) -> Pattern:
    if isinstance(entry, str) and entry:
        return Pattern(entry)
    if isinstance(entry, type):
        return Pattern(entry.__name__, kind=entry)
    raise UsageError(f"layers= takes names, glob patterns or module types, not {entry!r}")


def _shortened(names: list[str], limit: int = 60) -> str:
    if not names:
        return "none"
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest
