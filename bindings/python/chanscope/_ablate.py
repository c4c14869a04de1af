"""Accuracy of a network without the channels that come last in rankings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import _call, _chanscope, _inputs
from ._errors import UsageError
from ._rank import LayerRank
from ._results import Entries, Entry, made, numbers

_SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


class RankingCurve:
    """Accuracy against the share of channels kept, for one ranking; arrays have an element per share."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def _points(self, field: str) -> np.ndarray:
        found = numbers([point[field] for point in self._fields["points"]])
        assert found is not None
        return found

    @property
    def ranking(self) -> str:
        """Its name: "jaccard", "l1", ..."""
        return str(self._fields["ranking"])

    @property
    def shares(self) -> np.ndarray:
        """float64: the shares of channels kept."""
        return self._points("share")

    @property
    def kept(self) -> np.ndarray:
        """int64: the channels kept."""
        return np.array([point["kept"] for point in self._fields["points"]], dtype=np.int64)

    @property
    def accuracy(self) -> np.ndarray:
        """float64: the accuracy; of random rankings the mean."""
        return self._points("accuracy")

    @property
    def standard_error(self) -> np.ndarray:
        """float64: the standard error of the accuracy over samples."""
        return self._points("standard_error")

    @property
    def change(self) -> np.ndarray:
        """float64: the accuracy less that of the intact network."""
        return self._points("change")

    @property
    def change_error(self) -> np.ndarray:
        """float64: the standard error of the change, sample by sample."""
        return self._points("change_error")

    @property
    def accuracies(self) -> np.ndarray | None:
        """float64 [shares, R]: the accuracy of each of R random rankings; None for other rankings."""
        found = [point.get("accuracies") for point in self._fields["points"]]
        return np.array(found, dtype=np.float64) if all(found) else None

    def __repr__(self) -> str:
        return f"<RankingCurve {self.ranking}>"


def _curves(fields: list[dict[str, Any]]) -> dict[str, RankingCurve]:
    return {curve["ranking"]: RankingCurve(curve) for curve in fields}


class LayerAblation(Entry):
    """One layer, ablated by itself."""

    @property
    def channels(self) -> int:
        """Channels C of the layer."""
        return int(self._fields["channels"])

    @property
    def curves(self) -> dict[str, RankingCurve]:
        """A curve for each ranking, by its name."""
        return _curves(self._fields["curves"])

    def order(self, ranking: str) -> np.ndarray:
        """int64 [C]: the channels, first kept first; [R, C] of random rankings."""
        found = self.array(ranking)
        if found is None:
            raise UsageError(f"ranking is {ranking!r}, expected one of {', '.join(self.curves)}")
        return found


class Ablation(Entries[LayerAblation]):
    """Accuracy without channels: a mapping from the names of layers to :class:`LayerAblation`."""

    @property
    def layers(self) -> list[LayerAblation]:
        """The layers, in the order of the network."""
        return self._list()

    @property
    def together(self) -> dict[str, RankingCurve] | None:
        """All layers at once, at equal shares: a curve for each ranking; None for a single layer."""
        found = self._section().get("together")
        return None if found is None else _curves(found)

    @property
    def dropped(self) -> str:
        """What replaces dropped channels: "zero", "mean" or "merge"."""
        return str(self._section()["dropped"])

    @property
    def accuracy(self) -> float:
        """Accuracy of the intact network."""
        return float(self._section()["accuracy"])

    @property
    def standard_error(self) -> float:
        """Its standard error."""
        return float(self._section()["standard_error"])

    @property
    def samples(self) -> int:
        """Samples that accuracy is measured on."""
        return int(self._section()["samples"])

    @property
    def calibration(self) -> np.ndarray:
        """int64: indices of the samples of the calibration part, ascending."""
        return self._arrays["ablate/calibration.npy"]

    def _section(self) -> dict[str, Any]:
        found: dict[str, Any] = self._document.get("ablation") or {"layers": []}
        return found

    def _list(self) -> list[LayerAblation]:
        layers = self._section()["layers"]
        return [LayerAblation(fields, self._arrays, f"ablate/{fields['name']}") for fields in layers]

    def _repr_html_(self) -> str:
        from . import _html

        return _html.page(_html.ablation_table(self))

    def __repr__(self) -> str:
        from . import _html

        return _html.text(_html.ablation_table(self))


def ablate(
    model: str | os.PathLike[str],
    X: Any,
    y: Any,
    *,
    output: str | None = None,
    layers: str | Sequence[str] | None = None,
    keep: float | Sequence[float] = _SHARES,
    dropped: str = "zero",
    rankings: str | Sequence[str] | None = None,
    given: Mapping[str, Any] | None = None,
    calibration: int | None = None,
    k: int = 25,
    seed: int = 0,
    device: str = "auto",
    memory: int | str | None = None,
    threads: int | None = None,
    progress: _call.Progress | bool | None = None,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> Ablation:
    """Drops the last channels of rankings, and measures the accuracy that is left, by layer and in all layers at once.

    `model`: an .onnx file. `X`: its input [N, C, H, W], an array or an .npy. `y`: a class per sample. `output`: which of
    several outputs holds the classes. `layers`: those whose channels are dropped, all by default. `keep`: shares of the
    channels that are kept. `dropped`: what replaces a dropped channel, "zero", "mean" or "merge" (a multiple of the kept
    channel that represents it, plus a constant). `rankings`: "jaccard", "filters", "impulse", "pearson", "l1", "fpgm",
    "mean", "apoz" and "random", all by default; "given" for `given`, which holds rankings of your own by the names of all
    layers: integers [C], first kept first, or what :func:`rank` returned. `calibration`: samples that rankings and
    replacements come from, and on which accuracy is not measured; a quarter, at most 1024, by default. `k`: candidates
    per query of the graphs behind "jaccard". The other arguments are those of :func:`chanscope.redundancy`.

    The results are those of ``chanscope ablate``, to the bit. Raises :class:`chanscope.Error`.
    """
    shares = keep if isinstance(keep, (Sequence, np.ndarray)) and not isinstance(keep, str) else [keep]
    arguments = {
        "output": None if output is None else _call.text("output", output),
        "layers": _call.names("layers", layers),
        "keep": [_call.number("keep", share) for share in shares],
        "dropped": _call.text("dropped", dropped),
        "rankings": None if rankings is None else _call.names("rankings", rankings),
        "given": [] if given is None else _given(given),
        "calibration": None if calibration is None else _call.integer("calibration", calibration),
        "k": _call.integer("k", k),
        "seed": _call.integer("seed", seed),
    }
    call = _call.settings(device=device, memory=memory, threads=threads, progress=progress, out=out, force=force)
    found = _inputs.collect(X)
    labels = _inputs.labels(y)
    if labels is None:
        raise UsageError("y is None, expected a class for each sample")
    try:
        results: Ablation = made(Ablation, _chanscope.ablate(_call.path("model", model), found, labels, arguments, call))
    finally:
        _call.close(call)
    return results


def _given(given: Any) -> list[tuple[str, list[int]]]:
    """Names of layers, and their channels in order."""
    if not isinstance(given, Mapping):
        raise UsageError(f"given is {type(given).__name__}, expected a mapping from names of layers to their channels")
    found = []
    for name in given:
        ranking = given[name]
        order = ranking.order if isinstance(ranking, LayerRank) else np.asarray(ranking)
        if order.ndim != 1 or order.dtype.kind not in "iu":
            raise UsageError(f"given[{name!r}] is {order.dtype} of shape {order.shape}, expected the channels in order")
        found.append((_call.text("given", name), [int(channel) for channel in order]))
    return found
