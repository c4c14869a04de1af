"""Nearest neighbours and NNK graphs of plain arrays [N, D]."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _call, _chanscope, _inputs
from ._errors import UsageError
from ._results import same_arrays, unknown

#: Weights up to this are no neighbours.
SUPPORT_THRESHOLD = 1e-6


def sparse(neighbors: np.ndarray, weights: np.ndarray, columns: int, kept: np.ndarray | None = None) -> Any:
    """Neighbours and weights [Q, k] as a scipy.sparse.csr_array. Rows are queries, or those samples that were kept of as
    many as there are columns."""
    try:
        from scipy.sparse import csr_array
    except ImportError:
        raise ImportError("graphs are sparse matrices of scipy: pip install scipy") from None
    used = (neighbors >= 0) & (weights > SUPPORT_THRESHOLD)
    rows, slots = np.nonzero(used)
    values, places = weights[rows, slots], neighbors[rows, slots]
    if kept is not None:
        rows = np.asarray(kept)[rows]
    count = columns if kept is not None else len(neighbors)
    found = csr_array((values, (rows, places)), shape=(count, columns))
    found.sort_indices()
    return found


def _vectors(name: str, x: Any) -> tuple[int, int, int, np.ndarray]:
    """Vectors [N, D] as float32 in C order, not copied where they are that already."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        x = x.float() if str(x.dtype) == "torch.bfloat16" else x
    given = np.asarray(x)
    if given.dtype.kind not in "fiub" or given.dtype.kind == "b":
        what = "Python objects" if given.dtype.kind == "O" else str(given.dtype)
        raise UsageError(f"{name} holds {what}, expected numbers: convert it, as a.astype(numpy.float32)")
    if given.ndim != 2:
        raise UsageError(f"{name} has shape {given.shape}, expected (N, D): a vector per sample")
    if 0 in given.shape:
        raise UsageError(f"{name} has shape {given.shape}: a dimension is zero, so there is nothing to search")
    with np.errstate(over="ignore"):
        held = np.ascontiguousarray(given, dtype=np.float32)
    return held.__array_interface__["data"][0], held.shape[0], held.shape[1], held


def knn(
    X: Any,
    k: int,
    *,
    queries: Any = None,
    metric: str = "euclidean",
    device: str = "auto",
    memory: int | str | None = None,
    threads: int | None = None,
    progress: _call.Progress | bool | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The `k` nearest neighbours of every row of `X` [N, D] among the others, exactly.

    With `queries` [Q, D], the neighbours of these among the rows of `X`. `metric`: "euclidean" or "cosine". Returns
    `(indices, sq_distances)`: int32 [N, k] by (distance, index), -1 where there are no more; float32 [N, k] squared
    distances, `2 - 2 cos` under "cosine".

    `device`, `memory`, `threads`, `progress`: as of :func:`chanscope.redundancy`. Raises :class:`chanscope.Error`.
    """
    kernels = {"euclidean": "gaussian", "cosine": "cosine"}
    if metric not in kernels:
        raise unknown("metric", metric, "euclidean or cosine")
    options = _call.graph(k, kernels[metric], "kth/3", "keep")
    call = _call.settings(device=device, memory=memory, threads=threads, progress=progress)
    others = None if queries is None else _vectors("queries", queries)
    try:
        neighbors, sq_distances, _ = _chanscope.graph(_vectors("X", X), others, options, False, call)
    finally:
        _call.close(call)
    return np.asarray(neighbors), np.asarray(sq_distances)


class NNKGraph:
    """An NNK graph: for each of Q queries the `k` nearest of N points, and which of them it needs.

    Arrays: `indices` int32 [Q, k] by distance, -1 where there are no more; `sq_distances` float32 [Q, k]; `weights` float32
    [Q, k] of the non-negative kernel regression, 0 where unused; `objective` float32 [Q]; `degenerate` bool [Q], queries
    without a usable neighbourhood. `kkt_residual_max` is the largest violation of the optimality conditions.
    """

    def __init__(
        self,
        indices: np.ndarray,
        sq_distances: np.ndarray,
        weights: np.ndarray,
        objective: np.ndarray,
        degenerate: np.ndarray,
        points: int,
        kkt_residual_max: float,
    ) -> None:
        self.indices = indices
        self.sq_distances = sq_distances
        self.weights = weights
        self.objective = objective
        self.degenerate = degenerate
        self.points = points
        self.kkt_residual_max = kkt_residual_max

    @property
    def shape(self) -> tuple[int, int]:
        """Queries, points."""
        return len(self.indices), self.points

    def to_csr(self) -> Any:
        """The graph as a scipy.sparse.csr_array [Q, N] of weights."""
        return sparse(self.indices, self.weights, self.points)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NNKGraph):
            return NotImplemented
        mine, theirs = dict(vars(self)), dict(vars(other))
        names = ("indices", "sq_distances", "weights", "objective", "degenerate")
        arrays = [{name: fields.pop(name) for name in names} for fields in (mine, theirs)]
        return mine == theirs and same_arrays(*arrays)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        mean = np.count_nonzero(self.weights > SUPPORT_THRESHOLD) / len(self.indices)
        return f"<chanscope.NNKGraph of {self.shape[0]} queries and {self.points} points, {mean:.2f} neighbours each>"


def nnk(
    X: Any,
    k: int = 25,
    *,
    queries: Any = None,
    kernel: str = "gaussian",
    sigma: float | str = "kth/3",
    identical: str = "keep",
    device: str = "auto",
    memory: int | str | None = None,
    threads: int | None = None,
    progress: _call.Progress | bool | None = None,
) -> NNKGraph:
    """The graph of non-negative kernel regression (arXiv 1910.09383) of the rows of `X` [N, D].

    Every row is approximated, in the kernel's space, by those of its `k` nearest others that it needs. With `queries`
    [Q, D], these are approximated by the rows of `X`. `kernel`, `sigma`, `identical` and the other arguments are those of
    :func:`chanscope.redundancy`, whose numbers for a layer of one channel these are. Raises :class:`chanscope.Error`.
    """
    options = _call.graph(k, kernel, sigma, identical)
    call = _call.settings(device=device, memory=memory, threads=threads, progress=progress)
    points = _vectors("X", X)
    others = None if queries is None else _vectors("queries", queries)
    try:
        indices, sq_distances, graph = _chanscope.graph(points, others, options, True, call)
    finally:
        _call.close(call)
    assert graph is not None
    weights, objective, degenerate, residual = graph
    return NNKGraph(
        np.asarray(indices),
        np.asarray(sq_distances),
        np.asarray(weights),
        np.asarray(objective),
        np.asarray(degenerate),
        points=points[1],
        kkt_residual_max=residual,
    )
