"""The extension module: what the package calls, not for users.

Arguments that are dictionaries are checked by the package before; their keys stand in the Rust sources.
"""

from collections.abc import Callable
from os import PathLike
from typing import Any, final

__all__ = [
    "__version__",
    "Input",
    "Block",
    "Found",
    "Regularizer",
    "ablate",
    "abandon_outputs",
    "command",
    "compare",
    "devices",
    "filters",
    "filters_name",
    "forked",
    "graph",
    "impulse",
    "inspect",
    "layer_name",
    "minimize_filters",
    "rank",
    "redundancy",
    "run",
    "shuffle",
    "merge",
    "narrow",
    "plan",
    "resume",
    "status",
    "work",
    "write_folder",
    "write_report",
]

__version__: str

@final
class Input:
    """Layers to be measured."""

    def __new__(cls) -> Input: ...
    def add_memory(
        self, name: str, address: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: str, owner: object
    ) -> None: ...
    def add_dlpack(self, name: str, object: object) -> None: ...
    def add_rows(
        self,
        name: str,
        shape: tuple[int, ...] | list[int],
        dtype: str,
        reader: Callable[[int, int, tuple[int, int] | None], tuple[bytes, int]],
        cuts_channels: bool,
    ) -> None: ...
    def add_paths(self, name: str | None, paths: list[str], skip_unreadable: bool) -> None: ...
    def only(self, name: str) -> Input: ...
    def layers(self) -> list[tuple[str, tuple[int, int, int, int], str]]: ...
    def labels(self) -> PathLike[str] | None: ...

@final
class Block:
    """An array that NumPy reads where it lies."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...

@final
class Found:
    """What a call found: in memory, or in the folder that it wrote."""

    @property
    def json(self) -> str: ...
    @property
    def folder(self) -> PathLike[str] | None: ...
    def arrays(self) -> list[tuple[str, Block]]: ...

@final
class Regularizer:
    """Convolutional Similarity of filters in memory, and its gradient."""

    def __new__(cls, pairs: str, input_channels: str) -> Regularizer: ...
    def evaluate(self, layers: list[tuple[int, list[int], int]]) -> float: ...

def ablate(
    model: str, input: Input, labels: bytes | str, arguments: dict[str, Any], settings: dict[str, Any]
) -> Found: ...
def abandon_outputs() -> None: ...
def command(arguments: list[str]) -> int: ...
def compare(folders: list[str], settings: dict[str, Any]) -> Found: ...
def devices(threads: int, settings: dict[str, Any]) -> list[str]: ...
def filters(
    weights: str | list[tuple[str, tuple[int, ...], bytes]], arguments: dict[str, Any], settings: dict[str, Any]
) -> tuple[Found, list[tuple[str, Block]]]: ...
def filters_name(key: str) -> str: ...
def forked() -> None: ...
def graph(
    points: tuple[int, int, int, object],
    queries: tuple[int, int, int, object] | None,
    graph: dict[str, Any],
    weights: bool,
    settings: dict[str, Any],
) -> tuple[Block, Block, tuple[Block, Block, Block, float] | None]: ...
def impulse(model: str, arguments: dict[str, Any], settings: dict[str, Any]) -> Found: ...
def inspect(input: Input, arguments: dict[str, Any], settings: dict[str, Any]) -> list[str]: ...
def layer_name(raw: str) -> str: ...
def minimize_filters(
    name: str,
    weights: int,
    shape: list[int] | tuple[int, ...],
    options: tuple[int, str, float, float, bool, str, str],
    settings: dict[str, Any],
) -> list[float]: ...
def rank(
    matrix: bytes, dead: list[bool], by: str, settings: dict[str, Any]
) -> tuple[list[int], int, list[int | None], list[float | None], list[float]]: ...
def redundancy(
    input: Input,
    labels: bytes | str | None,
    images: Input | str | None,
    graph: dict[str, Any],
    arguments: dict[str, Any],
    settings: dict[str, Any],
) -> Found: ...
def run(model: str, input: Input, arguments: dict[str, Any], settings: dict[str, Any]) -> Found: ...
def shuffle(
    model: str,
    input: Input,
    labels: bytes | str | None,
    permutation: bytes | str | None,
    arguments: dict[str, Any],
    settings: dict[str, Any],
) -> Found: ...
def write_folder(
    folder: str,
    force: bool,
    json: str,
    arrays: list[tuple[str, str, tuple[int, ...], bytes]],
    report: bool,
) -> None: ...
def write_report(folder: str) -> list[str]: ...
def merge(keep_units: bool, settings: dict[str, Any]) -> None: ...
def narrow(values: int, halves: int, rows: int, channels: int, area: int) -> list[float]: ...
def plan(
    files: dict[str, Any], graph: dict[str, Any], arguments: dict[str, Any], units: int, settings: dict[str, Any]
) -> tuple[str, int, int, float]: ...
def resume(
    files: dict[str, Any], graph: dict[str, Any], arguments: dict[str, Any], settings: dict[str, Any]
) -> None: ...
def status(folder: str) -> str: ...
def work(
    stage: str | None, shard: tuple[int, int] | None, unit: list[int] | None, settings: dict[str, Any]
) -> tuple[list[int], list[int], list[int]]: ...
