"""Plots of results with matplotlib. Each function draws into an `Axes`, a new one if none is given, and returns it.

>>> r = cs.redundancy("dump")
>>> r["layer4.1.relu"].plot.heatmap(order="cluster")
>>> cs.plot.trend({1: "runs/1", 10: "runs/10", 90: "runs/90"})
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ._errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Plots", "dendrogram", "heatmap", "layers", "neighbors", "trend"]

#: Colour of what has no value: the diagonal, and dead channels.
NOTHING = "#d9d9d9"
ACCENT = "#2a6f97"
MUTED = "#7f7f7f"

_LABELS = {
    "jaccard": "Jaccard index of channels",
    "overlap": "overlap of channels",
    "jaccard_mean": "mean Jaccard index of channels",
    "overlap_mean": "mean overlap of channels",
    "redundancy": "redundancy of the layer",
    "neighbors_mean": "mean neighbours",
    "pca_dimension_mean": "PCA dimension",
    "loo_error": "leave-one-out error",
}


class Plots:
    """Plots of a layer or of a run: what ``r["layer"].plot`` and ``r.plot`` are."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def heatmap(self, value: str = "jaccard", **options: Any) -> Axes:
        """The matrix of all pairs of channels; see :func:`chanscope.plot.heatmap`."""
        return heatmap(self._layer("heatmap"), value, **options)

    def neighbors(self, **options: Any) -> Axes:
        """Mean neighbours of each channel; see :func:`chanscope.plot.neighbors`."""
        return neighbors(self._layer("neighbors"), **options)

    def dendrogram(self, value: str = "jaccard", **options: Any) -> Axes:
        """Which channels are alike, as a tree; see :func:`chanscope.plot.dendrogram`."""
        return dendrogram(self._layer("dendrogram"), value, **options)

    def layers(self, value: str = "jaccard_mean", **options: Any) -> Axes:
        """A value of every layer of the run, first to last; see :func:`chanscope.plot.layers`."""
        return layers(self._result, value, **options)

    def _layer(self, plot: str) -> Any:
        """The layer, or the only layer of a run."""
        if not isinstance(self._result, Mapping):
            return self._result
        if len(self._result) == 1:
            return next(iter(self._result.values()))
        raise UsageError(f"this run has {len(self._result)} layers: choose one, as in r[NAME].plot.{plot}()")


def heatmap(
    layer: Any,
    value: str = "jaccard",
    *,
    order: str | None = None,
    cmap: str = "viridis",
    ax: Axes | None = None,
) -> Axes:
    """Draws the matrix of all pairs of channels.

    Parameters
    ----------
    layer
        A layer of a result, or a matrix ``[C, C]``.
    value
        Which matrix of the layer: ``"jaccard"`` or ``"overlap"``.
    order
        None: as in the network. ``"mean"``: channels that are most like the others first. ``"cluster"``: channels that
        are alike side by side (needs scipy).

    The colours span what lies off the diagonal. Dead channels, and the diagonal, are grey.
    """
    name, matrix = _matrix(layer, value)
    live, dead = _live(layer, matrix)
    if order == "mean":
        rest = matrix[np.ix_(live, live)]
        means = (np.nansum(rest, 1) - np.diag(rest)) / max(len(live) - 1, 1)
        places = np.concatenate([live[np.argsort(-means, kind="stable")], dead])
    elif order == "cluster":
        places = np.concatenate([live[_leaves(matrix, live, value)], dead])
    elif order is None:
        places = np.arange(len(matrix))
    else:
        raise UsageError(f"order is {order!r}, expected None, 'mean' or 'cluster'")
    shown = matrix[np.ix_(places, places)].copy()
    np.fill_diagonal(shown, np.nan)
    if order is None:
        shown[dead, :] = shown[:, dead] = np.nan
    elif len(dead):
        shown[len(live) :, :] = shown[:, len(live) :] = np.nan
    off = shown[np.isfinite(shown)]
    plt = _pyplot()
    ax = ax if ax is not None else plt.subplots(figsize=(5.4, 4.4), layout="constrained")[1]
    colours = plt.get_cmap(cmap).with_extremes(bad=NOTHING)
    top = float(off.max()) if len(off) else 0.0
    image = ax.imshow(shown, cmap=colours, vmin=0, vmax=top if top > 0 else 1.0, interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, label=_LABELS.get(value, value), shrink=0.9)
    label = {None: "channel", "mean": "channels, the most similar first", "cluster": "channels, clustered"}[order]
    ax.set(xlabel=label, ylabel=label, title=_title(name, f"mean {off.mean():.3g}" if len(off) else "no pairs"))
    if order is None:
        from matplotlib.ticker import MaxNLocator

        numbers = _channels(layer, len(matrix))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True, nbins=8))
            axis.set_major_formatter(lambda at, _: str(numbers[int(at)]) if 0 <= at < len(numbers) else "")
    else:
        ax.set(xticks=[], yticks=[])
    return ax


def neighbors(layer: Any, *, ax: Axes | None = None) -> Axes:
    """Draws the mean number of neighbours of each channel, most first, and the PCA dimension beside it.

    The number of neighbours is a proxy of the intrinsic dimension of what a channel sees. Dead channels are left out.
    """
    means = _values(layer, "neighbors_mean")
    live = np.setdiff1d(np.arange(len(means)), _dead_channels(layer, len(means)))
    order = live[np.argsort(-means[live], kind="stable")]
    plt = _pyplot()
    ax = ax if ax is not None else plt.subplots(figsize=(5.8, 3.4), layout="constrained")[1]
    places = np.arange(len(order))
    ax.plot(places, means[order], drawstyle="steps-mid", color=ACCENT, lw=1.6, label="neighbours")
    dimensions = getattr(layer, "pca_dimension_mean", None)
    if dimensions is not None:
        ax.plot(places, np.asarray(dimensions, float)[order], ".", ms=4, color=MUTED, label="PCA dimension")
        ax.legend(frameon=False)
    ax.set(
        xlabel="channels, those with most neighbours first",
        ylabel="mean over samples",
        title=_title(_name(layer), f"{len(order)} live channels"),
    )
    ax.set_ylim(bottom=0)
    _bare(ax)
    return ax


def dendrogram(layer: Any, value: str = "jaccard", *, method: str = "average", ax: Axes | None = None) -> Axes:
    """Draws which channels are alike as a tree, by hierarchical clustering of one minus the similarity. Needs scipy.

    Overlaps are divided by the larger of the two channels' overlaps with themselves. Dead channels are left out.
    """
    name, matrix = _matrix(layer, value)
    live, _ = _live(layer, matrix)
    if len(live) < 2:
        raise UsageError(f"layer {name!r} has {len(live)} live channels, and a tree needs two")
    hierarchy = _hierarchy()
    plt = _pyplot()
    ax = ax if ax is not None else plt.subplots(figsize=(7.2, 3.4), layout="constrained")[1]
    few = len(live) <= 64
    tree = hierarchy.linkage(_distances(matrix, live, value), method=method)
    hierarchy.dendrogram(
        tree,
        ax=ax,
        labels=_channels(layer, len(matrix))[live],
        no_labels=not few,
        color_threshold=0,
        above_threshold_color=ACCENT,
        leaf_rotation=90 if len(live) > 24 else 0,
        leaf_font_size=7,
    )
    ax.set(
        xlabel="channel" if few else f"{len(live)} channels",
        ylabel=f"1 - {value}" if value == "jaccard" else f"1 - relative {value}",
        title=_title(name, f"{method} linkage"),
    )
    _bare(ax)
    return ax


def layers(run: Any, value: str = "jaccard_mean", *, ax: Axes | None = None) -> Axes:
    """Draws a value of every layer of a run, first to last. Values of channels are drawn as their mean over live ones."""
    run = _loaded(run)
    values = [_scalar(run[name], value) for name in run]
    plt = _pyplot()
    ax = ax if ax is not None else plt.subplots(figsize=(6.6, 3.6), layout="constrained")[1]
    ax.plot(range(len(values)), values, "o-", ms=4, lw=1.4, color=ACCENT)
    ax.set_xticks(range(len(values)), list(run), rotation=90 if len(values) > 4 else 0, fontsize=7)
    ax.set_ylabel(_LABELS.get(value, value))
    ax.set_ylim(bottom=0)
    _bare(ax)
    return ax


def trend(
    runs: Mapping[Any, Any] | Iterable[Any],
    value: str = "jaccard_mean",
    *,
    layers: Iterable[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws how a value changes over runs, such as the epochs of a training, a line for each layer.

    Parameters
    ----------
    runs
        ``{epoch: run}``, or a list of runs, which are numbered from 0. A run is a result, or the folder of one.
    value
        ``"jaccard_mean"``, ``"overlap_mean"``, ``"redundancy"``, or a value of each channel, such as
        ``"neighbors_mean"``, of which the mean over live channels is drawn.
    layers
        Names of layers. Default: all that some run has.
    """
    runs = dict(runs) if isinstance(runs, Mapping) else dict(enumerate(runs))
    if not runs:
        raise UsageError("runs is empty: give {epoch: run}, or a list of runs")
    loaded = {at: _loaded(run) for at, run in runs.items()}
    names = list(layers) if layers is not None else list(dict.fromkeys(n for run in loaded.values() for n in run))
    for name in names:
        if not any(name in run for run in loaded.values()):
            raise UsageError(f"layers: no run has a layer {name!r}")
    numbers = all(isinstance(at, (int, float)) for at in loaded)
    plt = _pyplot()
    ax = ax if ax is not None else plt.subplots(figsize=(6.6, 3.8), layout="constrained")[1]
    colours = plt.get_cmap("viridis")(np.linspace(0.0, 0.85, max(len(names), 1)))
    for name, colour in zip(names, colours):
        points = [(at, _scalar(run[name], value)) for at, run in loaded.items() if name in run]
        if numbers:
            points.sort()
        places = [at if numbers else str(at) for at, _ in points]
        ax.plot(places, [y for _, y in points], "o-", ms=4, lw=1.4, color=colour, label=name)
    ax.set(xlabel="epoch" if numbers else "", ylabel=_LABELS.get(value, value))
    if len(names) <= 12:
        ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    else:
        ax.set_title(f"{len(names)} layers: the first dark, the last light", fontsize=9)
    ax.set_ylim(bottom=0)
    if all(isinstance(at, int) for at in loaded):
        ax.xaxis.get_major_locator().set_params(integer=True)
    _bare(ax)
    return ax


# What the plots are made of.


def _name(layer: Any) -> str:
    return str(getattr(layer, "name", ""))


def _matrix(layer: Any, value: str) -> tuple[str, np.ndarray]:
    given = isinstance(layer, (np.ndarray, list))
    found = layer if given else getattr(layer, value, None)
    if found is None:
        raise UsageError(f"layer {_name(layer)!r} has no matrix {value!r}")
    matrix = np.asarray(found, dtype=float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise UsageError(f"{value} has the shape {list(matrix.shape)}, expected [C, C]")
    return "" if given else _name(layer), matrix


def _values(layer: Any, value: str) -> np.ndarray:
    found = getattr(layer, value, None)
    if found is None:
        raise UsageError(f"layer {_name(layer)!r} has no value {value!r}")
    return np.asarray(found, dtype=float)


def _channels(layer: Any, count: int) -> np.ndarray:
    """Numbers of the channels that were measured."""
    return np.asarray(getattr(layer, "channels", np.arange(count)))


def _dead_channels(layer: Any, count: int) -> np.ndarray:
    """Places of dead channels among those that were measured."""
    return np.flatnonzero(np.isin(_channels(layer, count), np.asarray(getattr(layer, "dead_channels", ()), dtype=int)))


def _live(layer: Any, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Channels with values, and those without."""
    dead = np.union1d(np.flatnonzero(np.isnan(np.diag(matrix))), _dead_channels(layer, len(matrix))).astype(int)
    return np.setdiff1d(np.arange(len(matrix)), dead), dead


def _scalar(layer: Any, value: str) -> float:
    values = _values(layer, value).reshape(-1)
    if len(values) > 1:
        values = np.delete(values, _dead_channels(layer, len(values)))
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else np.nan


def _loaded(run: Any) -> Any:
    if isinstance(run, str) or hasattr(run, "__fspath__"):
        from ._load import load

        return load(run)
    return run


def _distances(matrix: np.ndarray, live: np.ndarray, value: str) -> np.ndarray:
    """Of live channels, as scipy wants them: the upper triangle. Pairs without a value are as far apart as can be."""
    similar = matrix[np.ix_(live, live)]
    if value != "jaccard":
        own = np.diag(similar)
        similar = similar / np.maximum(np.maximum.outer(own, own), np.finfo(float).tiny)
    return np.clip(1.0 - np.nan_to_num(similar[np.triu_indices(len(live), 1)]), 0.0, None)


def _leaves(matrix: np.ndarray, live: np.ndarray, value: str) -> np.ndarray:
    """Order of the live channels in the tree."""
    if len(live) < 3:
        return np.arange(len(live))
    hierarchy = _hierarchy()
    return hierarchy.leaves_list(hierarchy.linkage(_distances(matrix, live, value), method="average"))


def _hierarchy() -> Any:
    try:
        from scipy.cluster import hierarchy
    except ImportError:
        raise ImportError("clusters of channels need scipy: pip install 'chanscope[plot]'") from None
    return hierarchy


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError("plots need matplotlib: pip install 'chanscope[plot]'") from None
    return plt


def _title(name: str, rest: str) -> str:
    return f"{name}: {rest}" if name else rest


def _bare(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
