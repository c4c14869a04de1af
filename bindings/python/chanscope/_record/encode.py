"""Turns a tensor into the rows of a file, and watches what is lost where the file's type is narrower.

float16 holds magnitudes up to 65504, and up to 2^-25 nothing but 0. Two losses are told: values that are infinite in the file,
and channels that are 0 throughout the file although they were not. Rounding keeps the order of numbers, so that the largest
magnitude of a channel tells both.
"""

from __future__ import annotations

import numpy as np
import torch

from .. import _chanscope
from .._errors import UsageError

#: Types of files by their names, and of tensors whose values they hold exactly.
STORED = {"float16": torch.float16, "float32": torch.float32, "float64": torch.float64}
_EXACT = {
    torch.float16: {torch.float16},
    torch.float32: {torch.float16, torch.bfloat16, torch.float32},
    torch.float64: {torch.float16, torch.bfloat16, torch.float32, torch.float64},
}


def stored_type(dtype: object) -> torch.dtype | None:
    """Checks `dtype=`. `None` stands for the type that is computed in."""
    if dtype is None or dtype in STORED.values():
        return dtype
    name = str(dtype).removeprefix("torch.") if isinstance(dtype, (str, torch.dtype)) else ""
    if not name:
        try:
            name = np.dtype(dtype).name
        except TypeError:
            name = repr(dtype)
    name = {
        "f2": "float16",
        "f4": "float32",
        "f8": "float64",
        "half": "float16",
        "float": "float32",
        "double": "float64",
    }.get(name, name)
    if name in STORED:
        return STORED[name]
    if name == "bfloat16":
        raise UsageError("dtype='bfloat16' has no .npy type; dtype='float32' holds bfloat16 values exactly")
    raise UsageError(f"dtype={dtype!r} is not one of 'float16', 'float32', 'float64' or None (as computed)")


class Encoder:
    """Values of one layer: `[N, C, ...]` with the channels moved to the second axis."""

    def __init__(self, computed: torch.dtype, stored: torch.dtype | None, axis: int) -> None:
        self.axis = axis
        self.stored = stored or (torch.float32 if computed is torch.bfloat16 else computed)
        self.dtype = np.dtype(str(self.stored).removeprefix("torch."))
        self._narrows = computed not in _EXACT[self.stored]
        #: Values that are infinite in the file, in whole batches.
        self.infinite = 0
        #: Largest magnitude of each channel, in whole batches; infinite where a value is NaN.
        self._largest: np.ndarray | float = 0.0
        self._infinite_of_batch = 0
        self._largest_of_batch: np.ndarray | float = 0.0

    def shape(self, value: torch.Tensor) -> tuple[int, ...]:
        """Shape of a sample in the file. Maps of more than two dimensions are stored as two."""
        shape = list(value.shape)
        shape.insert(1, shape.pop(self.axis))
        if len(shape) > 4:
            shape[2:] = [int(np.prod(shape[2:-1])), shape[-1]]
        return tuple(shape[1:])

    def rows(self, value: torch.Tensor) -> torch.Tensor:
        """The value with the axes of the file."""
        value = value.detach().movedim(self.axis, 1)
        return value.reshape(len(value), *self.shape(value)) if value.ndim > 4 else value

    def encode(self, rows: torch.Tensor, out: np.ndarray) -> None:
        """Writes `rows`, which have the axes of the file, to `out`, of the file's type."""
        if rows.dtype is torch.float32 and self.stored is torch.float16 and rows.device.type == "cpu":
            rows = rows.contiguous()
            sizes = (len(rows), _channels(rows), rows.numel() // (len(rows) * _channels(rows)))
            self._note(np.array(_chanscope.narrow(rows.data_ptr(), out.ctypes.data, *sizes)), out)
            return
        stored = rows if rows.device.type == "cpu" else rows.to(self.stored).contiguous()
        torch.from_numpy(out).copy_(stored)
        if self._narrows:
            self._note(_largest(rows).double().cpu().numpy(), out)

    def _note(self, largest: np.ndarray, out: np.ndarray) -> None:
        """Notes the largest magnitude of each channel, before it was rounded to what is in `out`."""
        if not np.isfinite(self._rounded(largest)).all():
            self._infinite_of_batch += int(np.isinf(out).sum())
        largest = np.where(np.isnan(largest), np.inf, largest)
        self._largest_of_batch = np.maximum(self._largest_of_batch, largest)

    def _rounded(self, values: np.ndarray | float) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.asarray(values).astype(self.dtype)

    def keep(self) -> None:
        """Counts what was encoded since the last call: it is a whole batch."""
        self.infinite += self._infinite_of_batch
        self._largest = np.maximum(self._largest, self._largest_of_batch)
        self.forget()

    def forget(self) -> None:
        """Does not count what was encoded since the last whole batch."""
        self._infinite_of_batch, self._largest_of_batch = 0, 0.0

    @property
    def lost(self) -> list[int]:
        """Channels that are 0 in the file and were not."""
        return np.flatnonzero((self._largest > 0) & (self._rounded(self._largest) == 0)).tolist()


def _channels(rows: torch.Tensor) -> int:
    """`[N, D]` is one channel."""
    return rows.shape[1] if rows.ndim > 2 else 1


def _largest(rows: torch.Tensor) -> torch.Tensor:
    """Largest magnitude of each channel, NaN if one is NaN."""
    maps = rows.reshape(len(rows), _channels(rows), -1)
    return torch.maximum(maps.amax((0, 2)), -maps.amin((0, 2)))
