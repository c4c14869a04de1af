"""Channel redundancy of one layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ._errors import UsageError
from ._results import Entry, numbers


class Graph:
    """Arrays of NNK graphs: one for each of C channels, or one of the aggregate."""

    def __init__(self, entry: Entry, folder: str) -> None:
        self._entry = entry
        self._folder = folder

    def _get(self, name: str) -> np.ndarray:
        found = self._entry.array(self._folder + name)
        if found is None:
            raise UsageError(f"the graphs of layer {self._entry.name} were not kept: measure it with save_graph=True")
        return found

    @property
    def neighbors(self) -> np.ndarray:
        """int32 [C, N, k]: sample indices by distance, -1 where there is none."""
        return self._get("neighbors")

    @property
    def sq_distances(self) -> np.ndarray:
        """float32 [C, N, k]: squared distances, ``2 - 2 cos`` under the cosine kernel."""
        return self._get("sq_distances")

    @property
    def weights(self) -> np.ndarray:
        """float32 [C, N, k]: weights of the non-negative kernel regression, 0 where unused."""
        return self._get("weights")

    @property
    def objective(self) -> np.ndarray:
        """float32 [C, N]: the value of the objective, from which the error of a query follows."""
        return self._get("objective")

    @property
    def degenerate(self) -> np.ndarray:
        """bool [C, N]: queries without a usable neighbourhood."""
        return self._get("degenerate")


class Aggregate(Graph):
    """The whole layer taken as one vector per sample. Arrays of the graph have C = 1."""

    def __init__(self, entry: Entry, fields: dict[str, Any]) -> None:
        super().__init__(entry, "aggregate/")
        self.fields = fields

    @property
    def neighbors_mean(self) -> float | None:
        """Mean number of neighbours."""
        return self.fields["neighbors_mean"]

    @property
    def loo_error(self) -> float | None:
        """Share of samples whose interpolated label is wrong; None without labels."""
        return self.fields["loo_error"]

    @property
    def loo_soft_error(self) -> float | None:
        """Mean of one minus the interpolated probability of the true label; None without labels."""
        return self.fields["loo_soft_error"]

    @property
    def pca_dimension_mean(self) -> float | None:
        """Mean number of principal components that hold 95 % of the neighbourhood."""
        return self.fields["pca_dimension_mean"]

    @property
    def recall(self) -> float | None:
        """Share of the aggregate's neighbours that some channel finds too."""
        return self.fields["recall"]

    def standard_error(self, field: str) -> float | None:
        """Standard error of a mean, such as ``"neighbors_mean"``, where `queries` drew some."""
        return self.fields.get(f"{field}_se")

    def __repr__(self) -> str:
        return f"<Aggregate of {self._entry.name}>"


class LayerRedundancy(Entry):
    """Channel redundancy of one layer. C counts the channels measured, in the order of :attr:`channels`."""

    _again: Callable[[int], Mapping[str, np.ndarray]] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W) of the layer."""
        return tuple(self._fields["shape"])

    @property
    def channels(self) -> np.ndarray:
        """int64 [C]: the channels measured, in the order of all arrays."""
        chosen = self._fields.get("channels")
        return np.arange(self.shape[1]) if chosen is None else np.array(chosen, dtype=np.int64)

    @property
    def dead_channels(self) -> np.ndarray:
        """Channels that are zero on every sample."""
        return np.array(self._fields["dead_channels"], dtype=np.int64)

    @property
    def overlap(self) -> np.ndarray:
        """float64 [C, C]: mean number of neighbours that two channels share; NaN for dead channels."""
        return self._arrays[f"{self._prefix}/overlap.npy"]

    @property
    def jaccard(self) -> np.ndarray:
        """float64 [C, C]: mean Jaccard index of the neighbours of two channels; NaN for dead channels."""
        return self._arrays[f"{self._prefix}/jaccard.npy"]

    @property
    def cosine(self) -> np.ndarray | None:
        """float64 [C, C]: cosine similarity of the channels' activations."""
        return self.array("cosine")

    @property
    def pearson(self) -> np.ndarray | None:
        """float64 [C, C]: Pearson correlation of the channels' activations."""
        return self.array("pearson")

    @property
    def kept(self) -> np.ndarray | None:
        """int32: samples that were measured, where ``non_finite="skip"`` left some out."""
        return self.array("kept")

    @property
    def strongest(self) -> np.ndarray | None:
        """int64 [C, 8]: the samples that excite each channel most, the strongest first, with ``strongest=True``; -1 where there
        are fewer."""
        return self.array("strongest")

    @property
    def strongest_mean(self) -> np.ndarray | None:
        """float64 [C, 8]: the mean of the channel's map on the samples of :attr:`strongest`; NaN where there are fewer."""
        return self.array("strongest_mean")

    @property
    def queries(self) -> np.ndarray | None:
        """int64 [M]: the samples that were queries, where `queries` drew some."""
        if self._fields.get("queries") is None:
            return None
        own = self.array("queries")
        return self._arrays["queries.npy"] if own is None else own

    @property
    def overlap_se(self) -> np.ndarray | None:
        """float64 [C, C]: standard error of :attr:`overlap`, where `queries` drew some."""
        return self.array("overlap_se")

    @property
    def jaccard_se(self) -> np.ndarray | None:
        """float64 [C, C]: standard error of :attr:`jaccard`, where `queries` drew some."""
        return self.array("jaccard_se")

    @property
    def neighbors_mean_se(self) -> np.ndarray | None:
        """float64 [C]: standard error of :attr:`neighbors_mean`, where `queries` drew some."""
        return self._numbers("neighbors_mean_se")

    @property
    def pca_dimension_mean_se(self) -> np.ndarray | None:
        """float64 [C]: standard error of :attr:`pca_dimension_mean`, where `queries` drew some."""
        return self._numbers("pca_dimension_mean_se")

    @property
    def loo_error_se(self) -> np.ndarray | None:
        """float64 [C]: standard error of :attr:`loo_error`, where `queries` drew some."""
        return self._numbers("loo_error_se")

    @property
    def loo_soft_error_se(self) -> np.ndarray | None:
        """float64 [C]: standard error of :attr:`loo_soft_error`, where `queries` drew some."""
        return self._numbers("loo_soft_error_se")

    @property
    def overlap_mean_se(self) -> float | None:
        """Standard error of :attr:`overlap_mean`, where `queries` drew some."""
        return self._fields.get("overlap_mean_se")

    @property
    def jaccard_mean_se(self) -> float | None:
        """Standard error of :attr:`jaccard_mean`, where `queries` drew some."""
        return self._fields.get("jaccard_mean_se")

    @property
    def redundancy_se(self) -> float | None:
        """Standard error of :attr:`redundancy`, where `queries` drew some."""
        return self._fields.get("redundancy_se")

    @property
    def degenerate_queries(self) -> np.ndarray:
        """int64 [C]: queries without a usable neighbourhood."""
        return np.array(self._fields["degenerate_queries"], dtype=np.int64)

    @property
    def not_unique_queries(self) -> np.ndarray:
        """int64 [C]: queries whose neighbours are not unique."""
        return np.array(self._fields["not_unique_queries"], dtype=np.int64)

    @property
    def neighbors_mean(self) -> np.ndarray:
        """float64 [C]: mean number of neighbours; NaN for dead channels."""
        return self._list("neighbors_mean")

    @property
    def pca_dimension_mean(self) -> np.ndarray:
        """float64 [C]: mean number of principal components that hold 95 % of the neighbourhood."""
        return self._list("pca_dimension_mean")

    @property
    def loo_error(self) -> np.ndarray | None:
        """float64 [C]: share of samples whose interpolated label is wrong; None without labels."""
        return self._numbers("loo_error")

    @property
    def loo_soft_error(self) -> np.ndarray | None:
        """float64 [C]: mean of one minus the interpolated probability of the true label; None without labels."""
        return self._numbers("loo_soft_error")

    @property
    def majority_error(self) -> float | None:
        """Error of always answering the most frequent label; None without labels."""
        return self._fields.get("majority_error")

    @property
    def overlap_mean(self) -> float | None:
        """Mean overlap of two different live channels."""
        return self._fields["overlap_mean"]

    @property
    def jaccard_mean(self) -> float | None:
        """Mean Jaccard index of two different live channels."""
        return self._fields["jaccard_mean"]

    @property
    def redundancy(self) -> float | None:
        """1 where the channels' neighbours are disjoint, C where they are identical."""
        return self._fields["redundancy"]

    @property
    def samples_skipped(self) -> int:
        """Samples that ``non_finite="skip"`` left out."""
        return int(self._fields.get("samples_skipped", 0))

    @property
    def kkt_residual_max(self) -> float | None:
        """Largest violation of the optimality conditions over all queries."""
        return self._fields.get("kkt_residual_max")

    @property
    def pair_queries_min(self) -> int | None:
        """Fewest queries behind any pair of live channels."""
        return self._fields.get("pair_queries_min")

    @property
    def baselines(self) -> dict[str, Any] | None:
        """Other measures of the same activations: ``cosine_mean``, ``pearson_mean``, ``two_nn`` [C]; None where they were left out."""
        return self._fields.get("baselines")

    @property
    def aggregate(self) -> Aggregate | None:
        """The layer as one vector per sample, if asked for."""
        found = self._fields.get("aggregate")
        return None if found is None else Aggregate(self, found)

    @property
    def graphs(self) -> Graph:
        """The arrays of all channels' graphs, with ``save_graph=True``."""
        return Graph(self, "")

    def graph(self, channel: int | str) -> Any:
        """The NNK graph of a channel, or of the ``"aggregate"``, as a scipy.sparse.csr_array [N, N].

        Row i holds the weights of the neighbours of sample i. A graph that was not kept by ``save_graph=True`` is computed
        again from what was measured, if that is still there.
        """
        if channel == "aggregate":
            aggregate = self.aggregate
            if aggregate is None:
                raise UsageError(f"layer {self.name} was measured without its aggregate: use aggregate=True")
            return self._sparse(aggregate.neighbors[0], aggregate.weights[0])
        places = np.flatnonzero(self.channels == channel)
        if not len(places):
            raise UsageError(f"channel is {channel!r}, expected one of the channels measured, or 'aggregate'")
        neighbors, weights = self.array("neighbors"), self.array("weights")
        if neighbors is not None and weights is not None:
            return self._sparse(neighbors[places[0]], weights[places[0]])
        if self._again is None:
            raise UsageError(f"the graphs of layer {self.name} were not kept: measure it with save_graph=True")
        found = self._again(int(channel))
        return self._sparse(found["neighbors"][0], found["weights"][0])

    def _sparse(self, neighbors: np.ndarray, weights: np.ndarray) -> Any:
        from ._graph import sparse

        rows = self.kept if self.queries is None else self.queries
        return sparse(neighbors, weights, self.shape[0], rows)

    @property
    def plot(self) -> Any:
        """Plots of this layer with matplotlib: ``plot.heatmap()`` and others."""
        from . import plot

        return plot.Plots(self)

    def _list(self, field: str) -> np.ndarray:
        found = numbers(self._fields[field])
        assert found is not None
        return found

    def _repr_html_(self) -> str:
        return shown([self])


def shown(layers: list[LayerRedundancy]) -> str:
    """What a notebook shows."""
    from . import _html

    matrices = [(layer.name, layer.jaccard) for layer in layers]
    return _html.page(_html.redundancy_table(layers), "Jaccard index between channels", matrices)
