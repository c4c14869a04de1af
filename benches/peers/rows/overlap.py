"""Overlaps and Jaccard indices of supports for all pairs of channels of a wide layer, against scipy.sparse: the product of
each query's one-hot supports with itself."""
import numpy as np
from harness import row, timed
from scipy.sparse import csr_matrix

CHANNELS, QUERIES, K, SAMPLES = 1024, 200, 25, 1500


def run(context):
    supports = draw()
    found = {}

    def peer():
        seconds, found["peer"] = timed(products, supports)
        return seconds

    with context.kernels() as kernels:
        kernels.load(context.threads, "overlap", {"supports": supports})
        times = context.alternate(peer, kernels.run, min(context.repeats, 5))
        ours = kernels.save()
    intersection, jaccard = found["peer"]
    same = (ours["intersection"].reshape(intersection.shape) == intersection).all()
    gap = np.abs(ours["jaccard"].reshape(jaccard.shape) - jaccard).max() / QUERIES
    pairs = QUERIES * CHANNELS * (CHANNELS - 1) / 2
    yield row(
        f"overlaps of {CHANNELS} channels, {QUERIES} queries, k {K}", "scipy.sparse, S @ S.T of each query", *times,
        f"{'equal' if same else 'different'} intersections; mean Jaccard indices differ by at most {gap:.1e}", None, pairs, "pairs/s",
    )


def draw():
    """[C, Q, k] as float32: supports of 6 to 18 of the 150 samples around each query; -1 where a slot is not used."""
    random = np.random.default_rng(0)
    near = (np.arange(QUERIES)[:, None] * 7919 + np.arange(150)) % SAMPLES
    places = random.random((CHANNELS, QUERIES, 150), dtype=np.float32).argsort(-1)[..., :K]
    supports = np.take_along_axis(near[None], places, -1).astype(np.float32)
    sizes = random.integers(6, 19, (CHANNELS, QUERIES, 1))
    return np.where(np.arange(K) < sizes, supports, -1).astype(np.float32)


def products(supports):
    """Sums over queries of intersections and Jaccard indices."""
    intersections, jaccards = np.zeros((2, CHANNELS, CHANNELS))
    for query in range(QUERIES):
        members = supports[:, query]
        channels, slots = np.nonzero(members >= 0)
        columns = members[channels, slots].astype(np.int64)
        hot = csr_matrix((np.ones(len(columns), np.float32), (channels, columns)), (CHANNELS, SAMPLES))
        common = (hot @ hot.T).toarray().astype(np.float64)
        sizes = common.diagonal()
        intersections += common
        jaccards += common / (sizes[:, None] + sizes - common)
    return intersections, jaccards
