"""`.npy` files that grow while a model runs, written by a thread of their own.

A file begins with room for its header; the header is written when the number of rows is known. Whole batches count:
what a failed batch has written is cut off again.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from pathlib import Path

import numpy as np

#: Length of the header, of which the text takes 60 to 100 bytes.
HEADER = 128
#: Bytes of buffers, waiting to be written or for their next use; a part larger than that waits alone. A thread that writes
#: long after a pass has gone on takes time from PyTorch's threads, and the system's cache of the disk is a queue already.
WAITING = 8 << 20


class NpyFile:
    """A C-order array `[rows, *shape]` that grows by rows."""

    def __init__(self, path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        self.path, self.dtype, self.shape = path, np.dtype(dtype), shape
        self.row_bytes = self.dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        self.rows = 0
        self._file = open(path, "xb", buffering=0)
        self._file.write(bytes(HEADER))

    def append(self, values: np.ndarray) -> None:
        """Adds rows. `values` is C-contiguous."""
        left = memoryview(values).cast("B") if values.nbytes else memoryview(b"")
        while left:
            left = left[self._file.write(left) :]
        self.rows += len(values)

    def cut(self, rows: int) -> None:
        """Drops what comes after `rows` rows."""
        if self.rows > rows or self._file.tell() != HEADER + rows * self.row_bytes:
            self._file.truncate(HEADER + rows * self.row_bytes)
            self._file.seek(0, os.SEEK_END)
            self.rows = rows

    def finish(self, rows: int) -> None:
        """Writes the header for the first `rows` rows and closes the file."""
        self.cut(rows)
        text = f"{{'descr': {self.dtype.str!r}, 'fortran_order': False, 'shape': {(rows, *self.shape)!r}, }}"
        header = b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little") + text.encode().ljust(HEADER - 11) + b"\n"
        if len(header) != HEADER:
            raise ValueError(f"{self.path}: the header of shape {(rows, *self.shape)} is too long")
        self._file.seek(0)
        self._file.write(header)
        self._file.close()

    def close(self) -> None:
        """Closes the file as it is, without a header."""
        self._file.close()


class Writer:
    """Writes values to files in the order in which they come, and keeps their buffers for reuse."""

    def __init__(self) -> None:
        self._jobs: deque[tuple[NpyFile, np.ndarray | int, np.ndarray | None]] = deque()
        self._changed = threading.Condition()
        self._waiting = 0
        self._working = False
        self._stopped = False
        self._spare: dict[int, list[np.ndarray]] = {}
        self._thread: threading.Thread | None = None
        #: The file that could not be written, and why.
        self.error: tuple[Path, OSError] | None = None

    def buffer(self, nbytes: int) -> np.ndarray:
        """Memory for a value; `append` takes it back. Waits while too much waits for the disk."""
        with self._changed:
            self._changed.wait_for(lambda: self.error or self._waiting == 0 or self._waiting + nbytes <= WAITING)
            self._waiting += nbytes
            spare = self._spare.get(nbytes)
            if spare:
                return spare.pop()
            if self._waiting + self._spare_bytes() > WAITING:
                self._spare.clear()
            return np.empty(nbytes, np.uint8)

    def append(self, file: NpyFile, values: np.ndarray, buffer: np.ndarray) -> None:
        """Queues rows that lie in a buffer of this writer."""
        self._queue(file, values, buffer)

    def cut(self, file: NpyFile, rows: int) -> None:
        """Queues dropping what comes after `rows` rows."""
        self._queue(file, rows, None)

    def give_back(self, buffer: np.ndarray) -> None:
        """Returns a buffer whose value is not written."""
        with self._changed:
            self._release(buffer)

    def drain(self) -> None:
        """Waits until everything is written or writing has failed."""
        with self._changed:
            self._changed.wait_for(lambda: self.error or not (self._jobs or self._working))

    def stop(self) -> None:
        """Ends the thread after what is queued."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _queue(self, file: NpyFile, values: np.ndarray | int, buffer: np.ndarray | None) -> None:
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="chanscope-record", daemon=True)
                self._thread.start()
            self._jobs.append((file, values, buffer))
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._working = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._jobs or self._stopped)
                if not self._jobs:
                    return
                file, values, buffer = self._jobs.popleft()
                self._working = True
            try:
                if self.error is None:
                    if isinstance(values, int):
                        file.cut(values)
                    else:
                        file.append(values)
            except OSError as error:
                self.error = (file.path, error)
            if buffer is not None:
                with self._changed:
                    self._release(buffer)

    def _release(self, buffer: np.ndarray) -> None:
        self._waiting -= buffer.nbytes
        if self._waiting + self._spare_bytes() + buffer.nbytes <= WAITING:
            self._spare.setdefault(buffer.nbytes, []).append(buffer)
        self._changed.notify_all()

    def _spare_bytes(self) -> int:
        return sum(nbytes * len(buffers) for nbytes, buffers in self._spare.items())
