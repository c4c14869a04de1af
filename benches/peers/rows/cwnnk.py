"""Channel-wise NNK graphs of a whole layer, from the file on: faiss, Cholesky and scipy's nnls, one process a
core, against `chanscope redundancy` (which also computes overlaps, dimensions and writes its results)."""
import json
import multiprocessing
import shutil
import subprocess

import faiss
import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls
from scipy.spatial.distance import cdist
from rows import nnk
from harness import row, timed

K = 25


def run(context):
    layer = context.activations()
    path = context.work / "layer" / "pool2.npy"
    path.parent.mkdir(exist_ok=True)
    np.save(path, layer)
    shape = "x".join(map(str, layer.shape))
    with multiprocessing.get_context("fork").Pool(context.threads) as pool:
        for name, supports in (
            ("faiss, then scipy's cdist, Cholesky, nnls in a loop", one_by_one),
            ("faiss, numpy's batched products and Cholesky, scipy nnls", in_batches),
        ):
            found = {}

            def peer():
                seconds, found["sizes"] = timed(peer_layer, pool, path, supports)
                return seconds

            def ours():
                return chanscope(context, path)

            times = context.alternate(peer, ours, min(context.repeats, 5))
            results = json.loads((context.work / "out" / "results.json").read_text())["redundancy"]["layers"][0]
            agreement = compare(found["sizes"], results)
            yield row(f"whole CW-NNK, {shape}, k {K}, gaussian", name, *times, agreement, 10)


def chanscope(context, path):
    out = context.work / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [context.binary, "redundancy", path, "-k", K, "--device", "cpu", "--threads", context.threads, "--out", out, "--quiet"]
    return timed(lambda: subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL))[0]


def peer_layer(pool, path, supports):
    """Mean support size of every channel (None where dead)."""
    channels = np.load(path, mmap_mode="r").shape[1]
    return pool.map(peer_channel, [(path, c, supports) for c in range(channels)], chunksize=1)


def peer_channel(job):
    path, c, supports = job
    faiss.omp_set_num_threads(1)
    layer = np.load(path, mmap_mode="r")
    points = np.ascontiguousarray(layer[:, c].reshape(len(layer), -1), dtype=np.float32)
    if not points.any():
        return None
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(points)
    found = index.search(points, K + 1)[1]
    own = found == np.arange(len(points))[:, None]
    own[~own.any(1), K] = True  # itself not among the k + 1: as many points at distance 0
    neighbors = found[~own].reshape(len(points), K)
    wide = points.astype(np.float64)
    usable = np.flatnonzero(np.square(wide[neighbors[:, -1]] - wide).sum(1) > 0)
    return float(np.mean(supports(wide, neighbors, usable))) if len(usable) else None


def in_batches(points, neighbors, usable):
    """Support sizes, Gram matrices and their factors a thousand at a time."""
    sizes = []
    for rows in np.array_split(usable, max(1, len(usable) // 1000)):
        grams, rights = nnk.regressions(points, neighbors, rows, "gaussian")
        sizes.extend((nnk.solve(grams, rights)[1] > 1e-6).sum(1))
    return sizes


def one_by_one(points, neighbors, usable):
    """Support sizes, a query at a time."""
    sizes = []
    for i in usable:
        chosen = points[neighbors[i]]
        distance = cdist(points[i : i + 1], chosen, "sqeuclidean")[0]
        scale = 2 * distance[-1] / 9
        gram = np.exp(-cdist(chosen, chosen, "sqeuclidean") / scale)
        factor = cholesky(gram + nnk.JITTER * np.eye(K), lower=True, check_finite=False)
        right = solve_triangular(factor, np.exp(-distance / scale), lower=True, check_finite=False)
        sizes.append((nnls(factor.T, right)[0] > 1e-6).sum())
    return sizes


def compare(peer, layer):
    ours = layer["neighbors_mean"]
    dead = [(a is None) != (b is None) for a, b in zip(peer, ours)]
    gap = max(abs(a - b) for a, b in zip(peer, ours) if a is not None and b is not None)
    return f"mean support sizes differ by at most {gap:.1e}" + (f"; {sum(dead)} channels live in one only" if any(dead) else "")
