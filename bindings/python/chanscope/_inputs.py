"""What can be measured, and how it reaches the library without a copy."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import _chanscope
from ._errors import DataError, Error, UsageError

#: Element types of NumPy as `results.json` names them.
_TYPES = {"float16": "f16", "float32": "f32", "float64": "f64", "bfloat16": "bf16", "uint8": "u8", "int8": "i8"}
#: Colours of an image.
_COLOURS = (1, 3)
#: DLPack's kinds of memory that the processor reads.
_ON_THE_HOST = (1, 3, 11)
#: Largest class number.
_MAX_LABEL = (1 << 24) - 1


def collect(X: Any, *, skip_unreadable: bool = False) -> _chanscope.Input:
    """The layers of what a user passes as `X`."""
    found = _chanscope.Input()
    if isinstance(X, Mapping):
        if not X:
            raise UsageError("X is empty: pass at least one layer")
        for name, value in X.items():
            if not isinstance(name, str):
                raise UsageError(f"X has the key {name!r}, expected the names of layers")
            _add(found, name, value, skip_unreadable)
    elif _is_path(X):
        _add(found, None, X, skip_unreadable)
    elif isinstance(X, (list, tuple)) and X and all(_is_path(x) for x in X):
        for x in X:
            if _is_torch_file(x):
                raise UsageError("X is a list with a .pt file: pass {name: file} with one name for each file")
        found.add_paths(None, [os.fsdecode(x) for x in X], skip_unreadable)
    else:
        _add(found, "layer", X, skip_unreadable)
    return found


def labels(y: Any) -> bytes | str | None:
    """Class numbers for the library: the path of a file, or the bytes of a uint32 per sample."""
    if y is None:
        return None
    if _is_path(y):
        return os.fsdecode(y)
    if hasattr(y, "detach"):
        y = y.detach().cpu()
    found = np.asarray(y)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        raise UsageError(f"y has shape {found.shape}, expected (N,): a class number per sample")
    if found.dtype.kind not in "iu":
        raise UsageError(f"y holds {found.dtype}, expected integers: pass class numbers, as y.astype(int)")
    bad = np.flatnonzero((found < 0) | (found > _MAX_LABEL))
    if len(bad):
        raise UsageError(f"y[{bad[0]}] is {found[bad[0]]}, expected a class number from 0 to {_MAX_LABEL}")
    return found.astype(np.uint32).tobytes()


def images(given: Any) -> _chanscope.Input | str | None:
    """The images behind the samples, for the library: the path of an .npy, or one layer that holds them."""
    if given is None:
        return None
    if _is_path(given):
        return os.fsdecode(given)
    expected = "expected (N, 1 or 3, H, W) or (N, H, W, 1 or 3)"
    if not hasattr(given, "shape") or not hasattr(given, "dtype"):
        what = type(given).__name__
        raise UsageError(f"images is a {what}: pass an array, a tensor, or the path of an .npy, {expected}")
    shape = tuple(given.shape)
    if len(shape) != 4 or (shape[1] not in _COLOURS and shape[3] not in _COLOURS):
        raise UsageError(f"images has shape {shape}, {expected}")
    if _type_name(given) not in _TYPES:
        advice = "expected uint8 or floating point: convert it, as a.astype(numpy.float32)"
        raise UsageError(f"images holds {_type_name(given)}, {advice}")
    found = _chanscope.Input()
    _add(found, "images", given, False)
    return found


def _type_name(x: Any) -> str:
    """The element type of an array or tensor, such as ``float16``."""
    return getattr(x.dtype, "name", None) or str(x.dtype).rpartition(".")[2]


def channels(given: Any) -> list[int] | None:
    """Channels in their order: None for all, a list, a range, or a text such as "0,3,8-15"."""
    return numbers("channels", given)


def numbers(name: str, given: Any) -> list[int] | None:
    """A list of numbers from 0 on, such as [0, 3] or "0,3,8-15"; None for all."""
    if given is None:
        return None
    if isinstance(given, str):
        return [c for part in given.split(",") for c in _span(name, given, part)]
    try:
        found = [int(c) for c in np.asarray(given).reshape(-1).tolist() if int(c) == c]
        whole = len(found) == np.asarray(given).size
    except (TypeError, ValueError):
        whole = False
    if not whole or any(c < 0 for c in found):
        raise UsageError(f"{name} is {given!r}, expected numbers such as [0, 3] or '0,3,8-15'")
    return found


def _span(name: str, given: str, part: str) -> range:
    first, dash, last = part.strip().partition("-")
    try:
        low, high = int(first), int(last if dash else first)
        if not 0 <= low <= high:
            raise ValueError
    except ValueError:
        raise UsageError(f"{name} is {given!r}, expected numbers such as [0, 3] or '0,3,8-15'") from None
    return range(low, high + 1)


def _is_path(x: Any) -> bool:
    return isinstance(x, (str, os.PathLike))


def _is_torch_file(x: Any) -> bool:
    return os.path.splitext(os.fsdecode(x))[1].lower() in (".pt", ".pth")


def _add(found: _chanscope.Input, name: str | None, x: Any, skip_unreadable: bool) -> None:
    if _is_path(x):
        if _is_torch_file(x):
            _add_torch_file(found, name, os.fsdecode(x))
        else:
            found.add_paths(name, [os.fsdecode(x)], skip_unreadable)
        return
    name = name or "layer"
    if isinstance(x, np.ndarray):
        _add_array(found, name, x)
    elif hasattr(x, "__dlpack__"):
        _add_dlpack(found, name, x)
    elif hasattr(x, "shape") and hasattr(x, "dtype") and hasattr(x, "__getitem__"):
        _add_rows(found, name, x)
    elif hasattr(x, "__array__"):
        _add_array(found, name, np.asarray(x))
    else:
        what = type(x).__name__
        raise UsageError(f"{name} is a {what}: pass an array, a tensor, a file, a folder, or a dict of them by name")


def _add_torch_file(found: _chanscope.Input, name: str | None, path: str) -> None:
    """Every tensor of a file that torch saved, read while it is measured."""
    import torch

    if not os.path.exists(path):
        found.add_paths(name, [path], False)  # raises, and says that it is not there
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise DataError(f"{path}: torch cannot load it: {str(error).splitlines()[0]}") from error
    name = name or os.path.splitext(os.path.basename(path))[0]
    if isinstance(content, torch.Tensor):
        return _add(found, name, content, False)
    if not isinstance(content, Mapping):
        raise DataError(f"{path} holds a {type(content).__name__}; a tensor or a dict of tensors is needed")
    layers = {k: v for k, v in content.items() if isinstance(v, torch.Tensor) and 2 <= v.ndim <= 4}
    if not layers:
        raise DataError(f"{path} holds no tensor of 2 to 4 dimensions, so there is nothing to measure")
    for key, value in layers.items():
        _add(found, str(key), value, False)
    return None


def _check_shape(name: str, shape: Sequence[int]) -> None:
    shape = tuple(shape)
    if not 2 <= len(shape) <= 4:
        advice = ": a.reshape(-1, 1) makes it one value per sample" if len(shape) == 1 else ""
        raise UsageError(f"{name} has shape {shape}, expected (N, C, H, W), (N, C, L) or (N, D){advice}")
    if 0 in shape:
        raise UsageError(f"{name} has shape {shape}: a dimension is zero, so there is nothing to measure")


def _element(name: str, dtype: Any) -> str:
    found = np.dtype(dtype) if not isinstance(dtype, np.dtype) else dtype
    kind = _TYPES.get(found.name)
    if kind is None:
        what = "Python objects" if found.kind == "O" else str(found)
        raise UsageError(
            f"{name} holds {what}; activations are float16, bfloat16, float32 or float64: "
            "convert it, as a.astype(numpy.float32)"
        )
    return kind


def _add_array(found: _chanscope.Input, name: str, x: np.ndarray) -> None:
    _check_shape(name, x.shape)
    kind = _element(name, x.dtype)
    if isinstance(x, np.ma.MaskedArray):
        raise UsageError(f"{name} has a mask; fill it, as a.filled(0), or leave these samples out")
    reader = _file_reader(x) if isinstance(x, np.memmap) else None
    if reader is not None:
        found.add_rows(name, x.shape, kind, reader, False)
        return
    if not x.dtype.isnative:
        x = x.astype(x.dtype.newbyteorder("="))
    found.add_memory(name, x.__array_interface__["data"][0], x.shape, x.strides, kind, x)


def _add_dlpack(found: _chanscope.Input, name: str, x: Any) -> None:
    if getattr(x, "requires_grad", False):
        x = x.detach()
    _check_shape(name, x.shape)
    try:
        kind = x.__dlpack_device__()[0]
    except Exception:
        device = getattr(x, "device", "unknown")
        raise DataError(f"{name} lies on the device {device}, from which it cannot be read: copy it to the host") from None
    if kind not in _ON_THE_HOST:
        _add_rows(found, name, x)
        return
    try:
        found.add_dlpack(name, x)
    except Error:
        raise
    except Exception as error:
        raise DataError(f"{name} cannot be read: {error}") from error


def _add_rows(found: _chanscope.Input, name: str, x: Any) -> None:
    _check_shape(name, x.shape)
    dtype = _type_name(x)
    if dtype not in _TYPES:
        _element(name, x.dtype)
    kind = _TYPES[dtype]
    cuts_channels = type(x).__module__.partition(".")[0] in ("h5py", "zarr", "numpy", "dask", "torch", "cupy")
    found.add_rows(name, [int(d) for d in x.shape], kind, _reader(x, kind, cuts_channels), cuts_channels)


def _reader(x: Any, kind: str, cuts_channels: bool) -> Callable[[int, int, tuple[int, int] | None], tuple[bytes, int]]:
    """Reads rows of `x`, of some channels only where it can be cut along both axes."""

    def read(first: int, last: int, span: tuple[int, int] | None) -> tuple[bytes, int]:
        if span is not None and cuts_channels:
            return _content(x[first:last, span[0] : span[1]], kind)
        rows = _on_the_host(x[first:last])
        return _content(rows if span is None else rows[:, span[0] : span[1]], kind)

    return read


def _on_the_host(rows: Any) -> Any:
    if hasattr(rows, "detach"):
        rows = rows.detach().cpu()
        # NumPy has no bfloat16; float32 holds all its values.
        return rows.float().numpy() if str(rows.dtype) == "torch.bfloat16" else rows.numpy()
    if hasattr(rows, "get") and type(rows).__module__.startswith("cupy"):
        return rows.get()
    return np.asarray(rows)


def _content(rows: Any, kind: str) -> tuple[bytes, int]:
    """The bytes of rows, as float16 where that is their `kind` and else as float32, and how many finite values became
    infinite."""
    rows = _on_the_host(rows)
    if kind == "f16":
        if rows.dtype.name != "float16":
            raise DataError(f"rows hold {rows.dtype}, where float16 was promised by the dtype of what was passed")
        return np.ascontiguousarray(rows, dtype=np.float16).tobytes(), 0
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(rows, dtype=np.float32)
    beyond = 0
    if rows.dtype.itemsize > 4:
        beyond = int(np.count_nonzero(np.isinf(narrow) & np.isfinite(rows)))
    return narrow.tobytes(), beyond


def _file_reader(x: np.memmap) -> Callable[[int, int, tuple[int, int] | None], tuple[bytes, int]] | None:
    """Reads the file under a memory map, whose pages would count as memory of this process; None where `x` is no plain
    part of a file that only can be read."""
    mapped = getattr(x, "_mmap", None)
    if mapped is None or x.mode != "r" or x.filename is None or not x.flags.c_contiguous:
        return None
    start = x.offset - x.offset % mmap.ALLOCATIONGRANULARITY
    at = start + x.__array_interface__["data"][0] - np.frombuffer(mapped, np.uint8).__array_interface__["data"][0]
    filename, shape, dtype, kind = os.fspath(x.filename), x.shape, x.dtype, _TYPES[x.dtype.name]
    row = int(np.prod(shape[1:], dtype=np.int64))

    def read(first: int, last: int, span: tuple[int, int] | None) -> tuple[bytes, int]:
        count = (last - first) * row
        rows = np.fromfile(filename, dtype, count, offset=at + first * row * dtype.itemsize)
        if rows.size != count:
            raise DataError(f"{filename} has become shorter while it was read")
        rows = rows.reshape(last - first, *shape[1:])
        return _content(rows if span is None else rows[:, span[0] : span[1]], kind)

    return read
