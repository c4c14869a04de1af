"""Labels and ids: one for each sample, given batch by batch, of every batch or of none."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .._errors import UsageError


class PerSample:
    """Values that users give beside the batches. `ends` are the numbers of samples after each whole batch."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.parts: list[Any] = []
        self.count = 0

    def add(self, values: Any, ends: list[int]) -> None:
        """Values of the batch that has just run, or of the one that will run next."""
        samples, before = ([0, 0] + ends)[-1], ([0, 0] + ends)[-2]
        if self.count > samples:
            raise UsageError(f"{self.what}: given twice for one batch")
        if self.count < before:
            raise UsageError(f"{self.what}: the batches before this one have none; give them for each batch")
        if self.count < samples and len(values) != samples - before:
            raise UsageError(f"{self.what}: {len(values)} were given for a batch of {samples - before} samples")
        self.parts.append(values)
        self.count += len(values)

    def check_before(self, ends: list[int]) -> None:
        """Before a batch runs."""
        if 0 < self.count < ([0] + ends)[-1]:
            raise UsageError(f"{self.what}: missing for the batch before this one; give them for each batch")

    def check_after(self, rows: int, ends: list[int]) -> None:
        """When a batch of `rows` samples has run, before it counts."""
        samples = ([0] + ends)[-1]
        if self.count not in (0, samples, samples + rows):
            raise UsageError(f"{self.what}: {self.count - samples} were given for a batch of {rows} samples")


def as_labels(y: Any) -> np.ndarray:
    values = np.asarray(y.detach().cpu() if isinstance(y, torch.Tensor) else y)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise UsageError(f"labels: expected integers of shape [n], got {values.dtype} of shape {list(values.shape)}")
    return values.astype(np.int64)


def as_ids(ids: Any) -> list[str]:
    texts = [str(i.item() if hasattr(i, "item") else i) for i in ids]
    if any("\n" in text or "\r" in text for text in texts):
        raise UsageError("ids: an id contains a line break")
    return texts
