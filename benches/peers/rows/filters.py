"""Convolutional Similarity of all pairs of filters, value and gradient, all threads."""
import numpy as np
import torch
from harness import row, timed
from torch.nn import functional as F

SHAPE = (512, 512, 3, 3)
MORE = 2048


def run(context):
    context.set_threads(context.threads)
    weight = layer(SHAPE)
    with context.kernels() as kernels:
        kernels.load(context.threads, "filters", {"weight": weight.numpy()})
        kernels.run()
        saved = kernels.save()
        value, gradient = saved["value"][0], saved["gradient"].reshape(SHAPE)
        name = f"similarity of {'x'.join(map(str, SHAPE))} filters, value and gradient"
        for peer, function in (("the identity by grouped conv2d", by_identity), ("the identity by shifted products", by_shifts), ("the identity by rfft2", by_fft)):
            found = {}

            def once(function=function, found=found):
                seconds, found["it"] = timed(function, weight)
                return seconds

            seconds, ours = context.alternate(once, kernels.run)
            yield row(name, f"torch, {peer}", seconds, ours, agreement(value, gradient, *found["it"]), 5)
        # Minutes: once, after a warm-up on a few filters.
        by_pairs(weight[:8])
        seconds, found = timed(by_pairs, weight)
        yield row(name, "torch, grouped conv2d of every pair", seconds, ours, agreement(value, gradient, *found), 500)
        # Linear in the number of filters, taking turns with the smaller layer.
        more = layer((MORE, *SHAPE[1:]))
        with context.kernels() as others:
            others.load(context.threads, "filters", {"weight": more.numpy()})
            small, large = context.alternate(kernels.run, others.run)
        scaled = row(f"similarity of {MORE} filters instead of {SHAPE[0]}", "chanscope, 512", small, large, f"{large / small:.2f} times the time, at most 5 wanted", 0.2)
        yield scaled


def layer(shape):
    """Random filters as a network begins with."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator) / np.sqrt(np.prod(shape[1:]))


def agreement(value, gradient, their_value, their_gradient):
    values = abs(their_value - value) / abs(value)
    gradients = np.abs(their_gradient.numpy() - gradient).max() / np.abs(gradient).max()
    return f"values differ by {values:.1e}, gradients by {gradients:.1e}, relative"


def evaluated(autocorrelations, filters):
    """L = 1/2 sum_c (|sum_i a_i^c|^2 - sum_i |a_i^c|^2) and its gradient, a [M, C, ...] with an inner product."""
    filters = filters.detach().requires_grad_()
    a = autocorrelations(filters)
    value = 0.5 * (a.sum(0).square().sum() - a.square().sum())
    value.backward()
    return value.item(), filters.grad


def by_identity(filters):
    def correlated(k):
        m, c, h, w = k.shape
        maps = k.reshape(1, m * c, h, w)
        return F.conv2d(maps, k.reshape(m * c, 1, h, w), padding=(h - 1, w - 1), groups=m * c).reshape(m, c, -1)

    return evaluated(correlated, filters)


def by_shifts(filters):
    """Half of the lags, the others mirror them."""

    def correlated(k):
        m, c, h, w = k.shape
        lags = [k.square().sum((2, 3))]
        for dy in range(h):
            for dx in range(1 - w if dy else 1, w):
                own = k[:, :, : h - dy, max(0, -dx) : w - max(0, dx)]
                other = k[:, :, dy:, max(0, dx) : w - max(0, -dx)]
                lags.append(2**0.5 * (own * other).sum((2, 3)))
        return torch.stack(lags)

    filters = filters.detach().requires_grad_()
    a = correlated(filters)  # [lags, M, C]
    value = 0.5 * (a.sum(1).square().sum() - a.square().sum())
    value.backward()
    return value.item(), filters.grad


def by_fft(filters):
    """Inner products of autocorrelations are those of power spectra."""

    def spectra(k):
        m, c, h, w = k.shape
        power = torch.fft.rfft2(k, s=(2 * h - 1, 2 * w - 1)).abs().square()
        twice = torch.full((w,), 2.0)
        twice[0] = 1.0
        return power * (twice / ((2 * h - 1) * (2 * w - 1))).sqrt()

    return evaluated(spectra, filters)


def by_pairs(filters):
    """Every filter against all later ones, channel by channel."""
    filters = filters.detach().requires_grad_()
    m, c, h, w = filters.shape
    total = 0.0
    for i in range(m - 1):
        lags = F.conv2d(filters[i + 1 :], filters[i].reshape(c, 1, h, w), padding=(h - 1, w - 1), groups=c)
        value = lags.square().sum()
        value.backward()
        total += value.item()
    return total, filters.grad
