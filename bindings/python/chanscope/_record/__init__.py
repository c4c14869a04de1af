"""Records what the layers of a PyTorch model compute, streamed to a folder of `.npy` files.

`recorder` holds the `with` block and its hooks, `trace` follows the values of a forward pass, `select` chooses among them,
`encode` turns them into rows, and `npy` writes the rows. PyTorch is imported at the first call, not before.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .recorder import Recorder


class RecordWarning(UserWarning):
    """What is recorded is not all that was computed: values of float16 that became infinite or 0, or a layer left out."""


def record(
    model: Any,
    path: str | os.PathLike[str],
    *,
    layers: Any = None,
    dtype: Any = None,
    channel_axis: int | None = None,
    force: bool = False,
) -> Recorder:
    """Records the layers of `model` while it runs inside a `with` block.

    >>> with cs.record(model.eval(), "dump", dtype="float16") as rec, torch.no_grad():
    ...     for x, y in loader:
    ...         model(x)
    ...         rec.labels(y)

    The folder `path` then holds a file `NAME.npy` for each layer, `[N, C, H, W]` in the order in which samples came,
    `labels.npy` if labels were given, and `record.json`, which says what was recorded. It appears when the block ends,
    whole. If the block ends by an exception, the folder holds the batches before it.

    Parameters
    ----------
    model
        The module whose calls are the batches. What is run outside its forward pass is not recorded.
    path
        Folder to make. One that exists is refused, unless `force` is true and it is a dump.
    layers
        Names (`"layer4.1.relu"`), glob patterns (`"layer4.*"`) or module types (`torch.nn.Conv2d`), one or a list. A
        name takes every call of that module, or the one call that it names (`"layer4.1.relu.1"`). A glob pattern takes
        the activations among what it matches, and all modules that it matches if there is no activation among them.
        Default: every activation that follows a convolution, also after normalisation, a residual addition or pooling.
        Activations are modules, and functions of PyTorch such as `torch.relu`: these are named after the module that
        calls them, as `"layer4.1.relu"`. A module or function that is called again in the same pass is a layer of its
        own, `"layer4.1.relu.1"`.
    dtype
        Type of the files: `"float16"`, `"float32"`, `"float64"`, or `None` for the type that is computed in. bfloat16
        is then stored as float32, which holds it exactly. Losses of float16 are told: a warning if values of the file are
        infinite, or a channel becomes 0.
    channel_axis
        Axis of the channels of the layers that `layers` names. `None`: it is followed through the pass, so that
        channels are the second axis of the files also where the model keeps them last, as in ConvNeXt or a transformer.
    force
        Whether a dump at `path` may be replaced.

    Notes
    -----
    Works in training and evaluation mode, with or without gradients, under autocast, on any device, with loader workers.
    A model compiled by `torch.compile` runs uncompiled inside the block, because compiled code has no layers.
    `DistributedDataParallel` records what its process sees. `DataParallel` on several devices, `torch.jit` models and calls from
    other threads are refused.
    """
    from .recorder import Recorder

    return Recorder(model, path, layers=layers, dtype=dtype, channel_axis=channel_axis, force=force)
