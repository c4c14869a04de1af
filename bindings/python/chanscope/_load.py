"""Results that lie in folders."""

from __future__ import annotations

import os
from typing import Any

from . import _call, _chanscope
from ._ablate import Ablation
from ._compare import Compare
from ._filters import Filters
from ._network import Impulse, Run, Shuffle
from ._rank import Rank
from ._redundancy import Redundancy
from ._results import Arrays, Results, read_document

#: The class of the results of each command.
_KINDS: dict[str, type[Results]] = {
    "ablate": Ablation,
    "compare": Compare,
    "filters": Filters,
    "impulse": Impulse,
    "rank": Rank,
    "redundancy": Redundancy,
    "run": Run,
    "shuffle": Shuffle,
}


def load(folder: str | os.PathLike[str]) -> Any:
    """Reads results that a run of chanscope wrote, by the command line or by ``save``.

    Arrays are read when they are first used; large ones are mapped. Returns what the function of the same name returns,
    such as :class:`Redundancy`, and :class:`Results` for other commands.
    """
    name = _call.path("folder", folder)
    document = read_document(name)
    kind = _KINDS.get(str(document.get("command")), Results)
    return kind(document, Arrays(folder=name), folder=name)


def report(folder: str | os.PathLike[str]) -> list[str]:
    """Makes ``report.html`` of a folder of results again. Returns what could not be shown, a line each."""
    return _chanscope.write_report(_call.path("folder", folder))
