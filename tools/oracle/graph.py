"""Exact kNN candidates and exact non-negative kernel regression for one channel, in float64."""
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.spatial.distance import cdist

SUPPORT = 1e-6  # a neighbour belongs to the support when its weight exceeds this


@dataclass
class Params:
    k: int = 25
    kernel: str = "gaussian"  # or cosine
    sigma: float | None = None  # None: per query, distance to the last used candidate / 3
    identical: str = "keep"  # or drop, replace


@dataclass
class Graph:
    """One channel's NNK graph: N queries, k candidates ordered by (distance, index)."""

    neighbors: np.ndarray  # int32 [N, k], -1 where there is none
    sq_distances: np.ndarray  # float64 [N, k], 2 - 2 cos under cosine
    weights: np.ndarray  # float64 [N, k], raw theta
    objective: np.ndarray  # float64 [N]
    degenerate: np.ndarray  # bool [N]
    kkt: np.ndarray  # float64 [N], largest violation of the optimality conditions
    unique: np.ndarray  # bool [N], whether the optimum is the only one
    margin: np.ndarray  # float64 [N], how far the support is from changing

    @property
    def support(self):
        """bool [N, k]"""
        return (self.weights > SUPPORT) & (self.neighbors >= 0)


def build(points, params):
    """The graph of `points`, float64 [N, d]."""
    space = Space(points, params.kernel)
    neighbors, distances = candidates(space, params)
    count, k = neighbors.shape
    graph = Graph(
        neighbors, distances, np.zeros((count, k)), np.zeros(count), np.zeros(count, bool),
        np.zeros(count), np.ones(count, bool), np.full(count, np.inf),
    )
    dead = not space.points.any()  # degenerate throughout, also where a shared sigma would give weights
    for i in range(count):
        problem = None if dead else regression(space, neighbors[i], distances[i], i, params)
        if problem is None:
            graph.degenerate[i] = True
            continue
        used, gram, right = problem
        theta = solve(gram, right)
        graph.weights[i, used] = theta
        graph.objective[i] = objective(gram, right, theta)
        graph.kkt[i] = kkt_residual(gram, right, theta)
        graph.unique[i], graph.margin[i] = conditioning(gram, right, theta)
    return graph


class Space:
    """Points as the kernel sees them: raw, or scaled to norm 1 (a zero vector has no direction)."""

    def __init__(self, points, kernel):
        self.kernel = kernel
        self.points = np.asarray(points, np.float64)
        self.zero = np.zeros(len(points), bool)
        if kernel == "cosine":
            self.raw = self.points
            norms = np.linalg.norm(self.points, axis=1)
            self.zero = norms == 0
            self.norms = np.where(self.zero, 1.0, norms)
            self.points = self.points / self.norms[:, None]

    def sq_distances(self, rows):
        """[rows, N]: ||x - y||^2 in plain differences; between unit vectors that is 2 - 2 cos.

        Angles above 60 degrees are taken from the products of the vectors as they are, which are exactly 0 for
        orthogonal ones, and distances below 1e-14 count as 0 (docs/definitions.md, Candidates).
        """
        table = cdist(self.points[rows], self.points, "sqeuclidean")
        if self.kernel == "cosine":
            products = self.raw[rows] @ self.raw.T
            wide = 2.0 - 2.0 * products / (self.norms[rows, None] * self.norms[None, :])
            table = np.where(wide >= 1.0, wide, np.where(table < 1e-14, 0.0, table))
        return table


def candidates(space, params, block=512):
    """(neighbors int32 [N, k], squared distances [N, k]): the k nearest by (distance, index)."""
    count = len(space.points)
    neighbors = np.full((count, params.k), -1, np.int32)
    distances = np.zeros((count, params.k))
    for start in range(0, count, block):
        rows = np.arange(start, min(start + block, count))
        table = space.sq_distances(rows)
        table[:, space.zero] = np.inf
        if params.identical == "replace":
            table[table == 0] = np.inf
        table[np.arange(len(rows)), rows] = np.inf
        table[space.zero[rows]] = np.inf
        last = min(params.k, count) - 1
        kth = np.partition(table, last, axis=1)[:, last]
        for i, row in enumerate(rows):
            near = np.flatnonzero((table[i] <= kth[i]) & np.isfinite(table[i]))
            near = near[np.argsort(table[i, near], kind="stable")][: params.k]
            neighbors[row, : len(near)] = near
            distances[row, : len(near)] = table[i, near]
    return neighbors, distances


def regression(space, neighbors, distances, query, params):
    """(slots used, Gram matrix, right-hand side) of one query, or None when it is degenerate."""
    used = np.flatnonzero(neighbors >= 0)
    if params.identical == "drop" and (distances[used] > 0).any():
        used = used[distances[used] > 0]
    if len(used) == 0 or space.zero[query]:
        return None
    chosen = space.points[neighbors[used]]
    if space.kernel == "cosine":
        return used, 0.5 + 0.5 * chosen @ chosen.T, 0.5 + 0.5 * chosen @ space.points[query]
    scale = params.sigma if params.sigma is not None else np.sqrt(distances[used[-1]]) / 3.0
    if scale == 0:
        return None
    gram = np.exp(-cdist(chosen, chosen, "sqeuclidean") / (2 * scale**2))
    return used, gram, np.exp(-distances[used] / (2 * scale**2))


def solve(gram, right):
    """argmin over theta >= 0 of theta' G theta / 2 - b' theta, made exact on the support found."""
    values, vectors = np.linalg.eigh(gram)
    keep = values > 1e-14 * values[-1]
    root = np.sqrt(values[keep])
    factor = root[:, None] * vectors[:, keep].T
    theta, _ = nnls(factor, (vectors[:, keep].T @ right) / root, maxiter=100 * len(right))
    polished = polish(gram, right, theta)
    return min((theta, polished), key=lambda t: kkt_residual(gram, right, t))


def polish(gram, right, theta):
    """Plain active set from `theta` on the normal equations: solve on the support, step back to the
    boundary where a weight turns negative, let the index with the most negative gradient in."""
    theta, passive = theta.copy(), theta > 0
    for _ in range(20 * len(right)):
        while passive.any():
            at = np.flatnonzero(passive)
            target = np.linalg.lstsq(gram[np.ix_(at, at)], right[at], rcond=1e-14)[0]
            if (target > 0).all():
                theta[:] = 0.0
                theta[at] = target
                break
            falling = target <= 0
            steps = theta[at][falling] / (theta[at][falling] - target[falling])
            theta[at] += steps.min() * (target - theta[at])
            out = at[falling][steps <= steps.min() * (1 + 1e-12)]
            theta[out] = 0.0
            passive[out] = False
        gradient = gram @ theta - right
        gradient[passive] = 0.0
        if gradient.min() >= -1e-13:
            return theta
        passive[np.argmin(gradient)] = True
    return theta


def objective(gram, right, theta):
    return 0.5 * theta @ gram @ theta - right @ theta


def kkt_residual(gram, right, theta):
    """Largest |g_j| where theta_j > 0 and largest -g_j elsewhere."""
    gradient = gram @ theta - right
    return max(np.where(theta > 0, np.abs(gradient), -gradient).max(), 0.0)


def conditioning(gram, right, theta, tolerance=1e-9):
    """(is the optimum unique, how near the support is to another one).

    Unique when the Gram matrix of every index whose gradient is 0 (the support and the indices that
    could join it at no cost) has full rank. The margin is the smaller of the least weight's distance
    from the support threshold and the least gradient outside the support.
    """
    gradient = gram @ theta - right
    bound = np.flatnonzero((theta > 0) | (gradient < tolerance))
    unique = True
    if len(bound):
        values = np.linalg.eigvalsh(gram[np.ix_(bound, bound)])
        unique = values[0] > 1e-10 * values[-1]
    support = theta > SUPPORT
    inside = np.abs(theta[theta > 0] - SUPPORT)
    outside = gradient[~support]
    margin = min(inside.min(initial=np.inf), outside.min(initial=np.inf))
    return unique, max(margin, 0.0)
