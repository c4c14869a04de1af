"""Channel-wise NNK graphs of large maps, from the file on: faiss, numpy's products, Cholesky and scipy's nnls, one process a
core, against `chanscope redundancy`."""
import json
import multiprocessing

import numpy as np
from harness import row, timed
from rows import cwnnk, nnk
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

SHAPE = (2000, 8, 112, 112)


def run(context):
    random = np.random.default_rng(0)
    hidden = random.standard_normal((SHAPE[0], 12), dtype=np.float32)
    path = context.work / "layer" / "maps.npy"
    path.parent.mkdir(exist_ok=True)
    layer = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=SHAPE)
    for c in range(SHAPE[1]):
        mix = random.standard_normal((12, SHAPE[2] * SHAPE[3]), dtype=np.float32)
        noise = random.standard_normal((SHAPE[0], SHAPE[2] * SHAPE[3]), dtype=np.float32)
        layer[:, c] = np.maximum(hidden @ mix + noise / 2, 0).reshape(SHAPE[0], *SHAPE[2:])
    layer.flush()
    found = {}
    with multiprocessing.get_context("fork").Pool(context.threads) as pool:

        def peer():
            seconds, found["sizes"] = timed(cwnnk.peer_layer, pool, path, by_products)
            return seconds

        times = context.alternate(peer, lambda: cwnnk.chanscope(context, path), 1)
    results = json.loads((context.work / "out" / "results.json").read_text())["redundancy"]["layers"][0]
    shape = "x".join(map(str, SHAPE))
    yield row(f"whole CW-NNK, {shape} in f16, k {cwnnk.K}, gaussian", "faiss, numpy's products and Cholesky, scipy nnls", *times, cwnnk.compare(found["sizes"], results), 5)
    path.unlink()


def by_products(points, neighbors, usable):
    """Support sizes, a query at a time: distances between candidates from one matrix product."""
    sizes = []
    for i in usable:
        chosen = points[neighbors[i]] - points[i]
        products = chosen @ chosen.T
        norms = products.diagonal()
        scale = 2 * norms[-1] / 9
        gram = np.exp(-np.maximum(norms[:, None] + norms - 2 * products, 0) / scale)
        factor = cholesky(gram + nnk.JITTER * np.eye(len(gram)), lower=True, check_finite=False)
        right = solve_triangular(factor, np.exp(-norms / scale), lower=True, check_finite=False)
        sizes.append((nnls(factor.T, right)[0] > 1e-6).sum())
    return sizes
