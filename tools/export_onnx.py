#!/usr/bin/env python3
"""Export a LeNet to ONNX: opset 17, weights inside, the batch dimension free.

Example:
    tools/export_onnx.py --net lenet5 --weights build/mnist/lenet5.safetensors --out lenet5.onnx
"""
import argparse
import pathlib

import torch

import lenet


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=list(lenet.CHANNELS), required=True)
    parser.add_argument("--weights", type=pathlib.Path, required=True, metavar="FILE.safetensors")
    parser.add_argument("--opset", type=int, default=17)
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="FILE.onnx")
    args = parser.parse_args()

    net = lenet.load_net(args.net, args.weights)
    export(net, torch.zeros(2, 1, 28, 28), args.out, args.opset)
    print(f"{args.out}: {args.out.stat().st_size} bytes")


def export(net, example, path, opset):
    """The module as one .onnx file, input `input`, output `output`, both with a free batch."""
    # The TorchScript exporter writes the opset it is asked for; the newer one converts downwards.
    torch.onnx.export(
        net, (example,), path, input_names=["input"], output_names=["output"], opset_version=opset,
        dynamic_axes={"input": {0: "N"}, "output": {0: "N"}}, dynamo=False,
    )


if __name__ == "__main__":
    main()
