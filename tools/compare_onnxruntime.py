#!/usr/bin/env python3
"""Compare what `chanscope run --tap conv --dump DIR` wrote with onnxruntime: every convolution and the output.

The error of a tensor is max |got - expected| / max |expected|. Exits 1 when one is above --tolerance, is missing,
or is not finite.

Example:
    chanscope run resnet18.onnx input.npy --tap conv --dump got
    tools/compare_onnxruntime.py resnet18.onnx input.npy got
"""
import argparse
import pathlib
import sys

import numpy as np
import onnx

from onnx_nets import taps


def relative_error(expected, got):
    """Largest difference over the largest expected value; infinite where shapes differ or a value is not finite."""
    if expected.shape != got.shape or not np.isfinite(got).all():
        return np.inf
    scale = np.abs(expected).max(initial=0)
    error = np.abs(got.astype(np.float64) - expected).max(initial=0)
    return error / scale if scale > 0 else error


def compare(model, data, dump):
    """({layer: error, NaN where its file is missing}, {layer: shape}): every convolution, and "output"."""
    layers = taps.conv_layers(onnx.load(model, load_external_data=False))
    names = {layer: node.output[0] for layer, node in layers}
    found = taps.run(model, np.load(data).astype(np.float32), list(names.values()))
    expected = {**{layer: found[value] for layer, value in names.items()}, "output": found["output"]}
    errors = {}
    for layer, values in expected.items():
        file = dump / f"{layer}.npy"
        errors[layer] = relative_error(values, np.load(file)) if file.exists() else np.nan
    return errors, {layer: list(values.shape) for layer, values in expected.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, metavar="MODEL.onnx")
    parser.add_argument("data", type=pathlib.Path, metavar="DATA.npy")
    parser.add_argument("dump", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument("--worst", type=int, default=3, metavar="N", help="list the N worst layers (default 3)")
    parser.add_argument("--all", action="store_true", help="list every layer")
    args = parser.parse_args()

    errors, shapes = compare(args.model, args.data, args.dump)
    ranked = sorted(errors, key=lambda layer: -np.nan_to_num(errors[layer], nan=np.inf))
    for layer in ranked if args.all else ranked[: args.worst]:
        note = "missing" if np.isnan(errors[layer]) else f"{errors[layer]:.2e}"
        print(f"  {layer:48} {str(shapes[layer]):20} {note}")
    bad = [layer for layer in errors if not errors[layer] <= args.tolerance]
    worst = np.nanmax(list(errors.values()))
    print(f"{args.model.name}: {len(errors) - 1} convolutions, largest error {worst:.2e}, output {errors['output']:.2e}, {len(bad)} bad")
    sys.exit(len(bad) > 0)


if __name__ == "__main__":
    main()
