"""Cosine and Pearson correlation of all pairs of channels of a wide layer, against numpy.corrcoef and a matrix product."""
import numpy as np
from harness import row, timed

SHAPE = (1500, 1024, 4, 4)


def run(context):
    random = np.random.default_rng(0)
    hidden = random.standard_normal((SHAPE[0], 12), dtype=np.float32)
    mix = random.standard_normal((12, int(np.prod(SHAPE[1:]))), dtype=np.float32)
    layer = np.maximum(hidden @ mix, 0).reshape(SHAPE)
    found = {}

    def peer():
        seconds, found["peer"] = timed(similarities, layer)
        return seconds

    with context.kernels() as kernels:
        kernels.load(context.threads, "channels", {"x": layer})
        times = context.alternate(peer, kernels.run, min(context.repeats, 5))
        ours = kernels.save()
    gaps = [np.nanmax(np.abs(ours[name].reshape(peer.shape) - peer)) for name, peer in zip(("cosine", "pearson"), found["peer"])]
    shape = "x".join(map(str, SHAPE))
    yield row(f"baselines of {shape}: cosine and Pearson of all pairs of channels", "numpy: matmul, corrcoef", *times, f"cosines differ by {gaps[0]:.1e}, correlations by {gaps[1]:.1e}")


def similarities(layer):
    """Mean cosine over samples, and Pearson correlation, in float64."""
    maps = layer.transpose(1, 0, 2, 3).reshape(layer.shape[1], len(layer), -1).astype(np.float64)
    norms = np.linalg.norm(maps, axis=2, keepdims=True)
    directions = np.divide(maps, norms, out=np.zeros_like(maps), where=norms > 0).reshape(len(maps), -1)
    live = (norms[:, :, 0] > 0).astype(np.float64)
    cosine = directions @ directions.T / np.maximum(live @ live.T, 1)
    return cosine, np.corrcoef(maps.reshape(len(maps), -1))
