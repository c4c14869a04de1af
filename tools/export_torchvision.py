#!/usr/bin/env python3
"""Export torchvision's classifiers with random weights and small inputs, for a check of the ONNX import.

Per architecture: DIR/NAME.onnx (weights inside, batch free) and DIR/NAME.input.npy, float32 [2, 3, S, S].
Batch-norm stays as nodes unless --fold; --dynamo uses PyTorch's newer exporter.

Example:
    tools/export_torchvision.py --out build/torchvision
    chanscope run build/torchvision/resnet18.onnx build/torchvision/resnet18.input.npy --tap conv --dump got/resnet18
    tools/compare_onnxruntime.py build/torchvision/resnet18.onnx build/torchvision/resnet18.input.npy got/resnet18
"""
import argparse
import pathlib
import warnings

import numpy as np
import torch
import torchvision

from onnx_nets.torch_nets import randomise

# input sizes: small where the network allows it (VGG pools to 7x7, which must divide its last map)
SIZES = {
    "resnet18": 64, "resnet50": 64, "vgg16_bn": 224, "mobilenet_v2": 64, "densenet121": 64,
    "squeezenet1_1": 64, "googlenet": 64, "efficientnet_b0": 64,
}


def build(name):
    """The architecture with 1000 classes, auxiliary heads off, without downloading anything."""
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    return torchvision.models.get_model(name, weights=None, **options)


def export(name, out, opset, fold, dynamo, seed):
    torch.manual_seed(seed)
    net, size = randomise(build(name), seed), SIZES[name]
    images = np.random.default_rng(seed).standard_normal((2, 3, size, size)).astype(np.float32)
    path = out / f"{name}.onnx"
    options = {"input_names": ["input"], "output_names": ["output"], "opset_version": opset}
    example = (torch.from_numpy(images),)
    if dynamo:
        free = ({0: torch.export.Dim("N")},)
        torch.onnx.export(net, example, path, dynamo=True, dynamic_shapes=free, external_data=False, verbose=False, **options)
    else:
        free = {"input": {0: "N"}, "output": {0: "N"}}
        mode = torch.onnx.TrainingMode.EVAL if fold else torch.onnx.TrainingMode.PRESERVE
        torch.onnx.export(net, example, path, dynamo=False, dynamic_axes=free, training=mode, **options)
    np.save(out / f"{name}.input.npy", images)
    with torch.no_grad():
        largest = net(example[0]).abs().max().item()
    print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB, input {size}x{size}, largest output {largest:.3g}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--opset", type=int, default=17)
    parser.add_argument("--fold", action="store_true", help="fold batch-norm into the convolutions, as PyTorch does by default")
    parser.add_argument("--dynamo", action="store_true", help="the newer exporter (opset 18 or higher)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    for name in args.nets:
        export(name, args.out, args.opset, args.fold, args.dynamo, args.seed)


if __name__ == "__main__":
    main()
