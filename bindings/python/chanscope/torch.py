"""Convolutional Similarity in training: a term of the loss, and an initialisation.

`chanscope.torch` needs PyTorch. Definitions: docs/definitions.md#convolutional-similarity, after arXiv 2411.03226.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from . import _call, _chanscope
from ._errors import DataError, UsageError

__all__ = ["conv_similarity", "filters_of", "minimize_"]

PAIRS = ("all", "adjacent")
INPUT_CHANNELS = ("separate", "summed")


def conv_similarity(
    model: nn.Module | torch.Tensor | Iterable[torch.Tensor], *, pairs: str = "all", input_channels: str = "separate"
) -> torch.Tensor:
    """Convolutional Similarity of filters, summed over layers, as a scalar that can be differentiated.

    >>> loss = task_loss + 1e-3 * cs.torch.conv_similarity(model)

    Parameters
    ----------
    model
        A module, whose `Conv1d` and `Conv2d` layers count; or filters `[M, C, h, w]` or `[M, C, l]`, one tensor or several.
    pairs
        `"all"` pairs of filters, or `"adjacent"` ones.
    input_channels
        `"separate"`: correlations are squared, then summed over input channels. `"summed"`: the other way round.

    Returns
    -------
    A scalar of the filters' type, float32 for half precision. It is 0 for a layer of one filter.

    Notes
    -----
    float32 filters on the CPU are computed by the engine, in double precision inside, in one call for all layers. Filters on
    other devices and float64 ones use the same identity in PyTorch's operations, whose cost is linear in the number of
    filters too (except with ``"summed"``). The engine's gradient cannot be differentiated again, which raises an error, and
    does not work under ``torch.func``.
    """
    _check_options(pairs, input_channels)
    layers = filters_of(model)
    on_engine = {name: w for name, w in layers.items() if _engine_takes(w)}
    others = {name: w for name, w in layers.items() if name not in on_engine}
    total: Any = None
    if on_engine:
        total = _Engine.apply(pairs, input_channels, tuple(on_engine), *on_engine.values())
    for name, weights in others.items():
        value = _identity(name, weights, pairs, input_channels)
        total = value if total is None else total + value.to(total.device)
    return total


def minimize_(
    model: nn.Module | torch.Tensor | Iterable[torch.Tensor],
    steps: int = 200,
    *,
    optimizer: str = "adam",
    lr: float = 0.002,
    momentum: float = 0.0,
    keep_norm: bool = False,
    pairs: str = "all",
    input_channels: str = "separate",
    progress: _call.Progress | bool | None = None,
) -> dict[str, list[float]]:
    """Minimises the Convolutional Similarity of each layer in place: the iterative initialisation of the paper.

    >>> cs.torch.minimize_(model, steps=200, keep_norm=True)

    It is computed by the engine in float32 with double precision inside, like `chanscope filters --minimize`, and to the
    same bits; filters on other devices and of other types are copied there and back.

    Parameters
    ----------
    model, pairs, input_channels
        As in `conv_similarity`.
    steps
        Steps for each layer.
    optimizer
        `"adam"` or `"sgd"`, as PyTorch defines them.
    lr, momentum
        Learning rate, and the momentum of `"sgd"`.
    progress
        As in `chanscope.redundancy`.
    keep_norm
        Whether each filter keeps its norm. Without it filters shrink, as zeros are the trivial minimum.

    Returns
    -------
    `{layer: values}`: the similarity before the first and after every step.
    """
    _check_options(pairs, input_channels)
    if optimizer not in ("adam", "sgd"):
        raise UsageError(f"optimizer={optimizer!r} is not one of 'adam', 'sgd'")
    if momentum and optimizer != "sgd":
        raise UsageError(f"momentum={momentum} belongs to optimizer='sgd'")
    steps = _call.integer("steps", steps)
    options = (
        steps,
        optimizer,
        _call.number("lr", lr),
        _call.number("momentum", momentum),
        bool(keep_norm),
        pairs,
        input_channels,
    )
    histories, found = {}, []
    for name, weights in filters_of(model).items():
        plain = weights.detach().to("cpu", torch.float32, memory_format=torch.contiguous_format, copy=True)
        call = _call.settings(device="cpu", progress=progress)
        try:
            history = _chanscope.minimize_filters(name, plain.data_ptr(), _four(plain.shape), options, call)
        finally:
            _call.close(call)
        if len(history) <= steps or not math.isfinite(history[-1]):
            raise DataError(
                f"layer {name!r}: the similarity has diverged after {len(history) - 1} steps, nothing was changed: use a smaller lr"
            )
        histories[name] = history
        found.append((weights, plain))
    with torch.no_grad():
        for weights, plain in found:
            weights.copy_(plain)
    return histories


def filters_of(model: nn.Module | torch.Tensor | Iterable[torch.Tensor]) -> dict[str, torch.Tensor]:
    """The filters that count, by the names of their layers; each tensor once."""
    if isinstance(model, torch.Tensor):
        layers = {"weight": model}
    elif isinstance(model, nn.Module):
        layers = {
            name or "weight": m.weight for name, m in model.named_modules() if isinstance(m, (nn.Conv1d, nn.Conv2d))
        }
        if not layers:
            raise UsageError(f"model: {type(model).__name__} has no Conv1d or Conv2d layer")
    else:
        if not isinstance(model, Iterable):
            raise UsageError(f"model: expected a module or tensors, got {type(model).__name__}")
        layers = {str(i): w for i, w in enumerate(model)}
        if not layers:
            raise UsageError("model: expected a module or filters, got an empty list")
    seen: set[int] = set()
    once = {}
    for name, weights in layers.items():
        if not isinstance(weights, torch.Tensor):
            raise UsageError(f"model: expected a module or tensors, got {type(weights).__name__}")
        if not weights.is_floating_point() or weights.ndim not in (3, 4) or 0 in weights.shape:
            raise UsageError(
                f"layer {name!r}: expected filters [M, C, h, w] or [M, C, l], got {weights.dtype} of shape {list(weights.shape)}"
            )
        if id(weights) not in seen:
            seen.add(id(weights))
            once[name] = weights
    return once


def _check_options(pairs: str, input_channels: str) -> None:
    for name, got, known in (("pairs", pairs, PAIRS), ("input_channels", input_channels, INPUT_CHANNELS)):
        if got not in known:
            raise UsageError(f"{name}={got!r} is not one of {', '.join(map(repr, known))}")


def _four(shape: Iterable[int]) -> list[int]:
    """`[M, C, h, w]`; filters of one dimension have one row."""
    m, c, *kernel = shape
    return [m, c, *([1] * (2 - len(kernel))), *kernel]


# On the engine.

_kept = threading.local()


def _engine_takes(weights: torch.Tensor) -> bool:
    return weights.device.type == "cpu" and weights.dtype in (torch.float32, torch.float16, torch.bfloat16)


def _regularizer(pairs: str, input_channels: str) -> Any:
    """One for each thread: it keeps its working memory from step to step."""
    found = _kept.__dict__.setdefault("regularizers", {})
    if (pairs, input_channels) not in found:
        found[pairs, input_channels] = _chanscope.Regularizer(pairs, input_channels)
    return found[pairs, input_channels]


class _Engine(torch.autograd.Function):
    """Value and gradient of all layers in one call."""

    @staticmethod
    def forward(
        ctx: Any, pairs: str, input_channels: str, names: tuple[str, ...], *layers: torch.Tensor
    ) -> torch.Tensor:
        plain = [w.detach().to(torch.float32).contiguous() for w in layers]
        gradients = [torch.empty_like(w) for w in plain]
        jobs = [(w.data_ptr(), _four(w.shape), g.data_ptr()) for w, g in zip(plain, gradients)]
        value = _regularizer(pairs, input_channels).evaluate(jobs)
        if not math.isfinite(value):
            raise DataError(_not_finite(names, plain))
        ctx.save_for_backward(*layers, *gradients)
        return torch.tensor(value, dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, outer: torch.Tensor) -> tuple[Any, ...]:
        count = len(ctx.saved_tensors) // 2
        layers, gradients = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        found: list[Any] = []
        for weights, gradient, needed in zip(layers, gradients, ctx.needs_input_grad[3:]):
            result = (outer * gradient).to(weights.dtype) if needed else None
            if needed and torch.is_grad_enabled():  # a graph of the gradient is wanted
                result = _Last.apply(weights, result)
            found.append(result)
        return (None, None, None, *found)


class _Last(torch.autograd.Function):
    """A gradient that cannot be differentiated again. Without this it would pass for a constant."""

    @staticmethod
    def forward(ctx: Any, weights: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> Any:
        raise RuntimeError(
            "the engine's gradient of conv_similarity cannot be differentiated again; use float64 weights"
        )


def _not_finite(names: tuple[str, ...], layers: list[torch.Tensor]) -> str:
    for name, weights in zip(names, layers):
        if not torch.isfinite(weights).all():
            return f"layer {name!r}: a weight is not finite; training has diverged: use a smaller learning rate"
    return "the similarity of the filters is not finite: the weights are too large"


# In PyTorch's operations.


def _identity(name: str, weights: torch.Tensor, pairs: str, input_channels: str) -> torch.Tensor:
    """The similarity by the identities of docs/definitions.md, with the gradient from autograd."""
    kind = weights.device.type
    with torch.autocast(kind, enabled=False):
        k = weights if weights.dtype is torch.float64 else weights.float()
        k = k.reshape(_four(k.shape))
        value = _separate(k, pairs) if input_channels == "separate" else _summed(k, pairs)
    if not torch.isfinite(value):
        raise DataError(_not_finite((name,), [weights]))
    return value


def _spectra(k: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Spectra `[M, C, frequencies]` of zero-padded filters, and the weight of each frequency in an inner product.

    By Parseval, sums over lags of squared correlations are sums over frequencies of products. Transforms are of odd sizes,
    so each frequency but those of the first column stands for two. No TF32 takes part, as it would in convolutions.
    """
    h, w = 2 * k.shape[2] - 1, 2 * k.shape[3] - 1
    spectra = torch.fft.rfft2(k, s=(h, w))
    weights = torch.full(spectra.shape[2:], 2.0 / (h * w), dtype=k.dtype, device=k.device)
    weights[:, 0] /= 2
    return spectra.flatten(2), weights.flatten()


def _separate(k: torch.Tensor, pairs: str) -> torch.Tensor:
    """`sum_{i<j} <a_i, a_j>` with the autocorrelations `a`, whose spectra are powers.

    Each filter meets the sum over those after it. All terms are positive, so nothing cancels.
    """
    spectra, weights = _spectra(k)
    power = torch.view_as_real(spectra).square().sum(-1)
    after = power if pairs == "adjacent" else power.flip(0).cumsum(0).flip(0)
    return (power[:-1] * after[1:] * weights).sum()


def _summed(k: torch.Tensor, pairs: str) -> torch.Tensor:
    """`sum_{i<j} sum_b R_ij[b]^2` by the Gram matrix of the spectra at each frequency, whose cost grows with `M^2`."""
    spectra, weights = _spectra(k)
    if pairs == "adjacent":
        products = (spectra[:-1].conj() * spectra[1:]).sum(1)
    else:
        at = spectra.permute(2, 0, 1)
        gram = at.conj() @ at.transpose(1, 2)
        i, j = torch.triu_indices(len(k), len(k), 1, device=k.device)
        products = gram[:, i, j].T
    return (torch.view_as_real(products).square().sum(-1) * weights).sum()
