"""What a network in an ONNX file is asked: impulse responses, shuffled channels, activations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _call, _chanscope, _inputs
from ._errors import UsageError
from ._results import Entries, Entry, Results, made, numbers


class LayerImpulse(Entry):
    """Impulse responses of one layer of M channels."""

    @property
    def tap(self) -> str:
        """Where the convolution was observed."""
        return str(self._fields["tap"])

    @property
    def channels(self) -> int:
        """M."""
        return int(self._fields["channels"])

    @property
    def ncc_mean(self) -> float | None:
        """Mean normalised cross-correlation of two different channels."""
        return self._fields["ncc_mean"]

    @property
    def zero_channels(self) -> np.ndarray:
        """Channels that do not respond."""
        return np.array(self._fields.get("zero_channels", []), dtype=np.int64)

    @property
    def response(self) -> np.ndarray:
        """float32 [M, H, W], or [I, M, H, W] for a network of I > 1 input channels."""
        return self._arrays[f"{self._prefix}/response.npy"]

    @property
    def ncc(self) -> np.ndarray:
        """float64 [M, M]: largest normalised cross-correlation over all lags."""
        return self._arrays[f"{self._prefix}/ncc.npy"]

    @property
    def ncc_abs(self) -> np.ndarray:
        """float64 [M, M]: the same of absolute values."""
        return self._arrays[f"{self._prefix}/ncc_abs.npy"]

    @property
    def lag(self) -> np.ndarray:
        """int32 [M, M, 2]: the lag of :attr:`ncc`, rows and columns."""
        return self._arrays[f"{self._prefix}/lag.npy"]


class Impulse(Entries[LayerImpulse]):
    """Impulse responses: a mapping from the names of layers to :class:`LayerImpulse`."""

    @property
    def layers(self) -> list[LayerImpulse]:
        """The layers, in the order of the network."""
        return self._list()

    def _list(self) -> list[LayerImpulse]:
        section = self._document.get("impulse") or {"layers": []}
        return [LayerImpulse(fields, self._arrays, f"impulse/{fields['name']}") for fields in section["layers"]]

    def _repr_html_(self) -> str:
        from . import _html

        matrices = [(layer.name, layer.ncc_abs) for layer in self.layers]
        what = "Absolute cross-correlation of impulse responses"
        return _html.page(_html.impulse_table(self.layers), what, matrices)

    def __repr__(self) -> str:
        from . import _html

        return _html.text(_html.impulse_table(self.layers))

    @property
    def match_threshold(self) -> float | None:
        """Smallest correlation of channels that count as alike."""
        return (self._document.get("impulse") or {}).get("match_threshold")

    @property
    def matches(self) -> list[dict[str, Any]]:
        """Pairs of alike channels at different depth: `a`, `b` (layer, channel), `ncc`, `lag`."""
        return list((self._document.get("impulse") or {}).get("matches", []))

    @property
    def groups(self) -> list[list[dict[str, Any]]]:
        """Groups of alike channels (layer, channel)."""
        return list((self._document.get("impulse") or {}).get("groups", []))


def impulse(
    model: str | os.PathLike[str],
    *,
    at: Sequence[int] | None = None,
    bias: str = "subtract",
    linear: bool = False,
    tap: str = "activation",
    centred: bool = False,
    threshold: float = 0.95,
    size: Sequence[int] | None = None,
    layout: str | None = None,
    device: str = "auto",
    memory: int | str | None = None,
    threads: int | None = None,
    progress: _call.Progress | bool | None = None,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> Impulse:
    """Sends a unit impulse through a network (.onnx) and finds channels that respond alike (arXiv 1906.03986).

    `at`: row and column of the impulse, the middle by default. `bias`: "subtract" (the response to zeros is subtracted),
    "zero" or "keep". `linear`: drop nonlinearities. `tap`: where each convolution is observed, "conv", "activation" or
    "pool". `centred`: subtract the mean of each response before correlating. `threshold`: smallest correlation of channels
    that are listed as alike. `size` (H, W) and `layout` ("nchw" or "nhwc") where the model leaves them open. The other
    arguments are those of :func:`chanscope.redundancy`.

    The results are those of ``chanscope impulse``, to the bit. Raises :class:`chanscope.Error`.
    """
    arguments = {
        "at": _pair("at", at, least=0),
        "bias": _call.text("bias", bias),
        "linear": _call.boolean("linear", linear),
        "tap": _call.text("tap", tap),
        "centred": _call.boolean("centred", centred),
        "threshold": _call.number("threshold", threshold),
        "size": _pair("size", size, least=1),
        "layout": None if layout is None else _call.text("layout", layout),
    }
    call = _call.settings(device=device, memory=memory, threads=threads, progress=progress, out=out, force=force)
    try:
        results: Impulse = made(Impulse, _chanscope.impulse(_call.path("model", model), arguments, call))
    finally:
        _call.close(call)
    return results


def _pair(name: str, value: Any, least: int) -> list[int] | None:
    if value is None:
        return None
    try:
        first, second = value
    except (TypeError, ValueError):
        raise UsageError(f"{name} is {value!r}, expected two integers") from None
    return [_call.integer(name, first, least), _call.integer(name, second, least)]


class Observed(Entry):
    """A layer that was observed while channels of another were shuffled."""

    @property
    def cosine_mean(self) -> np.ndarray:
        """float64 [K]: for each shuffled channel, the mean cosine of the maps before and after."""
        found = numbers(self._fields["cosine_mean"])
        assert found is not None
        return found

    @property
    def cosine(self) -> np.ndarray:
        """float64 [K, M]: the same for each of the M channels observed."""
        return self._arrays[f"{self._prefix}.cosine.npy"]


class TensorShuffle(Entry):
    """What shuffling each of the K channels of a layer changes."""

    @property
    def mode(self) -> str:
        """"channel" or "pixel"."""
        return str(self._fields["mode"])

    @property
    def baseline_accuracy(self) -> float | None:
        """Share of samples classified correctly without shuffling; None without labels."""
        return self._fields["baseline_accuracy"]

    @property
    def accuracy(self) -> np.ndarray | None:
        """float64 [K]: the accuracy with each channel shuffled; None without labels."""
        return self.array("accuracy")

    @property
    def observed(self) -> list[Observed]:
        """The layers observed."""
        found = self._fields["observed"]
        return [Observed(fields, self._arrays, f"{self._prefix}/{fields['name']}") for fields in found]

    @property
    def short_batch(self) -> int | None:
        """Samples of a last batch that was shorter than the others."""
        return self._fields.get("short_batch")


class Shuffle(Entries[TensorShuffle]):
    """Effects of shuffling: a mapping from the names of shuffled layers to :class:`TensorShuffle`."""

    @property
    def tensors(self) -> list[TensorShuffle]:
        """The layers that were shuffled, in the order of the network."""
        return self._list()

    def _list(self) -> list[TensorShuffle]:
        section = self._document.get("shuffle") or {"tensors": []}
        return [TensorShuffle(fields, self._arrays, f"shuffle/{fields['name']}") for fields in section["tensors"]]

    def _repr_html_(self) -> str:
        from . import _html

        return _html.page(_html.shuffle_table(self.tensors))

    def __repr__(self) -> str:
        from . import _html

        return _html.text(_html.shuffle_table(self.tensors))


def shuffle(
    model: str | os.PathLike[str],
    X: Any,
    y: Any = None,
    *,
    output: str | None = None,
    tensor: str | Sequence[str] | None = None,
    observe: str | Sequence[str] | None = None,
    mode: str = "channel",
    cosine: str = "sample",
    batch: int = 256,
    permutation: Any = None,
    seed: int = 0,
    device: str = "auto",
    memory: int | str | None = None,
    threads: int | None = None,
    progress: _call.Progress | bool | None = None,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> Shuffle:
    """Shuffles one channel at a time, and measures the effect on later layers and on the accuracy (arXiv 1906.03986).

    `model`: an .onnx file. `X`: its input [N, C, H, W], an array or an .npy. `y`: a class per sample; adds accuracies.
    `output`: which of several outputs holds the classes. `tensor`: layers whose channels are shuffled, all but the last by
    default. `observe`: layers that are compared, all later ones by default. `mode`: "channel" (maps across the samples of a
    mini-batch) or "pixel" (pixels inside each map). `cosine`: taken over each "sample", or over the "batch" as one vector.
    `batch`: samples in a mini-batch. `permutation`: sample indices to use in place of seeded ones, `A'[i] = A[P[i]]`. The
    other arguments are those of :func:`chanscope.redundancy`.

    The results are those of ``chanscope shuffle``, to the bit. Raises :class:`chanscope.Error`.
    """
    arguments = {
        "output": None if output is None else _call.text("output", output),
        "tensor": _call.names("tensor", tensor),
        "observe": _call.names("observe", observe),
        "mode": _call.text("mode", mode),
        "cosine": _call.text("cosine", cosine),
        "batch": _call.integer("batch", batch, least=1),
        "seed": _call.integer("seed", seed),
    }
    call = _call.settings(device=device, memory=memory, threads=threads, progress=progress, out=out, force=force)
    found = _inputs.collect(X)
    order = _permutation(permutation)
    labels = _inputs.labels(y)
    try:
        done = _chanscope.shuffle(_call.path("model", model), found, labels, order, arguments, call)
    finally:
        _call.close(call)
    results: Shuffle = made(Shuffle, done)
    return results


def _permutation(given: Any) -> bytes | str | None:
    if given is None or isinstance(given, (str, os.PathLike)):
        return None if given is None else os.fsdecode(given)
    found = np.asarray(given)
    if found.ndim != 1 or found.dtype.kind not in "iu" or (found < 0).any() or (found >= 1 << 32).any():
        raise UsageError(f"permutation is {found.dtype} of shape {found.shape}, expected a sample index for each sample")
    return found.astype(np.uint32).tobytes()


class Run(Results):
    """A dump that a network wrote: :attr:`folder` holds a file `NAME.npy` for each layer."""

    @property
    def layers(self) -> list[str]:
        """The layers and outputs that were written."""
        return [name.removesuffix(".npy") for name in self.arrays]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[f"{name}.npy"]


def run(
    model: str | os.PathLike[str],
    X: Any,
    dump: str | os.PathLike[str],
    *,
    tap: str = "activation",
    layers: str | Sequence[str] | None = None,
    dtype: str = "f32",
    device: str = "auto",
    memory: int | str | None = None,
    threads: int | None = None,
    progress: _call.Progress | bool | None = None,
    force: bool = False,
) -> Run:
    """Runs a network (.onnx) on `X` and writes its activations into the folder `dump`, which `redundancy` reads.

    `X`: the input [N, C, H, W], an array or an .npy. `tap`: where each convolution is observed, "conv", "activation" or
    "pool". `layers`: only these. `dtype`: "f32" or "f16". The other arguments are those of :func:`chanscope.redundancy`.

    The files are those of ``chanscope run``, to the bit. Raises :class:`chanscope.Error`.
    """
    arguments = {
        "tap": _call.text("tap", tap),
        "layers": _call.names("layers", layers),
        "dtype": _call.text("dtype", dtype),
    }
    call = _call.settings(
        device=device, memory=memory, threads=threads, progress=progress, out=_call.path("dump", dump), force=force
    )
    found = _inputs.collect(X)
    try:
        results: Run = made(Run, _chanscope.run(_call.path("model", model), found, arguments, call))
    finally:
        _call.close(call)
    return results
