"""Follows the values of one forward pass: which layer they come from, and which axis holds their channels.

PyTorch shows every function that a model calls to a `TorchFunctionMode`, be it called by a module (`nn.ReLU` calls
`torch.nn.functional.relu`), by name, or as a method of a tensor. The trace notes an `Origin` for each result and
reports calls of activations. It sees neither scripted functions nor the inside of custom autograd functions; a module
around those hands the origin of its input on (`Trace.inherit`).
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode

#: Functions whose result is an activation. In-place forms have the same name with an underscore.
ACTIVATIONS = frozenset(
    [
        "relu",
        "relu6",
        "leaky_relu",
        "rrelu",
        "prelu",
        "elu",
        "celu",
        "selu",
        "gelu",
        "silu",
        "mish",
        "hardswish",
        "hardtanh",
        "hardsigmoid",
        "hardshrink",
        "softshrink",
        "tanhshrink",
        "softplus",
        "softsign",
        "logsigmoid",
        "sigmoid",
        "tanh",
        "threshold",
        "glu",
    ]
)
#: Class names of modules that are activations, whatever they compute inside.
ACTIVATION_CLASS = re.compile(
    r"(relu|elu|gelu|silu|swish|mish|softplus|softsign|shrink|tanh|sigmoid|threshold|glu)\d*(me|jit)?$", re.IGNORECASE
)

_CONVOLUTION = re.compile(r"(conv(_transpose)?[123]d|convolution|conv_tbc|deform_conv2d)$")
_LINEAR = frozenset(["linear", "bilinear", "embedding", "multi_head_attention_forward"])
_PRODUCTS = frozenset(["matmul", "rmatmul", "bmm", "baddbmm", "mm", "addmm", "einsum", "scaled_dot_product_attention"])
_CHANNELS_SECOND = frozenset(["batch_norm", "instance_norm", "group_norm", "local_response_norm"])
_CHANNELS_LAST = frozenset(["layer_norm", "rms_norm"])
_RESHAPES = frozenset(
    ["reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "getitem", "expand", "reshape_as", "view_as"]
)
_MOVES = frozenset(["movedim", "moveaxis", "swapaxes", "swapdims", "rot90", "t", "get"])


class Origin(NamedTuple):
    """Where a value comes from."""

    #: Nearest layer with weights before it: "conv", "linear", or "other".
    layer: str
    #: Axis of the channels, `None` where it cannot be told.
    axis: int | None


class Origins:
    """Origins of the tensors of one pass. They are found by identity and keep no tensor alive."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[weakref.ref, Origin]] = {}

    def get(self, tensor: torch.Tensor) -> Origin | None:
        found = self._of.get(id(tensor))
        return found[1] if found and found[0]() is tensor else None

    def put(self, tensor: torch.Tensor, origin: Origin) -> None:
        self._of[id(tensor)] = (weakref.ref(tensor), origin)


class Trace(TorchFunctionMode):
    """Active during a forward pass. Calls `activation(function name, result)` for each call of an activation."""

    def __init__(self, activation: Callable[[str, torch.Tensor], None]) -> None:
        super().__init__()
        self.origins = Origins()
        self._activation = activation
        #: While true, functions run unseen: those of the recorder itself.
        self.paused = False

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if self.paused or not isinstance(out, (torch.Tensor, tuple, list)) or isinstance(out, torch.Size):
            return out
        name = getattr(func, "__name__", "").split(".")[0].strip("_")
        for result in (out,) if isinstance(out, torch.Tensor) else out:
            if isinstance(result, torch.Tensor):
                origin = self._origin(name, args, kwargs or {}, result)
                if origin is not None:
                    self.origins.put(result, origin)
        if isinstance(out, torch.Tensor) and (name in ACTIVATIONS or _clamps_at_zero(name, args, kwargs)):
            self._activation("relu" if name.startswith("clamp") else name, out)
        return out

    def inherit(self, inputs: Any, out: torch.Tensor) -> Origin | None:
        """Origin of a module's result: its own, or else that of its input."""
        origin = self.origins.get(out)
        if origin is None:
            origin = self._origin("module", inputs, {}, out)
            if origin is not None:
                self.origins.put(out, origin)
        return origin

    def _origin(self, name: str, args: Any, kwargs: dict, out: torch.Tensor) -> Origin | None:
        last = out.ndim - 1
        if _CONVOLUTION.match(name):
            return Origin("conv", 1)
        if name in _LINEAR:
            return Origin("linear", last)
        if name in _PRODUCTS:
            return Origin("other", None)
        source, origin = self._source(args, kwargs)
        if name in _CHANNELS_SECOND:
            return Origin(origin.layer if origin else "other", 1)
        if name in _CHANNELS_LAST and len(kwargs.get("normalized_shape") or args[1]) == 1:
            return Origin(origin.layer if origin else "other", last)
        if origin is None or origin.axis is None:
            return origin
        return Origin(origin.layer, _moved(name, args, kwargs, source, origin.axis, out))

    def _source(self, args: Any, kwargs: dict) -> tuple[torch.Tensor | None, Origin | None]:
        """The argument that the result has its shape from: the first of those with most dimensions."""
        best: tuple[torch.Tensor | None, Origin | None] = (None, None)
        for value in (*args, *kwargs.values()):
            for tensor in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(tensor, torch.Tensor):
                    origin = self.origins.get(tensor)
                    if origin is not None and (best[0] is None or tensor.ndim > best[0].ndim):
                        best = (tensor, origin)
        return best


def _clamps_at_zero(name: str, args: tuple, kwargs: dict | None) -> bool:
    """Whether this is `clamp(min=0)`, a ReLU by another name."""
    if name not in ("clamp", "clamp_min", "clip"):
        return False
    low = (kwargs or {}).get("min", args[1] if len(args) > 1 else None)
    return isinstance(low, (int, float)) and low == 0


def _moved(name: str, args: Any, kwargs: dict, source: torch.Tensor, axis: int, out: torch.Tensor) -> int | None:
    """Axis of `out` that holds what axis `axis` of `source` held."""
    if name == "permute":
        dims = kwargs.get("dims", args[1] if len(args) == 2 and isinstance(args[1], (tuple, list)) else args[1:])
        return [d % source.ndim for d in dims].index(axis)
    if name == "transpose":
        first, second = (d % source.ndim for d in (*args[1:], *(kwargs[k] for k in ("dim0", "dim1") if k in kwargs)))
        return {first: second, second: first}.get(axis, axis)
    if name in _MOVES:
        return None
    if out.ndim == source.ndim and name not in _RESHAPES:
        return axis
    if out.shape[: axis + 1] == source.shape[: axis + 1]:
        return axis
    if axis == source.ndim - 1 and out.shape[-1:] == source.shape[-1:]:
        return out.ndim - 1
    return None
