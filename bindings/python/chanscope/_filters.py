"""Convolutional Similarity of filters."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import _call, _chanscope
from ._errors import UsageError
from ._results import Arrays, Entries, Entry, numbers


class LayerFilters(Entry):
    """Similarity of the filters [M, C, h, w] of one convolution."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(M, C, h, w): filters, input channels, height, width."""
        return tuple(self._fields["shape"])

    @property
    def value(self) -> float | None:
        """Convolutional Similarity, over all pairs of filters."""
        return self._fields["value"]

    @property
    def value_adjacent(self) -> float | None:
        """Convolutional Similarity over filters i and i + 1."""
        return self._fields["value_adjacent"]

    @property
    def normalized_mean(self) -> float | None:
        """Mean similarity of a pair, 0 to 1."""
        return self._fields["normalized_mean"]

    @property
    def filter_cosine_mean(self) -> float | None:
        """Mean absolute cosine of two different filters."""
        return self._fields["filter_cosine_mean"]

    @property
    def zero_filters(self) -> np.ndarray:
        """Filters that are zero throughout."""
        return np.array(self._fields.get("zero_filters", []), dtype=np.int64)

    @property
    def history(self) -> np.ndarray | None:
        """float64 [steps + 1]: the similarity in the course of a minimisation."""
        return numbers(self._fields.get("history"))

    @property
    def pairs(self) -> np.ndarray | None:
        """float64 [M, M]: Convolutional Similarity of two filters, not normalised; None above 1024 filters without `pair_matrix`."""
        return self.array("pairs")

    @property
    def cosine(self) -> np.ndarray | None:
        """float64 [M, M]: cosine of two filters."""
        return self.array("cosine")

    @property
    def gradient(self) -> np.ndarray | None:
        """float32 [M, C, h, w]: gradient of the similarity, if asked for."""
        return self.array("gradient")

    @property
    def weights(self) -> np.ndarray | None:
        """float32 [M, C, h, w]: the filters, of layers that are not large."""
        return self.array("weights")


class Filters(Entries[LayerFilters]):
    """Similarity of the filters of convolutions: a mapping from the names of layers to :class:`LayerFilters`."""

    #: Weights after `minimize` steps, by the names of layers; without the layers that diverged.
    minimized: Mapping[str, np.ndarray] = {}

    @property
    def layers(self) -> list[LayerFilters]:
        """The layers, in the order of the input."""
        return self._list()

    def _list(self) -> list[LayerFilters]:
        section = self._document.get("filters") or {"layers": []}
        return [LayerFilters(fields, self._arrays, f"filters/{fields['name']}") for fields in section["layers"]]

    def _repr_html_(self) -> str:
        from . import _html

        matrices = [(layer.name, layer.pairs) for layer in self.layers]
        return _html.page(_html.filters_table(self.layers), "Similarity of filters", matrices)

    def __repr__(self) -> str:
        from . import _html

        return _html.text(_html.filters_table(self.layers))

    def __reduce__(self) -> Any:
        return _unpickled, (self._document, self._arrays, dict(self.minimized))


def _unpickled(document: dict[str, Any], arrays: Mapping[str, np.ndarray], minimized: dict[str, np.ndarray]) -> Filters:
    found = Filters(document, arrays)
    found.minimized = minimized
    return found


def filters(
    weights: Any,
    *,
    pairs: str = "all",
    input_channels: str = "separate",
    gradient: bool = False,
    pair_matrix: bool = False,
    minimize: int | None = None,
    optimizer: str = "adam",
    lr: float | None = None,
    momentum: float = 0.0,
    nesterov: bool = False,
    keep_norm: bool = False,
    write: str | os.PathLike[str] | None = None,
    skip_unreadable: bool = False,
    device: str = "auto",
    memory: int | str | None = None,
    threads: int | None = None,
    progress: _call.Progress | bool | None = None,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> Filters:
    """Compares the filters of every convolution by their Convolutional Similarity (arXiv 2411.03226), and minimises it.

    `weights`: a file (.safetensors or .onnx), a PyTorch module (all its 2-D convolutions), an array or tensor [M, C, h, w],
    or a dict of these by name.

    `pairs`: pairs of filters that count for the gradient and for `minimize`, "all" or "adjacent". `input_channels`: how
    correlations of input channels count, "separate" (squared, then summed) or "summed" (summed, then squared). `gradient`:
    also the gradient. `pair_matrix`: the matrices of all pairs also for layers of more than 1024 filters.

    `minimize`: steps by which the similarity is made less, with `optimizer` "adam" or "sgd" as PyTorch defines them, `lr`
    (0.002 with adam, 0.001 with sgd), `momentum` and `nesterov` of sgd; `keep_norm` keeps the norm of every filter. The new
    weights are in `minimized`; `write` copies a .safetensors file with them in it. `skip_unreadable`: list layers that
    cannot be read as skipped. The other arguments are those of :func:`chanscope.redundancy`.

    The results are those of ``chanscope filters``, to the bit. Raises :class:`chanscope.Error`.
    """
    arguments = {
        "pairs": _call.text("pairs", pairs),
        "input_channels": _call.text("input_channels", input_channels),
        "gradient": _call.boolean("gradient", gradient),
        "pair_matrix": _call.boolean("pair_matrix", pair_matrix),
        "minimize": None if minimize is None else _call.integer("minimize", minimize, least=1),
        "optimizer": _call.text("optimizer", optimizer),
        "lr": None if lr is None else _call.number("lr", lr),
        "momentum": _call.number("momentum", momentum),
        "nesterov": _call.boolean("nesterov", nesterov),
        "keep_norm": _call.boolean("keep_norm", keep_norm),
        "skip_unreadable": _call.boolean("skip_unreadable", skip_unreadable),
        "write": None if write is None else _call.path("write", write),
    }
    if minimize is None and (write is not None or keep_norm or lr is not None or momentum or nesterov):
        raise UsageError("optimizer, lr, momentum, nesterov, keep_norm and write need minimize=STEPS")
    call = _call.settings(device=device, memory=memory, threads=threads, progress=progress, out=out, force=force)
    given = os.fsdecode(weights) if isinstance(weights, (str, os.PathLike)) else _banks(weights)
    try:
        found, changed = _chanscope.filters(given, arguments, call)
    finally:
        _call.close(call)
    document = json.loads(found.json)
    if found.folder is None:
        results = Filters(document, Arrays({name: np.asarray(block) for name, block in found.arrays()}))
    else:
        results = Filters(document, Arrays(folder=str(found.folder)), folder=str(found.folder))
    results.minimized = {name: np.asarray(block) for name, block in changed}
    return results


def _banks(weights: Any) -> list[tuple[str, tuple[int, ...], bytes]]:
    """Name, shape and the bytes of float32 of every convolution."""
    if hasattr(weights, "named_modules"):
        kinds = ("Conv2d", "LazyConv2d")
        found = {
            name or "weight": module.weight
            for name, module in weights.named_modules()
            if any(kind.__name__ in kinds for kind in type(module).__mro__)
        }
        if not found:
            raise UsageError("weights is a module without a 2-D convolution")
    elif isinstance(weights, Mapping):
        found = {str(name): value for name, value in weights.items()}
        if not found:
            raise UsageError("weights is empty: pass at least one layer")
    else:
        found = {"weight": weights}
    banks, names = [], set()
    for name, value in found.items():
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = value.float() if value.is_floating_point() else value
        array = np.asarray(value)
        if array.dtype.kind != "f":
            raise UsageError(f"{name} holds {array.dtype}, expected floating-point weights")
        if array.ndim != 4 or 0 in array.shape:
            raise UsageError(f"{name} has shape {array.shape}, expected (M, C, h, w)")
        made = _chanscope.filters_name(name)
        number = 2
        while made in names:
            made = f"{_chanscope.filters_name(name)}_{number}"
            number += 1
        names.add(made)
        banks.append((made, array.shape, np.ascontiguousarray(array, dtype=np.float32).tobytes()))
    return banks
