"""The order in which to keep the channels of a layer."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from . import _call, _chanscope
from ._errors import DataError, UsageError
from ._filters import Filters, LayerFilters
from ._layer import LayerRedundancy
from ._network import Impulse, LayerImpulse
from ._results import Arrays, Entries, Entry, Results

_CHOICES = "jaccard, filters, impulse or pearson"


class LayerRank(Entry):
    """The order in which to keep the channels of one layer."""

    @property
    def order(self) -> np.ndarray:
        """int64 [C]: channels, first kept first, dead ones last. The first m are the set of size m."""
        return np.array(self._fields["order"], dtype=np.int64)

    @property
    def live(self) -> int:
        """Channels that are not dead: the first ones of :attr:`order`."""
        return int(self._fields["live"])

    @property
    def representatives(self) -> np.ndarray:
        """int64 [C]: per channel of :attr:`order`, the channel before it that is most similar to it; -1 for none."""
        values = self._fields["representatives"]
        return np.array([-1 if value is None else value for value in values], dtype=np.int64)

    @property
    def similarities(self) -> np.ndarray:
        """float64 [C]: per channel of :attr:`order`, its similarity to that channel; NaN for none."""
        values = self._fields["similarities"]
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    @property
    def coverage(self) -> np.ndarray:
        """float64 [live]: mean similarity of a live channel to the most similar one kept, with the first 1, 2, ... kept."""
        return np.array(self._fields["coverage"], dtype=np.float64)

    def keep(self, share: float) -> np.ndarray:
        """int64: the channels to keep where this share of them is to stay, rounded up to whole channels; ascending."""
        share = _call.number("share", share)
        if not 0 < share <= 1:
            raise UsageError(f"share is {share}, expected a number above 0 and at most 1")
        order = self.order
        # Rounding of the product must not add a channel: 0.07 * 100 is a little more than 7.
        count = max(1, int(np.ceil(share * len(order) - 1e-9)))
        return np.sort(order[:count])


class Rank(Entries[LayerRank]):
    """Rankings of channels: a mapping from the names of layers to :class:`LayerRank`."""

    @property
    def layers(self) -> list[LayerRank]:
        """The layers, in the order of the input."""
        return self._list()

    @property
    def by(self) -> str:
        """What makes two channels alike."""
        return str(self._document["rank"]["by"])

    def _list(self) -> list[LayerRank]:
        section = self._document.get("rank") or {"layers": []}
        return [LayerRank(fields, self._arrays, f"rank/{fields['name']}") for fields in section["layers"]]

    def __repr__(self) -> str:
        lines = [f"{layer.name}: {len(layer.order)} channels, {layer.live} live" for layer in self.layers]
        return "\n".join([f"channels ranked by {self.by}", *lines])


def rank(
    source: Any,
    *,
    by: str = "jaccard",
    device: str = "auto",
    memory: int | str | None = None,
    threads: int | None = None,
    progress: _call.Progress | bool | None = None,
) -> Rank:
    """Orders the channels of every layer by how well the first ones represent all of them.

    `source`: what :func:`redundancy`, :func:`filters` or :func:`impulse` returned, the folder of such a run, or activations,
    which are measured with the default options of :func:`redundancy`. `by`: what makes two channels alike, "jaccard" or
    "pearson" (of activations), "filters" or "impulse". `device`, `memory` and `threads` are those of the measurement, as in
    :func:`redundancy`.

    The ranking is greedy (facility location); with the first m channels, live channels are at least 63 % as similar to the
    kept ones as with the best m. It tells how similar channels are, not how well the network works without some of them.
    The order is that of ``chanscope rank``. Raises :class:`chanscope.Error`.
    """
    by = _call.text("by", by)
    if by not in ("jaccard", "filters", "impulse", "pearson"):
        raise UsageError(f"unknown by {by!r}: use {_CHOICES}")
    _call.settings(device=device, memory=memory, threads=threads, progress=False)
    bounds = {"memory": memory, "threads": threads, "progress": progress}
    found = _measured(source, by, {"device": device, **bounds})
    document: dict[str, Any] = {
        "schema": found.schema,
        "version": _chanscope.__version__,
        "command": "rank",
        "parameters": {"by": by},
        "device": found.device,
        "input": found.input,
        "timing": {"total_seconds": 0.0, "stages": []},
        "rank": {"by": by, "layers": []},
    }
    arrays = {}
    skipped = []
    for layer in found.layers:  # type: ignore[attr-defined]
        matrix, channels, dead = _matrix(layer, by)
        if matrix is None:
            skipped.append({"name": layer.name, "reason": f"its run has no matrix for by={by!r}"})
            continue
        fields = _ranked(matrix, channels, dead, by, bounds)
        document["rank"]["layers"].append({"name": layer.name, **fields})
        arrays[f"rank/{layer.name}.npy"] = np.array(fields["order"], dtype=np.int64)
    if not arrays:
        names = ", ".join(entry["name"] for entry in skipped) or "no layers"
        raise DataError(f"the results of {found.command} have no matrix for by={by!r} ({names})")
    if skipped:
        document["skipped"] = skipped
    return Rank(document, Arrays(arrays))


def _measured(source: Any, by: str, settings: dict[str, Any]) -> Results:
    """The results to rank."""
    from ._load import load
    from ._redundancy import Redundancy, redundancy

    if isinstance(source, (str, os.PathLike)) and os.path.isfile(os.path.join(source, "results.json")):
        loaded = load(source)
        # A dump that `run` wrote has results too.
        source = loaded if loaded.command != "run" else source
    kind: type[Results] = {"filters": Filters, "impulse": Impulse}.get(by, Redundancy)
    if isinstance(source, kind):
        return source
    if isinstance(source, Results):
        raise UsageError(f"by={by!r} ranks the results of {kind.__name__.lower()}(), not those of {source.command}")
    if kind is not Redundancy:
        raise UsageError(f"by={by!r} ranks what {kind.__name__.lower()}() returned, or the folder of such a run")
    return redundancy(source, baselines=by == "pearson", **settings)


def _matrix(layer: Any, by: str) -> tuple[np.ndarray | None, list[int], np.ndarray]:
    """The matrix of a layer, its channels, and which of them are dead."""
    if isinstance(layer, LayerRedundancy):
        channels = [int(c) for c in layer.channels]
        return (layer.jaccard if by == "jaccard" else layer.pearson), channels, np.isin(channels, layer.dead_channels)
    if isinstance(layer, LayerFilters):
        filters = range(layer.shape[0])
        return layer.pairs, list(filters), np.isin(filters, layer.zero_filters)
    assert isinstance(layer, LayerImpulse)
    count = range(layer.channels)
    return layer.ncc_abs, list(count), np.isin(count, layer.zero_channels)


def _ranked(matrix: np.ndarray, channels: list[int], dead: np.ndarray, by: str, bounds: dict[str, Any]) -> dict[str, Any]:
    """The entry of a layer in `results.json`."""
    count = len(channels)
    if matrix.shape != (count, count):
        raise DataError(f"a matrix of shape {matrix.shape} does not fit {count} channels")
    content = np.ascontiguousarray(matrix, dtype=np.float64).tobytes()
    call = _call.settings(device="cpu", **bounds)
    try:
        order, live, representatives, similarities, coverage = _chanscope.rank(content, dead.tolist(), by, call)
    finally:
        _call.close(call)
    return {
        "order": [channels[at] for at in order],
        "live": live,
        "representatives": [None if at is None else channels[at] for at in representatives],
        "similarities": similarities,
        "coverage": coverage,
    }
