"""Measures how redundant the channels of a convolutional network are.

Arrays, tensors, files or dumps go in; arrays come out. The numbers are those of the command line, to the bit.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._ablate import Ablation, LayerAblation, RankingCurve, ablate
from ._chanscope import __version__
from ._errors import (
    DataError,
    DeviceError,
    Error,
    FileError,
    InternalError,
    OutOfMemoryError,
    UsageError,
)
from ._compare import Compare, ComparedLayer, ComparedPair, compare
from ._filters import Filters, LayerFilters, filters
from ._graph import NNKGraph, knn, nnk
from ._inspect import devices, inspect
from ._layer import LayerRedundancy
from ._load import load, report
from ._network import Impulse, LayerImpulse, Run, Shuffle, TensorShuffle, impulse, run, shuffle
from ._rank import LayerRank, Rank, rank
from ._redundancy import Redundancy, redundancy
from ._results import Results
from ._units import Plan, Status, Worked, merge, plan, status, work

# What is imported when it is first used, so that `import chanscope` costs little and needs numpy only:
# the name, the module that holds it, and its name there (None for the module itself).
_LAZY: dict[str, tuple[str, str | None]] = {
    "NNKTransformer": ("._transformer", "NNKTransformer"),
    "RecordWarning": ("._record", "RecordWarning"),
    "plot": (".plot", None),
    "prune": (".prune", None),
    "ray": (".ray", None),
    "record": ("._record", "record"),
    "torch": (".torch", None),
}

if TYPE_CHECKING:
    from . import plot as plot
    from . import prune as prune
    from . import ray as ray
    from . import torch as torch
    from ._record import RecordWarning as RecordWarning
    from ._record import record as record
    from ._transformer import NNKTransformer as NNKTransformer

__all__ = [
    "Ablation",
    "Compare",
    "ComparedLayer",
    "ComparedPair",
    "DataError",
    "DeviceError",
    "Error",
    "FileError",
    "Filters",
    "Impulse",
    "InternalError",
    "LayerAblation",
    "LayerFilters",
    "LayerImpulse",
    "LayerRank",
    "LayerRedundancy",
    "NNKGraph",
    "OutOfMemoryError",
    "Plan",
    "Rank",
    "RankingCurve",
    "Redundancy",
    "Results",
    "Run",
    "Shuffle",
    "Status",
    "TensorShuffle",
    "UsageError",
    "Worked",
    "__version__",
    "ablate",
    "compare",
    "devices",
    "filters",
    "impulse",
    "inspect",
    "knn",
    "load",
    "merge",
    "nnk",
    "plan",
    "rank",
    "redundancy",
    "report",
    "run",
    "shuffle",
    "status",
    "work",
    *_LAZY,
]


def __getattr__(name: str) -> Any:
    try:
        module, attribute = _LAZY[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    found = importlib.import_module(module, __name__)
    value = found if attribute is None else getattr(found, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
