"""Turns a tensor into the rows of a file, and watches what is lost where the file's type is narrower.

float16 holds magnitudes up to 65504, and below 2^-25 nothing but 0. Two losses are told: values that are infinite in the file,
and channels that are 0 throughout the file although they were not. The thread that writes looks at what is written; the thread
that computes looks only at channels of which nothing but 0 has been written so far.
"""

from __future__ import annotations

import numpy as np
import torch

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
        self.computed = computed
        self.stored = stored or (torch.float32 if computed is torch.bfloat16 else computed)
        self.dtype = np.dtype(str(self.stored).removeprefix("torch."))
        self._narrows = computed not in _EXACT[self.stored]
        #: Values that are infinite in the file.
        self.infinite = 0
        self._live: np.ndarray | None = None
        self._written_live: np.ndarray | None = None

    def shape(self, value: torch.Tensor) -> tuple[int, ...]:
        """Shape of a sample in the file. Maps of more than two dimensions are stored as two."""
        shape = list(value.shape)
        shape.insert(1, shape.pop(self.axis))
        if len(shape) > 4:
            shape[2:] = [int(np.prod(shape[2:-1])), shape[-1]]
        return tuple(shape[1:])

    @property
    def watches(self) -> bool:
        """Whether values may be lost."""
        return self._narrows

    def encode(self, value: torch.Tensor, out: np.ndarray) -> None:
        """Writes `value` to `out`, of the file's type and shape."""
        value = value.detach().movedim(self.axis, 1)
        value = value.reshape(out.shape) if value.ndim > 4 else value
        if self._narrows:
            self._look(value)
        if value.device.type != "cpu":
            value = value.to(self.stored).contiguous()
        torch.from_numpy(out).copy_(value)

    def written(self, values: np.ndarray) -> None:
        """Notes what the file holds. Called by the thread that writes."""
        magnitudes = _magnitudes(values)
        if not np.isfinite(magnitudes).all():
            self.infinite += int(np.isinf(values).sum())
        if self._written_live is None:
            self._written_live = np.zeros(len(magnitudes), bool)
        self._written_live |= magnitudes != 0

    @property
    def lost(self) -> list[int]:
        """Channels that are 0 in the file and were not."""
        if self._live is None or self._written_live is None:
            return []
        return np.flatnonzero(self._live & ~self._written_live).tolist()

    def _look(self, value: torch.Tensor) -> None:
        """Notes which channels are not 0, among those of which it is not known yet and matters."""
        channels = value.shape[1] if value.ndim > 2 else 1
        if self._live is None:
            self._live = np.zeros(channels, bool)
        known = self._live if self._written_live is None else self._live | self._written_live
        unknown = np.flatnonzero(~known)
        if len(unknown) == 0:
            return
        if value.ndim == 2:
            self._live[0] = bool(value.any())
            return
        if len(unknown) < channels:
            value = value.index_select(1, torch.from_numpy(unknown).to(value.device))
        self._live[unknown] = value.flatten(2).any(2).any(0).cpu().numpy()


def _magnitudes(values: np.ndarray) -> np.ndarray:
    """Largest magnitude of each channel, NaN if one is NaN; of `[N, D]`, which is one channel, a single number."""
    channels = values.shape[1] if values.ndim > 2 else 1
    flat = values.reshape(len(values), -1)
    if values.dtype != np.float16:
        largest = np.maximum(flat.max(axis=0), -flat.min(axis=0))
        return largest.reshape(channels, -1).max(axis=1)
    # As integers the bits of float16 are ordered: as uint16 all negative numbers come after the positive ones, as int16
    # the positive ones come after all others. The second look is needed where there are negative numbers.
    bits = flat.view(np.uint16).max(axis=0)
    if (bits >= 0x8000).any():
        positive = np.maximum(flat.view(np.int16).max(axis=0), 0).astype(np.uint16)
        bits = np.maximum(positive, np.where(bits >= 0x8000, bits & 0x7FFF, 0).astype(np.uint16))
    return bits.reshape(channels, -1).max(axis=1).view(np.float16)
