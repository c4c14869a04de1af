#!/usr/bin/env python3
"""Write small networks and onnxruntime's values for them: the test data in tests/data/onnx.

Per network a folder: model.onnx, input.npy, output.npy, conv/LAYER.npy (the output of every convolution)
and, where named below, activation/LAYER.npy (after the batch-norm and activation that follow it directly).
Everything float32 from seeds. Values depend on the exporter's and the runtime's version in the last bits.

Example:
    tools/make_small_nets.py --out tests/data/onnx
"""
import argparse
import pathlib
import shutil
import warnings

import numpy as np
import onnx
import torch

from onnx_nets import operator_nets, raw_nets, taps, torch_nets

# name: (module, input size, opset, batch-norm kept as nodes, newer exporter)
TORCH = {
    "residual": (torch_nets.Residual, 24, 17, True, False),
    "residual-folded": (torch_nets.Residual, 24, 13, False, False),
    "residual-dynamo": (torch_nets.Residual, 24, 18, True, True),
    "depthwise": (torch_nets.Depthwise, 17, 17, True, False),
    "dense": (torch_nets.Dense, 16, 15, True, False),
    "squeeze": (torch_nets.Squeeze, 22, 13, True, False),
    "inception": (torch_nets.Inception, 17, 17, True, False),
    "mbconv": (torch_nets.MBConv, 15, 17, True, False),
    "activations": (torch_nets.Activations, 6, 17, True, False),
    "activations-20": (torch_nets.Activations, 6, 20, True, False),
    "shuffled": (torch_nets.Shuffled, 16, 17, True, False),
}
RAW = {"pads": raw_nets.pads, "pad-modes": raw_nets.pad_modes, "reshapes": raw_nets.reshapes, "external": raw_nets.external, **operator_nets.NETS}
WITH_ACTIVATIONS = {"residual", "residual-folded", "depthwise", "dense", "squeeze", "inception", "mbconv", "activations", "activations-20"}


def export(name, path, seed):
    module, size, opset, keep_norm, dynamo = TORCH[name]
    net, example = torch_nets.randomise(module(), seed), torch.zeros(2, 3, size, size)
    mode = torch.onnx.TrainingMode.PRESERVE if keep_norm else torch.onnx.TrainingMode.EVAL
    options = {"input_names": ["input"], "output_names": ["output"], "opset_version": opset}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            free = ({0: torch.export.Dim("N")},)
            torch.onnx.export(net, (example,), path, dynamo=True, dynamic_shapes=free, external_data=False, **options)
            without_traces(path)
        else:
            free = {"input": {0: "N"}, "output": {0: "N"}}
            torch.onnx.export(net, (example,), path, dynamo=False, dynamic_axes=free, training=mode, **options)


def without_traces(path):
    """The newer exporter notes the Python source of every node, with the paths of the machine it ran on."""
    model = onnx.load(path)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.metadata_props[:]
    onnx.save(model, path)


def write_reference(name, folder, seed):
    path = folder / "model.onnx"
    model = onnx.load(path)
    onnx.checker.check_model(model)
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert shape[0] == 0, "the batch dimension is not free"
    images = np.random.default_rng(seed + 1).standard_normal((2, *shape[1:])).astype(np.float32)
    layers = taps.conv_layers(model)
    kinds = {"conv": {layer: node.output[0] for layer, node in layers}}
    if name in WITH_ACTIVATIONS:
        kinds["activation"] = {layer: taps.activation_output(model, node) for layer, node in layers}
    found = taps.run(path, images, [value for names in kinds.values() for value in names.values()])
    np.save(folder / "input.npy", images)
    np.save(folder / "output.npy", found["output"])
    for kind, names in kinds.items():
        (folder / kind).mkdir()
        for layer, value in names.items():
            maps = found[value]  # lines are images of height 1
            np.save(folder / kind / f"{layer}.npy", maps[:, :, None] if maps.ndim == 3 else maps)
    operators = sorted({node.op_type for node in model.graph.node})
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{name:16} opset {model.opset_import[0].version} {len(layers):2} convolutions {size / 1024:6.0f} KiB  {' '.join(operators)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--nets", nargs="+", choices=[*TORCH, *RAW], default=[*TORCH, *RAW])
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.nets:
        folder, seed = args.out / name, 100 + 10 * [*TORCH, *RAW].index(name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if name in TORCH:
            export(name, folder / "model.onnx", seed)
        else:
            beside = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 64} if name == "external" else {}
            onnx.save(RAW[name](seed), folder / "model.onnx", **beside)
        write_reference(name, folder, seed)


if __name__ == "__main__":
    main()
