"""The folder of a dump. It is written beside its place under another name, and moved there when it is whole."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from .._errors import FileError, UsageError

SCHEMA = "chanscope-record/1"
#: The parts of a dump that are no layers.
RECORD, LABELS, IDS = "record.json", "labels.npy", "ids.txt"


class Folder:
    """A dump that is being made at `path`."""

    def __init__(self, path: Any, force: bool) -> None:
        self.path = Path(os.fspath(path))
        self._work: Path | None = None
        self._files: set[str] = {LABELS}
        if os.path.lexists(self.path):
            self._check_replaceable(force)

    def open(self) -> None:
        """Makes the folder in which files are written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._work = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", suffix=".recording", dir=self.path.parent))
        except OSError as error:
            raise FileError(f"{self.path}: cannot make the folder: {error.strerror}") from error

    def file(self, layer: str) -> Path:
        """A new file for a layer, named as the command line names layers."""
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", layer.lstrip(".")) or "_"
        while f"{stem}.npy" in self._files:
            stem += "_"
        self._files.add(f"{stem}.npy")
        assert self._work is not None
        return self._work / f"{stem}.npy"

    def forget(self, file: Path) -> None:
        """Removes the file of a layer."""
        file.unlink()
        self._files.discard(file.name)

    def finish(self, about: dict[str, Any], labels: np.ndarray | None, ids: list[str]) -> None:
        """Adds what is no layer, and moves the folder to its place."""
        assert self._work is not None
        try:
            if labels is not None:
                np.save(self._work / LABELS, labels)
            if ids:
                (self._work / IDS).write_text("".join(f"{i}\n" for i in ids), encoding="utf-8")
            text = json.dumps({"schema": SCHEMA, "chanscope": __version__, **about}, indent=1, ensure_ascii=False)
            (self._work / RECORD).write_text(text + "\n", encoding="utf-8")
            umask = os.umask(0)
            os.umask(umask)
            self._work.chmod(0o777 & ~umask)
            self._place()
        except OSError as error:
            raise FileError(f"{self.path}: cannot finish the dump: {error.strerror}") from error

    def discard(self) -> None:
        """Removes what is not in its place."""
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)
            self._work = None

    def _place(self) -> None:
        assert self._work is not None
        if os.path.lexists(self.path):
            self._check_replaceable(True)
            old = self._work.with_suffix(".old")
            self.path.rename(old)
            self._work.rename(self.path)
            shutil.rmtree(old)
        else:
            self._work.rename(self.path)
        self._work = None

    def _check_replaceable(self, force: bool) -> None:
        """Only what looks like a dump is ever removed."""
        if not force:
            raise UsageError(f"{self.path} exists: choose another folder, or replace it with force=True")
        if self.path.is_symlink() or not self.path.is_dir():
            raise UsageError(f"{self.path} is not a folder: choose another place for the dump")
        with os.scandir(self.path) as entries:
            for entry in entries:
                if entry.name not in (RECORD, IDS) and not (
                    entry.name.endswith(".npy") and entry.is_file(follow_symlinks=False)
                ):
                    raise UsageError(
                        f"{self.path} holds {entry.name!r}, which is no part of a dump: force=True does not remove it"
                    )
