"""Rankings of channels as the importance that torch-pruning cuts networks by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ._errors import DataError, UsageError

__all__ = ["Importance"]


class Importance:
    """An importance for the pruners of torch-pruning, such as ``torch_pruning.pruner.BasePruner(..., importance=...)``.

    `model`: the network that is to be cut. `ranking`: what :func:`chanscope.rank` returned, or a mapping from names of layers to
    orders of their channels, first kept first. `layers`: the layer whose ranking counts for a module, by the names of modules,
    such as ``{"layer1.0.bn1": "layer1.0.relu"}`` where the output of an activation was ranked; a module that is not named there
    has the ranking of the layer of its own name, if there is one.

    The channel at place p of C in a ranking has the importance 1 - p / C. Channels that can only be cut together (those of
    layers that are added to each other) have the mean over the ranked modules among them, each at its own index of the
    channel, also behind a concatenation. Groups without a ranked module have no importance, and torch-pruning leaves them
    whole. A ranking is of the uncut network: cut in one step, or rank again between steps.
    """

    def __init__(self, model: torch.nn.Module, ranking: Mapping[str, Any], *, layers: Mapping[str, str] | None = None) -> None:
        if not isinstance(ranking, Mapping):
            raise UsageError("ranking is neither a result of rank() nor a mapping from layers to orders of channels")
        modules = dict(model.named_modules())
        chosen = {name: name for name in modules if name in ranking}
        for module, layer in (layers or {}).items():
            if module not in modules:
                raise UsageError(f"layers: the model has no module {module!r}")
            if layer not in ranking:
                raise UsageError(f"layers: the ranking has no layer {layer!r}; it has {', '.join(ranking)}")
            chosen[module] = layer
        if not chosen:
            raise UsageError(
                "no module of the model has the name of a ranked layer; say by layers= which module has the channels of which"
            )
        #: Importance of each channel, by the module that has the channels.
        self._scores: dict[torch.nn.Module, tuple[str, torch.Tensor]] = {}
        for name, layer in chosen.items():
            entry = ranking[layer]
            self._scores[modules[name]] = (name, _scores(layer, getattr(entry, "order", entry)))

    def __call__(self, group: Any, **_: Any) -> torch.Tensor | None:
        """The importance of each channel of the group's root, or None where no module of the group is ranked."""
        # The channels of the root, all of them or some in any order; other modules name theirs by these.
        place = {channel: at for at, channel in enumerate(group[0].idxs)}
        count = len(place)
        total, terms = torch.zeros(count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
        for item in group:
            name, scores = self._scores.get(item.dep.target.module, ("", None))
            roots = item.root_idxs
            # As inputs, the channels of a module are those of the one before it.
            if scores is None or item.dep.pruning_fn.__name__ != "prune_out_channels" or any(r is None for r in roots):
                continue
            channels = _channels(item.dep.target.module)
            if channels != len(scores):
                raise DataError(
                    f"module {name} has {channels} channels, and its ranking {len(scores)}: a ranking is of the uncut network"
                )
            places = torch.tensor([place[root] for root in roots])
            total.index_add_(0, places, scores[torch.tensor(item.idxs)])
            terms.index_add_(0, places, torch.ones(len(roots), dtype=torch.float64))
        if not terms.any():
            return None
        # Channels that no ranked module has, behind a split of a ranked layer, come last.
        return (total / terms.clamp(min=1)).float()


def _scores(layer: str, order: Any) -> torch.Tensor:
    """The importance of each channel from an order of all channels."""
    order = np.asarray(order)
    if order.ndim != 1 or order.dtype.kind not in "iu" or not np.array_equal(np.sort(order), np.arange(len(order))):
        raise DataError(f"the ranking of {layer} is no order of all its channels; rank a run over all channels")
    scores = np.empty(len(order))
    scores[order] = 1 - np.arange(len(order)) / len(order)
    return torch.from_numpy(scores)


def _channels(module: torch.nn.Module) -> int:
    """The channels that a module puts out."""
    for attribute in ("out_channels", "num_features", "num_channels", "out_features"):
        if isinstance(found := getattr(module, attribute, None), int):
            return found
    raise UsageError(f"channels of {type(module).__name__} cannot be ranked: name a convolution, normalisation or linear layer")
