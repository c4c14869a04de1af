"""Normalised cross-correlation of all pairs of maps at all lags, the largest value and its lag, all threads."""
import numpy as np
import scipy.fft
import torch
from harness import row, timed
from torch.nn import functional as F

MAPS, SIDE = 160, 16


def run(context):
    context.set_threads(context.threads)
    maps = np.random.default_rng(0).standard_normal((MAPS, SIDE, SIDE), dtype=np.float32)
    maps /= np.linalg.norm(maps, axis=(1, 2), keepdims=True)
    exact, _ = by_fft(maps.astype(np.float64), context.threads)
    with context.kernels() as kernels:
        kernels.load(context.threads, "correlate", {"x": maps[:, None]})
        for name, peer in (("scipy rfft2", by_fft), ("torch conv2d", by_convolution)):
            found = {}

            def once(peer=peer, found=found):
                seconds, found["best"] = timed(peer, maps, context.threads)
                return seconds

            seconds, ours = context.alternate(once, kernels.run)
            saved = kernels.save()
            error = np.abs(saved["max"].reshape(MAPS, MAPS) - exact).max()
            lags = saved["lag"].reshape(MAPS, MAPS, 2)
            same = (lags == np.stack(found["best"][1], axis=-1)).all(axis=-1).mean()
            yield row(
                f"correlate {MAPS} maps of {SIDE}x{SIDE}, all lags", name, seconds, ours,
                f"largest error {error:.1e}; the same lag in {100 * same:.1f} % of pairs", 5,
            )


def by_fft(maps, threads):
    """Largest correlation of every pair and its lag (y, x): product of the spectra, a map at a time."""
    size = 2 * SIDE
    spectra = scipy.fft.rfft2(maps, s=(size, size), workers=threads)
    best, place = np.empty((MAPS, MAPS), maps.dtype), np.empty((MAPS, MAPS), np.int64)
    for i in range(MAPS):
        values = scipy.fft.irfft2(spectra[i].conj() * spectra[i:], s=(size, size), workers=threads).reshape(MAPS - i, -1)
        place[i, i:] = values.argmax(axis=1)
        best[i, i:] = np.take_along_axis(values, place[i, i:, None], axis=1)[:, 0]
    y, x = ((v + SIDE - 1) % size - (SIDE - 1) for v in np.divmod(place, size))
    return mirrored(best, 1), (mirrored(y, -1), mirrored(x, -1))


def by_convolution(maps, _):
    """The same with each map as the filter of a convolution of those after it."""
    images = torch.from_numpy(maps)[:, None]
    with torch.no_grad():
        values = F.conv2d(images, images, padding=SIDE - 1).reshape(MAPS, MAPS, -1)
        best, place = (v.numpy() for v in values.max(dim=-1))
    # Row j holds map j correlated with filter i: lags of the pair (i, j).
    y, x = (v.T - (SIDE - 1) for v in np.divmod(place, 2 * SIDE - 1))
    return best.T, (y, x)


def mirrored(values, sign):
    """The lower triangle from the upper one."""
    return np.triu(values) + sign * np.triu(values, 1).T
