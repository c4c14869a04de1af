"""Convolutional Similarity in PyTorch, against plain loops written from the definition and against the command line."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

import chanscope as cs

OPTIONS = [(p, c) for p in ("all", "adjacent") for c in ("separate", "summed")]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def correlation(a, b):
    """R[lag] = sum_n a[n] b[n + lag] over all lags, terms outside a filter being 0."""
    h, w = a.shape
    out = np.zeros((2 * h - 1, 2 * w - 1))
    for dy in range(1 - h, h):
        for dx in range(1 - w, w):
            for y in range(max(0, -dy), min(h, h - dy)):
                for x in range(max(0, -dx), min(w, w - dx)):
                    out[dy + h - 1, dx + w - 1] += a[y, x] * b[y + dy, x + dx]
    return out


def by_definition(k, pairs, input_channels):
    """`L`: every pair, every lag."""
    k = np.asarray(k, dtype=np.float64)
    total = 0.0
    for i in range(len(k)):
        for j in range(i + 1, len(k)):
            if pairs == "all" or j == i + 1:
                r = np.stack([correlation(a, b) for a, b in zip(k[i], k[j])])
                total += (r**2).sum() if input_channels == "separate" else (r.sum(0) ** 2).sum()
    return total


def gradient_by_definition(k, pairs, input_channels):
    """Central differences of a polynomial of fourth degree."""
    k, step = np.asarray(k, dtype=np.float64), 1e-4
    out = np.zeros_like(k)
    for at in np.ndindex(k.shape):
        up, down = k.copy(), k.copy()
        up[at] += step
        down[at] -= step
        out[at] = (by_definition(up, pairs, input_channels) - by_definition(down, pairs, input_channels)) / (2 * step)
    return out


@pytest.mark.parametrize("pairs, input_channels", OPTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(4, 2, 3, 3), (3, 9, 1, 1), (5, 1, 2, 3)])
def test_value_and_gradient(shape, dtype, pairs, input_channels):
    weights = torch.randn(shape).to(dtype).requires_grad_()
    value = cs.torch.conv_similarity(weights, pairs=pairs, input_channels=input_channels)
    (3 * value).backward()
    assert value.shape == () and value.dtype == dtype and weights.grad.dtype == dtype
    k = weights.detach().numpy()
    rounding = 1e-5 if dtype is torch.float32 else 1e-10
    assert value.item() == pytest.approx(by_definition(k, pairs, input_channels), rel=rounding)
    expected = 3 * gradient_by_definition(k, pairs, input_channels)
    # The differences themselves are exact to about 1e-7 of the largest.
    np.testing.assert_allclose(
        weights.grad.numpy(), expected, rtol=0, atol=max(rounding, 1e-7) * np.abs(expected).max()
    )


@pytest.mark.parametrize("pairs, input_channels", OPTIONS)
def test_gradcheck_in_float64(pairs, input_channels):
    weights = torch.randn(4, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    lines = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)

    def value(*layers):
        return cs.torch.conv_similarity(layers, pairs=pairs, input_channels=input_channels)

    assert torch.autograd.gradcheck(value, (weights, lines))


def test_one_filter_outweighs_the_others():
    k = torch.randn(6, 2, 3, 3, dtype=torch.float64)
    k[2] *= 1e6
    for dtype in (torch.float32, torch.float64):
        found = cs.torch.conv_similarity(k.to(dtype)).item()
        assert found == pytest.approx(by_definition(k.to(dtype), "all", "separate"), rel=1e-6)
    # In float32 the gradient of the heavy filter, which has the light ones in it only, does not drown.
    weights = k.float().requires_grad_()
    cs.torch.conv_similarity(weights).backward()
    exact = k.float().double().requires_grad_()
    cs.torch.conv_similarity(exact).backward()
    for got, expected in zip(weights.grad, exact.grad):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


def network():
    shared = nn.Conv2d(4, 4, 3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), shared, shared, nn.Conv1d(2, 3, 5), nn.Linear(2, 2))


def test_a_model_is_the_sum_over_its_convolutions():
    model = network()
    layers = [model[0].weight, model[2].weight, model[4].weight]
    total = cs.torch.conv_similarity(model)
    assert total.item() == pytest.approx(sum(cs.torch.conv_similarity(w).item() for w in layers), rel=1e-6)
    assert list(cs.torch.filters_of(model)) == ["0", "2", "4"]
    total.backward()
    assert all(w.grad is not None for w in layers) and model[5].weight.grad is None
    assert model[4].weight.grad.shape == (3, 2, 5)


def test_types_layouts_and_modes():
    weights = torch.randn(4, 3, 3, 3)
    value = cs.torch.conv_similarity(weights)
    assert not value.requires_grad
    assert torch.equal(cs.torch.conv_similarity(weights.to(memory_format=torch.channels_last)), value)
    half = weights.half().requires_grad_()
    found = cs.torch.conv_similarity(half)
    found.backward()
    assert found.dtype is torch.float32 and half.grad.dtype is torch.float16
    assert torch.equal(found, cs.torch.conv_similarity(half.detach().float()))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(cs.torch.conv_similarity(weights), value)
        double = weights.double()
        assert cs.torch.conv_similarity(double).dtype is torch.float64
    assert cs.torch.conv_similarity(weights[:1]).item() == 0
    frozen = [torch.randn(2, 2, 3, 3), torch.randn(2, 2, 3, 3, requires_grad=True)]
    cs.torch.conv_similarity(frozen).backward()
    assert frozen[0].grad is None and frozen[1].grad is not None


def test_second_derivatives_are_right_or_refused():
    weights = torch.randn(3, 2, 3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(cs.torch.conv_similarity(weights), weights, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated again"):
        gradient.sum().backward()
    double = torch.randn(3, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(cs.torch.conv_similarity, (double,))


def test_training_lowers_it():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    values = []
    for _ in range(20):
        loss = model(torch.randn(2, 3, 8, 8)).square().mean() * 0 + cs.torch.conv_similarity(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values == sorted(values, reverse=True) and values[-1] < 0.5 * values[0]


def plain_minimize(k, steps, keep_norm):
    """PyTorch's Adam in float64 on the same steps."""
    k = k.double().requires_grad_()
    norms = k.detach().flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    optimizer = torch.optim.Adam([k], lr=0.002)
    for _ in range(steps):
        optimizer.zero_grad()
        cs.torch.conv_similarity(k).backward()
        with torch.no_grad():
            if keep_norm:
                along = (k.grad * k).sum((1, 2, 3), keepdim=True) / (k * k).sum((1, 2, 3), keepdim=True)
                k.grad -= along * k
        optimizer.step()
        with torch.no_grad():
            if keep_norm:
                k *= norms / k.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    return k.detach()


@pytest.mark.parametrize("keep_norm", [False, True])
def test_minimize(keep_norm):
    model = network()
    before = {name: w.detach().clone() for name, w in cs.torch.filters_of(model).items()}
    histories = cs.torch.minimize_(model, steps=30, keep_norm=keep_norm)
    assert list(histories) == ["0", "2", "4"]
    for name, weights in cs.torch.filters_of(model).items():
        history = histories[name]
        assert len(history) == 31 and history[-1] < history[0]
        assert history[0] == pytest.approx(cs.torch.conv_similarity(before[name]).item(), rel=1e-6)
        assert history[-1] == pytest.approx(cs.torch.conv_similarity(weights).item(), rel=1e-6)
        if keep_norm:
            norms = [w.detach().flatten(1).norm(dim=1) for w in (before[name], weights)]
            torch.testing.assert_close(*norms)
    torch.testing.assert_close(
        model[0].weight.detach().double(), plain_minimize(before["0"], 30, keep_norm), atol=1e-5, rtol=0
    )
    assert model[0].weight.requires_grad


def test_minimize_other_types_and_optimizers():
    weights = torch.randn(4, 2, 3, 3)
    double, half = weights.double(), weights.half()
    history = cs.torch.minimize_([weights, double], steps=3, optimizer="sgd", lr=1e-3, momentum=0.9)
    assert torch.equal(weights.double(), double) and list(history) == ["0", "1"]
    cs.torch.minimize_(half, steps=1)
    assert half.dtype is torch.float16


def test_refusals():
    bad = torch.randn(3, 2, 3, 3)
    bad[1, 0, 2, 2] = float("nan")
    for call, kind, text in [
        (lambda: cs.torch.conv_similarity(nn.Linear(2, 2)), ValueError, "Linear has no Conv1d or Conv2d"),
        (lambda: cs.torch.conv_similarity(3), ValueError, "expected a module or tensors"),
        (lambda: cs.torch.conv_similarity([]), ValueError, "empty"),
        (lambda: cs.torch.conv_similarity(torch.randn(3, 3)), ValueError, r"\[M, C, h, w\].*\[3, 3\]"),
        (lambda: cs.torch.conv_similarity(torch.ones(2, 2, 3, 3, dtype=torch.int32)), ValueError, "int32"),
        (lambda: cs.torch.conv_similarity(bad, pairs="some"), ValueError, "pairs"),
        (lambda: cs.torch.conv_similarity(bad, input_channels="some"), ValueError, "input_channels"),
        (lambda: cs.torch.conv_similarity([bad * 0 + 1, bad]), cs.DataError, "layer '0': a weight is not finite"),
        (lambda: cs.torch.conv_similarity(bad.double()), cs.DataError, "a weight is not finite"),
        (
            lambda: cs.torch.conv_similarity(torch.full((2, 1, 3, 3), 1e30, dtype=torch.float64) * 1e100),
            cs.DataError,
            "too large",
        ),
        (lambda: cs.torch.minimize_(bad, 3), cs.DataError, "NaN|finite"),
        (lambda: cs.torch.minimize_(torch.randn(2, 2, 3, 3), 3, optimizer="lion"), ValueError, "optimizer"),
        (lambda: cs.torch.minimize_(torch.randn(2, 2, 3, 3), 3, momentum=0.9), ValueError, "momentum"),
        (lambda: cs.torch.minimize_(torch.randn(2, 2, 3, 3), 3, lr=-1), ValueError, "lr"),
        (lambda: cs.torch.minimize_(torch.randn(2, 2, 3, 3), -3), ValueError, "steps"),
    ]:
        with pytest.raises(kind, match=text):
            call()
    diverging = torch.randn(3, 2, 3, 3)
    kept = diverging.clone()
    with pytest.raises(cs.DataError, match="diverged.*nothing was changed"):
        cs.torch.minimize_(diverging, 60, optimizer="sgd", lr=1e6)
    assert torch.equal(diverging, kept)


@pytest.mark.parametrize("pairs, input_channels", OPTIONS)
def test_the_form_for_other_devices_agrees_in_float32(pairs, input_channels):
    from chanscope.torch import _identity

    on_engine = torch.randn(16, 8, 3, 3, requires_grad=True)
    in_torch = on_engine.detach().clone().requires_grad_()
    value = cs.torch.conv_similarity(on_engine, pairs=pairs, input_channels=input_channels)
    other = _identity("weight", in_torch, pairs, input_channels)
    value.backward()
    other.backward()
    assert other.item() == pytest.approx(value.item(), rel=1e-5)
    torch.testing.assert_close(in_torch.grad, on_engine.grad, rtol=0, atol=1e-5 * on_engine.grad.abs().max().item())
