"""Exports a network of the catalogue by either of PyTorch's exporters."""
import warnings

import numpy as np
import onnx
import torch
from torch import nn

from onnx_nets.torch_nets import randomise

from .catalog import SOURCES, build

EXPORTERS = {"older": 17, "newer": 20}
# Networks whose initial weights stay: gains of convolutions that normalise their own weights, and products or gates
# of activations, by which larger weights would let values, and with them every rounding error, grow from block to block.
KEPT = ("eca_nfnet", "resnetv2", "starnet", "ghostnet", "mixnet", "tf_efficientnetv2", "efficientnet_v2", "mobilenet_v3_large")


def prepare(name, seed=0):
    """The network with weights that keep the values near 1, none of which stands for nothing."""
    torch.manual_seed(seed)
    net = build(name)
    net = net.eval() if name.startswith(KEPT) else randomise(net, seed)
    generator = torch.Generator().manual_seed(seed)
    for path, parameter in net.named_parameters():
        # scales of residual branches start at 1e-6, where a branch would not count
        if path.endswith(("gamma", "layer_scale")):
            nn.init.uniform_(parameter, 0.1, 0.5, generator=generator)
    return net


def images(name, seed=0):
    size = SOURCES[name][1]
    return np.random.default_rng(seed).standard_normal((2, 3, size, size)).astype(np.float32)


def export(name, exporter, path):
    """Writes the model; the batch is free."""
    net, example = prepare(name), (torch.from_numpy(images(name)),)
    options = {"input_names": ["input"], "output_names": ["output"], "opset_version": EXPORTERS[exporter]}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if exporter == "newer":
            free = ({0: torch.export.Dim("N")},)
            torch.onnx.export(net, example, path, dynamo=True, dynamic_shapes=free, external_data=False, verbose=False, **options)
        else:
            free = {"input": {0: "N"}, "output": {0: "N"}}
            torch.onnx.export(net, example, path, dynamo=False, dynamic_axes=free, **options)
    onnx.checker.check_model(str(path))
