"""Exact non-negative kernel regression against a loop of Cholesky and scipy's nnls, per core."""
import statistics
import time

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import nnls
from harness import row

QUERIES = 2000  # the peer is timed on these and the rest extrapolated: its cost is one query after another
JITTER = 1e-10  # what makes Cholesky work on Gram matrices of deficient rank; the peer needs it, we do not


def run(context):
    context.set_threads(1)
    layer = context.activations()
    channel = np.ascontiguousarray(busiest(layer))
    sets = {
        ("gaussian", "16-d channel"): (channel, 25, 25),
        ("cosine", "16-d channel"): (channel, 25, 15),
        ("gaussian", "64-d digits"): (context.digits(10_000), 25, 25),
        ("cosine", "64-d digits"): (context.digits(10_000), 25, 15),
        ("gaussian", "16-d channel, k 50"): (channel, 50, None),
        ("cosine", "16-d channel, k 50"): (channel, 50, None),
    }
    with context.kernels() as kernels:
        for (kernel, name), (points, k, wanted) in sets.items():
            kernels.load(1, "nnk", {"points": points}, k=k, cosine=kernel == "cosine")
            kernels.run()
            found = kernels.save()
            neighbors = found["neighbors"].reshape(-1, k)
            usable = np.flatnonzero((neighbors >= 0).all(1) & (found["objective"] != 0))[:QUERIES]
            grams, rights = regressions(points.astype(np.float64), neighbors, usable, kernel)
            whole = len(points) / len(usable)
            building = []

            def peer():
                started = time.perf_counter()
                regressions(points.astype(np.float64), neighbors, usable, kernel)
                building.append(time.perf_counter() - started)
                seconds, peer.thetas = solve(grams, rights)
                return seconds * whole

            theirs, ours = context.alternate(peer, kernels.run)
            agreement = compare(grams, rights, peer.thetas, kernels.save()["weights"].reshape(-1, k)[usable])
            what = f"exact NNK, {kernel}, {name}, 1 thread"
            both = theirs + statistics.median(building) * whole
            yield row(f"{what}, candidates given", "numpy + Cholesky + scipy nnls", both, ours, agreement, wanted, len(points))
            # Ours builds them still.
            yield row(f"{what}, the peer is given its Gram matrices too", "Cholesky + scipy nnls", theirs, ours, "as above", wanted, len(points))


def busiest(layer):
    """The channel with the fewest zero samples, [N, d]."""
    flat = layer.reshape(len(layer), layer.shape[1], -1)
    return flat[:, np.argmax((flat != 0).any(2).sum(0))]


def regressions(points, neighbors, rows, kernel):
    """(Gram matrices [Q, k, k], right-hand sides [Q, k]) in float64, by batched products: numpy's fastest way."""
    chosen, queries = points[neighbors[rows]], points[rows]
    if kernel == "cosine":
        chosen = chosen / np.linalg.norm(chosen, axis=2, keepdims=True)
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        return 0.5 + 0.5 * chosen @ chosen.transpose(0, 2, 1), 0.5 + 0.5 * np.einsum("qkd,qd->qk", chosen, queries)
    centred = chosen - queries[:, None]
    distance = np.einsum("qkd,qkd->qk", centred, centred)
    square = distance[:, :, None] + distance[:, None] - 2 * centred @ centred.transpose(0, 2, 1)
    scale = 2 * distance[:, -1] / 9
    return np.exp(-square / scale[:, None, None]), np.exp(-distance / scale[:, None])


def solve(grams, rights):
    """(seconds, thetas): Gram matrices given; factorisation, triangular solve and nnls timed."""
    started = time.perf_counter()
    factors = np.linalg.cholesky(grams + JITTER * np.eye(grams.shape[1]))
    thetas = np.empty_like(rights)
    for i, (factor, right) in enumerate(zip(factors, rights)):
        thetas[i] = nnls(factor.T, solve_triangular(factor, right, lower=True, check_finite=False))[0]
    return time.perf_counter() - started, thetas


def compare(grams, rights, theirs, ours):
    """Objectives of both in float64 on the same Gram matrices, and supports."""

    def objectives(thetas):
        thetas = thetas.astype(np.float64)
        return 0.5 * np.einsum("qi,qij,qj->q", thetas, grams, thetas) - np.einsum("qi,qi->q", thetas, rights)

    mine, reference = objectives(ours), objectives(theirs)
    gap = ((mine - reference) / np.abs(reference)).max()
    supports = ((ours > 1e-6) == (theirs > 1e-6)).all(1).mean()
    return f"objective at most {max(gap, 0):.0e} above the peer's, same support for {100 * supports:.1f} %"
