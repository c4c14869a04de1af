"""Which channels of finished runs pick the same neighbours."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from . import _call, _chanscope
from ._errors import DataError, UsageError
from ._redundancy import Redundancy
from ._results import Entry, Results, made, numbers


class ComparedLayer(Entry):
    """Figures of one layer of a run, as :class:`chanscope.LayerRedundancy` has them."""

    @property
    def live(self) -> int:
        """Channels that are not dead."""
        return int(self._fields["live"])

    @property
    def redundancy(self) -> float | None:
        """Its redundancy."""
        return self._fields["redundancy"]

    @property
    def jaccard_mean(self) -> float | None:
        """Mean Jaccard index of two different live channels."""
        return self._fields["jaccard_mean"]

    @property
    def neighbors_mean(self) -> float | None:
        """Mean support size, over its live channels."""
        return self._fields["neighbors_mean"]

    @property
    def loo_error(self) -> float | None:
        """Leave-one-out error, over its live channels; None without labels."""
        return self._fields["loo_error"]


class ComparedPair:
    """The first run, a, and another one, b. A and B count their layers, Ca and Cb their live channels."""

    def __init__(self, fields: dict[str, Any], layers: tuple[list[str], list[str]], arrays: Mapping[str, np.ndarray]) -> None:
        self._fields = fields
        self._layers = layers
        self._arrays = arrays

    def _array(self, name: str) -> np.ndarray:
        return self._arrays[f"compare/{self._fields['b']}/{name}.npy"]

    @property
    def layers(self) -> tuple[list[str], list[str]]:
        """The layers of a, and those of b."""
        return self._layers

    @property
    def mean(self) -> np.ndarray:
        """float64 [A, B]: mean Jaccard index over the pairs of channels of two layers."""
        return self._array("layers")

    @property
    def best_match(self) -> np.ndarray:
        """float64 [A, B]: mean over the channels of a's layer of their largest Jaccard index in b's layer."""
        return self._array("best_match")

    @property
    def best_match_back(self) -> np.ndarray:
        """float64 [B, A]: the same for the channels of b in the layers of a."""
        return self._array("best_match_back")

    @property
    def channels(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 [Ca, 2] and [Cb, 2]: the live channels of a and of b, as layer, by its index, and channel."""
        return self._array("channels_a"), self._array("channels_b")

    @property
    def matches(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 [Ca, 2] and [Cb, 2]: of each of them the most similar channel of the other run; -1 where there is none."""
        return self._array("matches_a"), self._array("matches_b")

    @property
    def match_jaccard(self) -> tuple[np.ndarray, np.ndarray]:
        """float64 [Ca] and [Cb]: the Jaccard index with it."""
        return self._array("match_jaccard_a"), self._array("match_jaccard_b")

    @property
    def jaccard(self) -> np.ndarray | None:
        """float64 [Ca, Cb]: all pairs, where there are at most 4096 channels and memory for them."""
        return self._arrays.get(f"compare/{self._fields['b']}/jaccard.npy")

    def __repr__(self) -> str:
        return f"<chanscope.ComparedPair of {len(self._layers[0])} and {len(self._layers[1])} layers>"


class Compare(Results):
    """What finished runs over the same samples have in common."""

    @property
    def runs(self) -> list[list[ComparedLayer]]:
        """The layers of every run, in the order in which the runs were given."""
        runs = self._document["compare"]["runs"]
        return [[ComparedLayer(fields, self._arrays, "") for fields in run["layers"]] for run in runs]

    @property
    def pairs(self) -> list[ComparedPair]:
        """The first run with each of the others."""
        runs = self.runs
        names = [[layer.name for layer in run] for run in runs]
        pairs = self._document["compare"]["pairs"]
        return [ComparedPair(pair, (names[pair["a"]], names[pair["b"]]), self._arrays) for pair in pairs]

    def trend(self, layer: str, figure: str = "redundancy") -> np.ndarray:
        """float64: a figure of a layer ("redundancy", "jaccard_mean", "neighbors_mean", "loo_error") in every run, NaN where
        a run has no such layer."""
        if figure not in ("redundancy", "jaccard_mean", "neighbors_mean", "loo_error"):
            raise UsageError(f"unknown figure {figure!r}: use redundancy, jaccard_mean, neighbors_mean or loo_error")
        found = [{entry.name: entry for entry in run}.get(layer) for run in self.runs]
        if not any(found):
            raise UsageError(f"no run has a layer {layer!r}")
        values = numbers([None if entry is None else entry.fields[figure] for entry in found])
        assert values is not None
        return values

    def __repr__(self) -> str:
        return f"<chanscope.Compare of {len(self.runs)} runs>"


def compare(
    run_a: Any,
    run_b: Any,
    *others: Any,
    device: str = "auto",
    memory: int | str | None = None,
    threads: int | None = None,
    progress: _call.Progress | bool | None = None,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> Compare:
    """Compares the channels of `run_a` with those of each other run: epochs, seeds or architectures over the same samples.

    Runs are folders of finished runs of :func:`redundancy`, or what it returned with ``supports=True``. They have the same
    samples and options, or the difference is named in an error. `device`, `memory`, `threads`, `progress`, `out` and `force`
    are those of :func:`redundancy`. The results are those of ``chanscope compare``, to the bit. Raises
    :class:`chanscope.Error`.
    """
    call = _call.settings(device=device, memory=memory, threads=threads, progress=progress, out=out, force=force)
    try:
        with contextlib.ExitStack() as stack:
            folders = list(_folders((run_a, run_b, *others), stack))
            return made(Compare, _chanscope.compare(folders, call))
    finally:
        _call.close(call)


def _folders(runs: tuple[Any, ...], stack: contextlib.ExitStack) -> Iterator[str]:
    """The folder of every run; those in memory are written to temporary ones."""
    for place, run in enumerate(runs):
        if isinstance(run, (str, os.PathLike)):
            yield _call.path("run", run)
        elif not isinstance(run, Redundancy):
            raise UsageError(f"run {place} is no folder and no result of redundancy()")
        elif run.folder is not None:
            yield run.folder
        else:
            if not any(name.endswith("/supports.npy") for name in run.arrays):
                raise DataError(f"run {place} keeps no supports: measure it with supports=True, or write it to a folder by out=")
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chanscope-"))
            inner = os.path.join(folder, f"run-{place}")
            run._write(inner, False, report=False)
            yield inner
