"""Turns a tensor into the rows of a file, and watches what is lost where the file's type is narrower.

float16 holds magnitudes up to 65504, and below 2^-25 nothing but 0. Two losses are told: finite values that became
infinite, and channels that became 0 throughout although they were not.
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
        #: Finite values that became infinite.
        self.overflowed = 0
        self._live: np.ndarray | None = None
        self._stored_live: np.ndarray | None = None

    def shape(self, value: torch.Tensor) -> tuple[int, ...]:
        """Shape of a sample in the file. Maps of more than two dimensions are stored as two."""
        shape = list(value.shape)
        shape.insert(1, shape.pop(self.axis))
        if len(shape) > 4:
            shape[2:] = [int(np.prod(shape[2:-1])), shape[-1]]
        return tuple(shape[1:])

    def encode(self, value: torch.Tensor, out: np.ndarray) -> None:
        """Writes `value` to `out`, of the file's type and shape."""
        value = value.detach().movedim(self.axis, 1)
        value = value.reshape(out.shape) if value.ndim > 4 else value
        target = torch.from_numpy(out)
        if value.device.type != "cpu":
            converted = value.to(self.stored).contiguous()
            self._watch(value, converted)
            target.copy_(converted)
            return
        target.copy_(value)
        self._watch(value, target)

    @property
    def lost(self) -> list[int]:
        """Channels that are 0 in the file and were not."""
        if self._live is None or self._stored_live is None:
            return []
        return np.flatnonzero(self._live & ~self._stored_live).tolist()

    def _watch(self, value: torch.Tensor, stored: torch.Tensor) -> None:
        if not self._narrows or value.numel() == 0:
            return
        magnitudes = _magnitudes(stored)
        if self._live is None:
            self._live, self._stored_live = (np.zeros(len(magnitudes), bool) for _ in range(2))
        if np.isinf(magnitudes).any() or np.isnan(magnitudes).any():
            self.overflowed += int((torch.isinf(stored) & torch.isfinite(value)).sum())
        nonzero = magnitudes != 0
        self._stored_live |= nonzero
        # Only where nothing is left, and nothing was seen before, the values themselves are looked at.
        doubtful = np.flatnonzero(~(nonzero | self._stored_live | self._live))
        if len(doubtful):
            channels = value if value.ndim < 3 else value[:, torch.from_numpy(doubtful).to(value.device)]
            live = channels.ne(0).any() if value.ndim < 3 else channels.transpose(0, 1).flatten(1).ne(0).any(1)
            self._live[doubtful] = live.cpu().numpy()


def _magnitudes(stored: torch.Tensor) -> np.ndarray:
    """Largest magnitude of each channel, NaN if one is NaN; of `[N, D]`, which is one channel, a single number."""
    channels = stored.shape[1] if stored.ndim > 2 else 1
    if stored.device.type != "cpu" or stored.dtype is not torch.float16:
        return stored.abs().reshape(len(stored), channels, -1).amax((0, 2)).float().cpu().numpy()
    # As integers the bits of float16 are ordered: as uint16 all negative numbers come after the positive ones, as int16
    # the positive ones come after all others. The second look is needed where there are negative numbers.
    bits = stored.numpy().reshape(len(stored), -1)
    largest = bits.view(np.uint16).max(axis=0)
    if (largest >= 0x8000).any():
        positive = np.maximum(bits.view(np.int16).max(axis=0), 0).astype(np.uint16)
        largest = np.maximum(positive, np.where(largest >= 0x8000, largest & 0x7FFF, 0).astype(np.uint16))
    return largest.reshape(channels, -1).max(axis=1).view(np.float16)
