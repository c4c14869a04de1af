"""Results of all measures: the content of `results.json`, and the arrays beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

import numpy as np

from . import _call, _chanscope
from ._errors import DataError, FileError, UsageError

#: Larger arrays of a folder are mapped when they are first used, smaller ones are read.
_MAPPED_FROM = 64 << 20


class Arrays(Mapping[str, np.ndarray]):
    """Arrays by their path in a folder of results, such as ``layers/conv1/jaccard.npy``."""

    def __init__(self, held: Mapping[str, np.ndarray] | None = None, folder: str | None = None) -> None:
        self._held = dict(held or {})
        self._folder = folder
        self._names = list(self._held) if folder is None else _files(folder)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._held:
            if self._folder is None or name not in self._names:
                raise KeyError(name)
            path = os.path.join(self._folder, *name.split("/"))
            large = os.path.getsize(path) >= _MAPPED_FROM
            self._held[name] = np.load(path, mmap_mode="r" if large else None, allow_pickle=False)
        return self._held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __reduce__(self) -> Any:
        return Arrays, ({name: np.array(array) for name, array in self.items()},)


def _files(folder: str) -> list[str]:
    found = []
    for parent, _, files in os.walk(folder):
        inner = os.path.relpath(parent, folder)
        for file in files:
            if file.endswith(".npy"):
                found.append(file if inner == "." else "/".join([*inner.split(os.sep), file]))
    return sorted(found)


class Entry:
    """One entry of a list in `results.json`, whose fields are attributes."""

    def __init__(self, fields: dict[str, Any], arrays: Mapping[str, np.ndarray], prefix: str) -> None:
        self._fields = fields
        self._arrays = arrays
        self._prefix = prefix

    @property
    def fields(self) -> dict[str, Any]:
        """The entry as it stands in `results.json`."""
        return self._fields

    @property
    def name(self) -> str:
        """Its name in the results."""
        return str(self._fields["name"])

    def array(self, name: str) -> np.ndarray | None:
        """The array `NAME.npy` of this entry, or None where it was not computed."""
        return self._arrays.get(f"{self._prefix}/{name}.npy")

    def _numbers(self, field: str) -> np.ndarray | None:
        """A list of numbers, in which null becomes NaN."""
        return numbers(self._fields.get(field))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Entry):
            return NotImplemented
        mine, theirs = dict(self._own()), dict(other._own())
        return type(self) is type(other) and self._fields == other._fields and same_arrays(mine, theirs)

    __hash__ = None  # type: ignore[assignment]

    def _own(self) -> Iterator[tuple[str, np.ndarray]]:
        for name in self._arrays:
            if name.startswith(self._prefix + "/"):
                yield name, self._arrays[name]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def numbers(values: Any) -> np.ndarray | None:
    """A list of numbers and nulls as float64 with NaN; None where there is no list."""
    if values is None:
        return None
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _is_kept(name: str) -> bool:
    return name.endswith(("/supports.npy", "/support_sizes.npy"))


def same_arrays(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    """Whether these are the same arrays to the bit, every NaN being like any other; supports, which are kept for comparisons
    with other runs, do not count."""
    a, b = ({name: array for name, array in arrays.items() if not _is_kept(name)} for arrays in (a, b))

    def same(x: np.ndarray, y: np.ndarray) -> bool:
        return x.dtype == y.dtype and np.array_equal(x, y, equal_nan=x.dtype.kind == "f")

    return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)


#: Fields that differ from run to run, whatever was found.
_OF_THE_RUN = ("timing", "files", "input", "parameters", "device", "version")

E = TypeVar("E", bound=Entry)


class Results:
    """What a run found: the fields of `results.json` as attributes, and arrays.

    Two results are equal where the same was found, to the bit; paths, times and devices may differ.
    """

    def __init__(self, document: dict[str, Any], arrays: Mapping[str, np.ndarray], folder: str | None = None) -> None:
        self._document = document
        self._arrays = arrays
        self._folder = folder

    @property
    def document(self) -> dict[str, Any]:
        """The content of `results.json`."""
        return self._document

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """All arrays, by their path in a folder of results."""
        return self._arrays

    @property
    def folder(self) -> str | None:
        """The folder that holds the results, or None where they are in memory."""
        return self._folder

    @property
    def schema(self) -> str:
        """The schema of `results.json`."""
        return str(self._document["schema"])

    @property
    def version(self) -> str:
        """The version of chanscope that computed the results."""
        return str(self._document["version"])

    @property
    def command(self) -> str:
        """The command of the command line, such as ``redundancy``."""
        return str(self._document["command"])

    @property
    def parameters(self) -> dict[str, Any]:
        """Every option as it was used, by the command line's names."""
        return dict(self._document.get("parameters", {}))

    @property
    def device(self) -> dict[str, str]:
        """What computed: name, backend, driver."""
        return dict(self._document.get("device", {}))

    @property
    def input(self) -> list[dict[str, Any]]:
        """The files that were read."""
        return list(self._document.get("input", []))

    @property
    def timing(self) -> dict[str, Any]:
        """Seconds that the run and its stages took."""
        return dict(self._document.get("timing", {}))

    @property
    def skipped(self) -> list[dict[str, str]]:
        """What was not computed, and why."""
        return list(self._document.get("skipped", []))

    def section(self, name: str) -> Any:
        """A section of `results.json`, or None."""
        return self._document.get(name)

    def save(self, folder: str | os.PathLike[str], *, force: bool = False) -> None:
        """Writes the folder that the command line writes: `results.json`, the arrays and `report.html`.

        A folder that is not empty is refused, unless `force` is True and it holds earlier results and nothing else.
        """
        self._write(_call.path("folder", folder), _call.boolean("force", force), report=True)

    def report(self, file: str | os.PathLike[str], *, force: bool = True) -> None:
        """Writes the report, one HTML file that opens offline. With `force=False` an existing file is refused."""
        import tempfile

        file = _call.path("file", file)
        if not _call.boolean("force", force) and os.path.exists(file):
            raise FileError(f"{file} exists already; name another file, or replace it with force=True")
        with tempfile.TemporaryDirectory(prefix="chanscope-") as folder:
            inner = os.path.join(folder, "results")
            self._write(inner, False, report=True)
            with open(os.path.join(inner, "report.html"), "rb") as page:
                content = page.read()
        parent = os.path.dirname(os.path.abspath(file))
        try:
            handle, temporary = tempfile.mkstemp(prefix=".chanscope-", dir=parent)
            with os.fdopen(handle, "wb") as out:
                out.write(content)
            os.chmod(temporary, 0o644)
            os.replace(temporary, file)
        except OSError as error:
            raise FileError(f"{file}: cannot write the report: {error.strerror}") from error

    def _write(self, folder: str, force: bool, report: bool) -> None:
        document = {k: v for k, v in self._document.items() if k != "files"}
        arrays = []
        for name, array in self._saved().items():
            array = np.ascontiguousarray(array)
            kind = "b1" if array.dtype.kind == "b" else array.dtype.str[1:]
            arrays.append((name, kind, array.shape, array.tobytes()))
        _chanscope.write_folder(folder, force, json.dumps(document, allow_nan=False), arrays, report)

    def _saved(self) -> Mapping[str, np.ndarray]:
        """The arrays that belong into a folder."""
        return self._arrays

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Results):
            return NotImplemented
        return self._found() == other._found() and same_arrays(self._arrays, other._arrays)

    __hash__ = None  # type: ignore[assignment]

    def _found(self) -> dict[str, Any]:
        return {k: v for k, v in self._document.items() if k not in _OF_THE_RUN}

    def __reduce__(self) -> Any:
        return _unpickled, (type(self), self._document, self._arrays)

    def __repr__(self) -> str:
        return f"<chanscope.{type(self).__name__} of {self.command}>"


def _unpickled(kind: type[Results], document: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Results:
    return kind(document, arrays)


class Entries(Results, Mapping[str, E], Generic[E]):
    """Results that are a list of entries: a mapping from names to entries, in the order of `results.json`."""

    def _list(self) -> list[E]:
        raise NotImplementedError

    def __getitem__(self, name: str | int) -> E:
        entries = self._list()
        if isinstance(name, (int, np.integer)):
            return entries[name]
        for wanted in (name, _chanscope.layer_name(name)):
            for entry in entries:
                if entry.name == wanted:
                    return entry
        raise KeyError(f"{name!r}; there are {', '.join(e.name for e in entries) or 'no layers'}")

    def __iter__(self) -> Iterator[str]:
        return iter([entry.name for entry in self._list()])

    def __len__(self) -> int:
        return len(self._list())

    def __eq__(self, other: object) -> bool:
        return Results.__eq__(self, other)

    __hash__ = None  # type: ignore[assignment]


def made(kind: type[Any], found: _chanscope.Found, **more: Any) -> Any:
    """Results of a call."""
    document = json.loads(found.json)
    if found.folder is None:
        arrays = Arrays({name: np.asarray(block) for name, block in found.arrays()})
        return kind(document, arrays, **more)
    folder = str(found.folder)
    return kind(document, Arrays(folder=folder), folder=folder, **more)


def read_document(folder: str) -> dict[str, Any]:
    """`results.json` of a folder."""
    path = os.path.join(folder, "results.json")
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except OSError as error:
        raise FileError(f"{path}: cannot read it: {error.strerror}; give the folder that a run wrote") from error
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON ({error}); run the command that made it again") from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != "chanscope/1":
        raise DataError(f"{path} has schema {schema!r}, this version reads 'chanscope/1'")
    return document


def unknown(name: str, got: object, choices: str) -> UsageError:
    """A name that is not one of the choices."""
    return UsageError(f"unknown {name} {got!r}: use {choices}")
