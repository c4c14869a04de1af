"""What is known about models: wrappers around them, and how compiled ones run as they were written."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from .._errors import UsageError


def unwrap(model: Any) -> torch.nn.Module:
    """The module inside the wrappers of PyTorch, whose names are those that users know."""
    if not isinstance(model, torch.nn.Module):
        raise UsageError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    while True:
        if isinstance(model, torch.nn.DataParallel) and len(model.device_ids) > 1:
            raise UsageError(
                "model: DataParallel runs parts of a batch in threads of their own; record model.module on one device instead"
            )
        if isinstance(model, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)):
            model = model.module
        elif hasattr(model, "_orig_mod"):  # what torch.compile returns
            model = model._orig_mod
        else:
            break
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            what = f"module {name!r} of the model" if name else "model"
            raise UsageError(
                f"model: the {what} is a torch.jit module, which does not show its layers; record the model it was made from"
            )
    return model


def eager(model: torch.nn.Module) -> AbstractContextManager[Any]:
    """While it is entered, compiled models run as they were written: compiled code has no layers."""
    compiled = any(
        hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) is not None for m in model.modules()
    )
    if not compiled:
        return nullcontext()
    if not hasattr(torch.compiler, "set_stance"):
        raise UsageError(
            "model: a model compiled by torch.compile is recorded with PyTorch 2.6 or later; record the model before it was compiled"
        )
    return _Stance()


class _Stance(AbstractContextManager):
    """`torch.compiler.set_stance` acts when it is made; this one acts when it is entered."""

    def __enter__(self) -> None:
        self._stance = torch.compiler.set_stance("force_eager")
        self._stance.__enter__()

    def __exit__(self, *error: object) -> None:
        self._stance.__exit__(*error)


def class_name(thing: Any) -> str:
    kind = type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"


def fingerprint(model: torch.nn.Module) -> str:
    """SHA-256 over name, type, shape and bytes of every parameter and buffer."""
    digest = hashlib.sha256()
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        digest.update(f"{name}:{tensor.dtype}:{list(tensor.shape)};".encode())
        plain = tensor.detach().cpu().contiguous()
        digest.update(plain.reshape(-1).view(torch.uint8).numpy() if plain.numel() else b"")
    return f"sha256:{digest.hexdigest()}"


def versions(model: torch.nn.Module) -> int:
    """A number that changes when a parameter or buffer does."""
    return sum(t._version for t in (*model.parameters(), *model.buffers()) if not t.is_inference())
