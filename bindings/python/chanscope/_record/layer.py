"""A layer that is recorded: which values can be, which of their axes holds the channels, and what is said of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from .._errors import UsageError
from .encode import Encoder
from .models import class_name
from .npy import NpyFile, Writer
from .select import Candidate

#: Bytes of a file that are encoded at once. They are written while they are in the processor's caches.
PART = 2 << 20


@dataclass
class Layer:
    """A layer that is recorded."""

    name: str
    file: NpyFile
    encoder: Encoder
    about: dict[str, Any]

    def append(self, value: torch.Tensor, writer: Writer) -> None:
        """Adds the rows of a value. One part of them is written while the next is encoded."""
        rows = self.encoder.rows(value)
        for part in rows.split(max(1, PART // max(1, self.file.row_bytes))) if rows.numel() else ():
            buffer = writer.buffer(len(part) * self.file.row_bytes)
            out = buffer.view(self.file.dtype).reshape(len(part), *self.file.shape)
            try:
                self.encoder.encode(part, out)
            except BaseException:
                writer.give_back(buffer)
                raise
            writer.append(self.file, out, buffer)

    def describe(self, rows: int) -> dict[str, Any]:
        """Its entry in `record.json`."""
        return {
            "name": self.name,
            "file": self.file.path.name,
            "shape": [rows, *self.file.shape],
            "dtype": self.file.dtype.name,
            **self.about,
            "infinite": self.encoder.infinite,
            "lost_channels": self.encoder.lost,
        }


def about(c: Candidate, out: torch.Tensor, axis: int) -> dict[str, Any]:
    """How a layer came about, for `record.json`."""
    return {
        "module": class_name(c.module) if c.module is not None else None,
        "function": c.base.rpartition(".")[2] if c.module is None else None,
        "activation": c.activation,
        "computed": str(out.dtype).removeprefix("torch."),
        "computed_shape": list(out.shape[1:]),
        "channel_axis": axis,
    }


def problem(out: Any, rows: int | None) -> str | None:
    """Why a value cannot be recorded. `rows` are those of the other layers."""
    if not isinstance(out, torch.Tensor):
        return f"returns a {type(out).__name__}, not a tensor: name a module inside it"
    if not out.is_floating_point():
        return f"holds {out.dtype}, not floating-point numbers"
    if out.ndim < 2:
        return f"has the shape {list(out.shape)}, which has no axis of samples and one of channels"
    if rows is not None and len(out) != rows:
        return f"has {len(out)} rows, other layers have {rows}: its first axis is not that of the samples"
    return None


def channel_axis(c: Candidate, out: torch.Tensor, asked: int | None) -> int:
    """Axis of the channels: the one that was asked for, or the one that was followed through the pass.

    PyTorch's convention decides for maps of which it is not known; values of three dimensions are refused then, because
    `[N, C, L]` and `[N, L, C]` are both common.
    """
    if out.ndim == 2:
        return 1
    if asked is not None:
        axis = asked + out.ndim if asked < 0 else asked
        if not 0 < axis < out.ndim:
            raise UsageError(
                f"channel_axis={asked} is not an axis of channels of layer {c.name!r}, of shape {list(out.shape)}"
            )
        return axis
    if c.origin is not None and c.origin.axis:
        return c.origin.axis
    if out.ndim == 3:
        raise UsageError(
            f"layer {c.name!r} has the shape {list(out.shape)}, whose channels may be axis 1 or 2: say channel_axis="
        )
    return 1
