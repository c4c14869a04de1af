"""The `with` block of `chanscope.record`: hooks, passes and batches."""

from __future__ import annotations

import functools
import os
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .._errors import FileError, UsageError
from . import RecordWarning
from .encode import Encoder, stored_type
from .folder import IDS, LABELS, Folder
from .layer import Layer, about, problem
from .layer import channel_axis as axis_of
from .models import class_name, eager, fingerprint, unwrap, versions
from .npy import NpyFile, Writer
from .samples import PerSample, as_ids, as_labels
from .select import Candidate, Selection
from .trace import ACTIVATION_CLASS, Origin, Trace


@dataclass
class Frame:
    """A module that is running."""

    name: str
    module: Any
    #: Whether it is an activation if it calls one: it has no modules in it and no matrices of weights.
    plain: bool
    activation: bool


class Recorder:
    """Records while its `with` block runs; see `chanscope.record`."""

    def __init__(
        self, model: Any, path: Any, *, layers: Any, dtype: Any, channel_axis: int | None, force: bool
    ) -> None:
        self._outer, self._model = model, unwrap(model)
        self._name = type(self._model).__name__
        self._dtype = stored_type(dtype)
        if channel_axis is not None and (not isinstance(channel_axis, int) or channel_axis == 0):
            raise UsageError(f"channel_axis={channel_axis!r} is not the axis of the channels: axis 0 holds the samples")
        self._axis = channel_axis
        self._frames = {module: _frame(name, module) for name, module in self._model.named_modules()}
        named = [(f.name, m, f.activation) for m, f in self._frames.items()]
        self._selection = Selection(layers, named)
        self._folder = Folder(path, force)
        self._layers: dict[str, Layer] = {}
        self._left_out: set[str] = set()
        self._told: set[str] = set()
        self._settled = False
        self._thread: int | None = None
        self._trace: Trace | None = None
        self._stack: list[Frame] = []
        self._ends: list[int] = []
        self._labels, self._ids = PerSample("labels"), PerSample("ids")
        self._remove: list[Any] = []

    # What users call.

    @property
    def samples(self) -> int:
        """Samples of whole batches so far."""
        return self._ends[-1] if self._ends else 0

    @property
    def layers(self) -> list[str]:
        """Names of the recorded layers, known after the first batch."""
        return list(self._layers)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    def labels(self, y: Any) -> None:
        """Labels of the samples of the batch: integers `[n]`, a tensor, an array or a list.

        Call it once for each batch, before or after the model. Either each batch has labels, or none.
        """
        self._labels.add(as_labels(y), self._ends)

    def ids(self, ids: Any) -> None:
        """Names or numbers of the samples of the batch, one each. They become the lines of `ids.txt`."""
        self._ids.add(as_ids(ids), self._ends)

    def __enter__(self) -> Recorder:
        self._fingerprint, self._versions = fingerprint(self._model), versions(self._model)
        self._eager = eager(self._outer)
        self._folder.open()
        self._writer = Writer()
        self._eager.__enter__()
        self._install()
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        try:
            self._uninstall()
            self._eager.__exit__(None, None, None)
            self._writer.drain()
        finally:
            self._writer.stop()
        try:
            self._finish(failed=kind is not None)
        finally:
            for layer in self._layers.values():
                layer.file.close()
            self._folder.discard()

    # Hooks.

    def _install(self) -> None:
        for module in self._frames:
            self._remove.append(module.register_forward_pre_hook(self._enter_module))
            self._remove.append(module.register_forward_hook(self._leave_module, always_call=True))
        plain, own = self._model.forward, "forward" in self._model.__dict__

        @functools.wraps(plain)
        def forward(*args: Any, **kwargs: Any) -> Any:
            with self._pass():
                return plain(*args, **kwargs)

        self._model.forward = forward
        self._restore = (plain if own else None,)

    def _uninstall(self) -> None:
        for handle in self._remove:
            handle.remove()
        self._remove = []
        del self._model.forward
        if self._restore[0] is not None:
            self._model.forward = self._restore[0]

    @contextmanager
    def _pass(self) -> Iterator[None]:
        """One call of the model: a batch."""
        if self._trace is not None:  # a model that calls itself
            if threading.get_ident() != self._thread:
                raise UsageError(
                    "the model runs in several threads at once, as under DataParallel; record it on one device"
                )
            yield
            return
        for given in (self._labels, self._ids):
            given.check_before(self._ends)
        self._thread = threading.get_ident()
        self._calls: Counter[str] = Counter()
        self._names: set[str] = set()
        self._written: set[str] = set()
        self._rows: int | None = None
        root = self._frames[self._model]
        self._stack = [root]
        self._trace = Trace(self._activation)
        try:
            with self._trace:
                yield
            self._commit()
        except BaseException:
            for layer in self._layers.values():
                layer.encoder.forget()
                self._writer.cut(layer.file, self.samples)
            if not self._ends:  # nothing is known before a whole batch
                self._writer.drain()
                self._drop(set(self._layers))
            raise
        finally:
            self._trace = None
            self._stack = []

    def _enter_module(self, module: Any, args: Any) -> None:
        if self._trace is not None and module is not self._model:
            self._stack.append(_frame_copy(self._frames[module]))

    def _leave_module(self, module: Any, args: Any, out: Any) -> None:
        if self._trace is None or module is self._model or not self._stack or self._stack[-1].module is not module:
            return
        frame = self._stack.pop()
        if out is None:  # an exception passes through
            return
        origin = self._trace.inherit(args, out) if isinstance(out, torch.Tensor) else None
        self._offer(frame.name, frame.module, frame.activation, origin, out)

    def _activation(self, function: str, out: torch.Tensor) -> None:
        frame = self._stack[-1]
        if frame.plain:
            frame.activation = True  # its output is the activation, of which this may be a part
        else:
            name = f"{frame.name}.{function}" if frame.name else function
            self._offer(name, None, True, self._trace.origins.get(out), out)

    # Values.

    def _offer(self, base: str, module: Any, activation: bool, origin: Origin | None, out: Any) -> None:
        """Records a value if it is wanted."""
        name = f"{base}.{self._calls[base]}" if self._calls[base] else base
        self._calls[base] += 1
        while name in self._names:
            name += "_"
        self._names.add(name)
        if self._settled:
            if name in self._layers:
                self._write(self._layers[name], out)
            return
        candidate = Candidate(base, name, module, activation, origin, getattr(out, "ndim", 0))
        if not self._selection.wants(candidate) or not self._usable(name, out):
            return
        if name not in self._layers:
            self._layers[name] = self._layer(candidate, out)
        self._write(self._layers[name], out)

    def _usable(self, name: str, out: Any) -> bool:
        """Whether a value can be recorded. Those that were asked for must be."""
        reason = problem(out, self._rows)
        if reason is None:
            return True
        if not self._selection.by_default:
            raise UsageError(f"layer {name!r} {reason}")
        if name not in self._left_out:
            self._left_out.add(name)
            warnings.warn(f"layer {name!r} is left out: it {reason}", RecordWarning, stacklevel=2)
        return False

    def _layer(self, c: Candidate, out: torch.Tensor) -> Layer:
        axis = axis_of(c, out, self._axis)
        encoder = Encoder(out.dtype, self._dtype, axis)
        with self._unseen():
            shape = encoder.shape(out)
        return Layer(c.name, NpyFile(self._folder.file(c.name), encoder.dtype, shape), encoder, about(c, out, axis))

    def _write(self, layer: Layer, out: Any) -> None:
        if not isinstance(out, torch.Tensor):
            raise UsageError(
                f"layer {layer.name!r} returned a tensor in earlier batches and now a {type(out).__name__}"
            )
        if self._writer.error is not None:
            self._raise_storage()
        with self._unseen():
            shape = layer.encoder.shape(out)
            if shape != layer.file.shape:
                raise UsageError(
                    f"layer {layer.name!r} has maps of shape {list(shape)} in this batch and {list(layer.file.shape)} in those "
                    "before: give all images the same size"
                )
            if self._rows not in (None, len(out)):
                raise UsageError(
                    f"layer {layer.name!r} has {len(out)} rows in this batch, other layers have {self._rows}"
                )
            self._rows = len(out)
            layer.append(out, self._writer)
        self._written.add(layer.name)

    @contextmanager
    def _unseen(self) -> Iterator[None]:
        """Operations of the recorder are no part of the pass, and need no gradient."""
        assert self._trace is not None
        self._trace.paused = True
        try:
            with torch.no_grad():
                yield
        finally:
            self._trace.paused = False

    def _commit(self) -> None:
        """A pass has ended: its values are a batch."""
        if not self._settled:
            self._drop(self._selection.settle(self._name, set(self._layers)))
        missing = [name for name in self._layers if name not in self._written]
        if missing:
            raise UsageError(f"layer {missing[0]!r} ran in earlier batches and did not run in this one")
        more = next((n for n in sorted(self._names) if self._settled and self._is_new_call(n)), None)
        if more is not None:
            raise UsageError(f"layer {more!r} ran in this batch and did not run in the first one")
        rows = self._rows or 0
        for given in (self._labels, self._ids):
            given.check_after(rows, self._ends)
        if not self._settled:
            self._first_names, self._settled = set(self._names), True
        self._ends.append(self.samples + rows)
        for layer in self._layers.values():
            layer.encoder.keep()
        self._warn_infinite()

    def _is_new_call(self, name: str) -> bool:
        """Whether this is a further call of a recorded layer, which the first batch did not have."""
        base = name.rpartition(".")[0]
        return name not in self._first_names and name.rpartition(".")[2].isdigit() and base in self._layers

    def _drop(self, names: set[str]) -> None:
        if names:
            self._writer.drain()
        for name in names:
            layer = self._layers.pop(name)
            layer.file.close()
            self._folder.forget(layer.file.path)

    # The end.

    def _finish(self, failed: bool) -> None:
        rows, note = self._whole_batches(failed)
        if rows == 0:
            if failed:
                return
            if self._writer.error is not None:
                self._raise_storage()
            raise UsageError(
                f"no forward pass of {self._name} ran in the block: call the model that was given to record"
            )
        for layer in self._layers.values():
            layer.file.finish(rows)
        labels = np.concatenate(self._labels.parts)[:rows] if self._labels.count else None
        ids = [i for part in self._ids.parts for i in part][:rows]
        self._folder.finish(
            {
                "torch": torch.__version__,
                "model": class_name(self._model),
                "parameters": self._fingerprint,
                "parameters_changed": versions(self._model) != self._versions,
                "training": self._model.training,
                "samples": rows,
                "labels": LABELS if labels is not None else None,
                "ids": IDS if ids else None,
                "complete": not failed and note is None,
                "layers": [layer.describe(rows) for layer in self._layers.values()],
            },
            labels,
            ids,
        )
        self._warn_infinite()
        self._warn_lost()
        if note is not None:
            raise note

    def _whole_batches(self, failed: bool) -> tuple[int, Exception | None]:
        """Samples of the batches that are whole, and what is wrong if those are not all."""
        rows, note = self.samples, None
        ends = [0, *self._ends]
        for given in (self._labels, self._ids):
            if 0 < given.count < rows:
                rows = max(e for e in ends if e <= given.count)
                note = UsageError(
                    f"{given.what}: missing for the last batch; {self.path} holds the {rows} samples before it"
                )
            elif given.count > self.samples:
                more = given.count - self.samples
                note = UsageError(
                    f"{given.what}: {more} were given after the last batch; {self.path} holds the {rows} samples before"
                )
        if self._writer.error is not None:
            written = min(layer.file.rows for layer in self._layers.values())
            rows = max(e for e in ends if e <= min(written, rows))
            note = self._storage_error(rows)
        return rows, None if failed else note

    def _warn_infinite(self) -> None:
        for layer in self._layers.values():
            if layer.encoder.infinite and layer.name not in self._told:
                self._told.add(layer.name)
                self._warn(layer, f"values are infinite in {layer.file.dtype}, too large for it or infinite before")

    def _warn_lost(self) -> None:
        for layer in self._layers.values():
            lost = layer.encoder.lost
            if lost:
                self._warn(layer, f"{len(lost)} channels became 0 in {layer.file.dtype}, the first is {lost[0]}")

    def _warn(self, layer: Layer, what: str) -> None:
        warnings.warn(f"layer {layer.name!r}: {what}; record it with dtype='float32'", RecordWarning, stacklevel=5)

    def _raise_storage(self) -> None:
        raise self._storage_error(None)

    def _storage_error(self, rows: int | None) -> FileError:
        path, error = self._writer.error
        kept = f"; {self.path} holds the {rows} samples that were written" if rows else ""
        return FileError(f"{self.path}: cannot write {path.name}: {os.strerror(error.errno or 0)}{kept}")


def _frame(name: str, module: Any) -> Frame:
    plain = name != "" and not any(True for _ in module.children()) and all(p.ndim < 2 for p in module.parameters())
    return Frame(name, module, plain, plain and ACTIVATION_CLASS.search(type(module).__name__) is not None)


def _frame_copy(frame: Frame) -> Frame:
    return Frame(frame.name, frame.module, frame.plain, frame.activation)
