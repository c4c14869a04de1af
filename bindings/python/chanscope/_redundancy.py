"""Channel-wise NNK graphs of activations."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from . import _call, _chanscope, _inputs
from ._errors import UsageError
from ._layer import LayerRedundancy, shown
from ._results import Arrays, Entries, Results, made, numbers, read_document


class Across:
    """What channels of different layers have in common. L counts layers, C the live channels of all of them."""

    def __init__(self, fields: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self._fields = fields
        self._arrays = arrays

    @property
    def layers(self) -> list[str]:
        """The layers, in the order of rows and columns."""
        return list(self._fields["layers"])

    @property
    def mean(self) -> np.ndarray:
        """float64 [L, L]: mean Jaccard index over the pairs of different channels of two layers."""
        return self._arrays["across/layers.npy"]

    @property
    def best_match(self) -> np.ndarray:
        """float64 [L, L]: mean over the channels of the row's layer of their largest Jaccard index in the column's layer."""
        return self._arrays["across/best_match.npy"]

    @property
    def channels(self) -> np.ndarray:
        """int64 [C, 2]: the layer, by its index, and the channel."""
        return self._arrays["across/channels.npy"]

    @property
    def matches(self) -> np.ndarray:
        """int64 [C, 2]: the most similar channel of another layer; -1 where there is none."""
        return self._arrays["across/matches.npy"]

    @property
    def match_jaccard(self) -> np.ndarray:
        """float64 [C]: the Jaccard index with it."""
        return self._arrays["across/match_jaccard.npy"]

    @property
    def jaccard(self) -> np.ndarray | None:
        """float64 [C, C]: all pairs, where there are at most 4096 channels and memory for them."""
        return self._arrays.get("across/jaccard.npy")

    def __repr__(self) -> str:
        return f"<chanscope.Across of {len(self.layers)} layers, {len(self.channels)} channels>"


class Images:
    """Pictures of samples that are images, of those that excite channels most."""

    def __init__(self, fields: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self._fields = fields
        self._arrays = arrays

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, 1 or 3, H, W) of the images."""
        return tuple(self._fields["shape"])

    @property
    def samples(self) -> np.ndarray:
        """int64 [P]: the samples of which there is a picture, ascending."""
        return self._arrays["images/samples.npy"]

    @property
    def pictures(self) -> np.ndarray:
        """uint8 [P, 1 or 3, rows, columns]: their pictures. Larger images are averaged over blocks."""
        return self._arrays["images/pictures.npy"]

    @property
    def range(self) -> tuple[float | None, float | None]:
        """The values that are black and white in the pictures; None where no value is finite."""
        low, high = self._fields["range"]
        return low, high

    def __repr__(self) -> str:
        return f"<chanscope.Images: {len(self.samples)} pictures>"


class Redundancy(Entries[LayerRedundancy]):
    """Channel redundancy of layers: a mapping from the names of layers to :class:`LayerRedundancy`."""

    _again: Callable[[str, int], Mapping[str, np.ndarray]] | None = None

    @property
    def layers(self) -> list[LayerRedundancy]:
        """The layers, in the order of the input."""
        return self._list()

    def _list(self) -> list[LayerRedundancy]:
        section = self._document.get("redundancy") or {"layers": []}
        found = []
        for fields in section["layers"]:
            entry = LayerRedundancy(fields, self._arrays, f"layers/{fields['name']}")
            if self._again is not None:
                again, name = self._again, entry.name
                entry._again = lambda channel, again=again, name=name: again(name, channel)  # type: ignore[misc]
            found.append(entry)
        return found

    @property
    def cka(self) -> np.ndarray | None:
        """float64 [L, L]: unbiased linear CKA between layers, where there are several of as many samples."""
        found = (self._document.get("redundancy") or {}).get("cka")
        return None if found is None else np.array([numbers(row) for row in found["values"]], dtype=np.float64)

    @property
    def cka_layers(self) -> list[str] | None:
        """The layers that the rows of :attr:`cka` stand for."""
        found = (self._document.get("redundancy") or {}).get("cka")
        return None if found is None else list(found["layers"])

    @property
    def across(self) -> Across | None:
        """What channels of different layers have in common, with ``across=True``."""
        fields = (self._document.get("redundancy") or {}).get("across")
        return None if fields is None else Across(fields, self._arrays)

    @property
    def images(self) -> Images | None:
        """Pictures of the samples in :attr:`LayerRedundancy.strongest`, with ``images=``."""
        fields = (self._document.get("redundancy") or {}).get("images")
        return None if fields is None else Images(fields, self._arrays)

    def to_frame(self) -> Any:
        """A pandas DataFrame with a row for each layer and channel."""
        from ._frames import redundancy

        return redundancy(self)

    @property
    def plot(self) -> Any:
        """Plots over layers with matplotlib."""
        from . import plot

        return plot.Plots(self)

    def _repr_html_(self) -> str:
        return shown(self.layers)

    def __repr__(self) -> str:
        from . import _html

        return _html.text(_html.redundancy_table(self.layers))


def redundancy(
    X: Any,
    y: Any = None,
    *,
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
    images: Any = None,
    queries: int | None = None,
    seed: int = 0,
    skip_unreadable: bool = False,
    save_graph: bool = False,
    supports: bool | None = None,
    device: str = "auto",
    memory: int | str | None = None,
    threads: int | None = None,
    progress: _call.Progress | bool | None = None,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    resume: bool = False,
) -> Redundancy:
    """Measures how redundant the channels of layers are, by channel-wise NNK graphs.

    `X` holds activations [N, C, H, W], [N, C, L] (lines) or [N, D] (one channel): an array or tensor, a file (.npy,
    .safetensors, .pt), a folder of them, several of these in a list, or a dict of any of these by the names of layers.
    Objects that are cut by rows (h5py, zarr, dask) are read in blocks. `y` holds a class number per sample, or is a file
    of them; it adds label errors. A folder's ``labels.npy`` is used without `y`.

    `k`: candidates per query, 1 to 1024. `kernel`: "gaussian" or "cosine". `sigma`: the bandwidth of the Gaussian kernel,
    "kth/3" (a third of the distance to the last candidate, per query) or a number. `identical`: what to do with samples at
    distance 0 from the query, "keep", "drop" or "replace". `aggregate`: also the graph of all channels as one vector per
    sample. `across`: also compare the channels of different layers, which have the same samples. `channels`: only these, in
    this order. `non_finite`: "raise", or "skip" samples that hold NaN or infinities. `baselines`: also the measures by other
    authors (correlations of channels, TwoNN, CKA); with many channels and few queries they take most of the time.
    `strongest`: also find the samples that excite each channel most, at most 8; the report then has a card of every channel.
    `images`: the samples as images, [N, 1, H, W], [N, 3, H, W], [N, H, W, 1] or [N, H, W, 3], an array or tensor or the path
    of an .npy; includes `strongest`, and the cards show pictures. `queries`: number of samples that are queries, drawn by
    `seed`; candidates still come from all samples, the cost falls with the number of queries, and every mean has a standard
    error in the field of its name with the suffix ``_se``. `skip_unreadable`: list files that cannot be read in `skipped`,
    and measure the others. `save_graph`: keep the graphs. `supports`: keep the supports, by which :func:`chanscope.compare`
    compares runs; by default where the results are written to a folder.

    `device`: "auto" (a real GPU if there is one, else the CPU), "cpu", "gpu", or "gpu:NAME_OR_INDEX". `memory`: the cap of
    the working sets, bytes or a text such as "8GiB"; half of the free memory by default. `threads`: all cores by default.
    `progress`: None (a tqdm bar where somebody sees it), False, or a function of (stage, done, total). `out`: a folder that
    the results are written to, as the command line does; `force` replaces earlier results there. `resume`: for files, go on with the
    run that `out` holds, and leave one there that can be gone on with if this call does not come to its end.

    The results are those of ``chanscope redundancy``, to the bit. Raises :class:`chanscope.Error`.
    """
    graph = _call.graph(k, kernel, sigma, identical)
    skip = _call.boolean("skip_unreadable", skip_unreadable)
    arguments = {
        "across": _call.boolean("across", across),
        "aggregate": _call.boolean("aggregate", aggregate),
        "channels": _inputs.channels(channels),
        "non_finite": _call.text("non_finite", non_finite),
        "skip_unreadable": skip,
        "baselines": _call.boolean("baselines", baselines),
        "strongest": _call.boolean("strongest", strongest) or images is not None,
        "queries": None if queries is None else _call.integer("queries", queries, least=1),
        "seed": _call.integer("seed", seed),
        "save_graph": _call.boolean("save_graph", save_graph),
        "supports": out is not None if supports is None else _call.boolean("supports", supports),
    }
    call = _call.settings(
        device=device, memory=memory, threads=threads, progress=progress, out=out, force=force
    )
    if _call.boolean("resume", resume):
        from ._units import files

        if out is None:
            raise UsageError("resume=True goes on with the run in a folder, so it needs out=")
        try:
            _chanscope.resume(files(X, y, images, sigma), graph, arguments, call)
        finally:
            _call.close(call)
        folder = _call.path("out", out)
        return Redundancy(read_document(folder), Arrays(folder=folder), folder=folder)
    labels = _inputs.labels(y)
    found = _inputs.collect(X, skip_unreadable=skip)
    pictured = _inputs.images(images)
    try:
        results: Redundancy = made(Redundancy, _chanscope.redundancy(found, labels, pictured, graph, arguments, call))
    finally:
        _call.close(call)

    def again(layer: str, channel: int) -> Mapping[str, np.ndarray]:
        changed = {"aggregate": False, "save_graph": True, "supports": False, "strongest": False}
        one = {**arguments, **changed, "channels": [channel]}
        settings = _call.settings(device=device, memory=memory, threads=threads, progress=False)
        graphs: Results = made(Results, _chanscope.redundancy(found.only(layer), None, None, graph, one, settings))
        return {name: graphs.arrays[f"layers/{layer}/{name}.npy"] for name in ("neighbors", "weights")}

    results._again = again
    return results
