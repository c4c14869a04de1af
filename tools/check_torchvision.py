#!/usr/bin/env python3
"""Run torchvision's classifiers through chanscope and onnxruntime, and print how far they are apart, as Markdown.

Models that are not in --models yet are exported there (export_torchvision.py). Exits 1 when a convolution or an
output is off by more than --tolerance, relative to its largest value.

Example:
    cargo build --release && tools/check_torchvision.py --models build/torchvision
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

import export_torchvision
from compare_onnxruntime import compare


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--nets", nargs="+", choices=list(export_torchvision.SIZES), default=list(export_torchvision.SIZES))
    parser.add_argument("--binary", type=pathlib.Path, default=pathlib.Path("target/release/chanscope"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    args = parser.parse_args()

    args.models.mkdir(parents=True, exist_ok=True)
    failed = 0
    print(f"| network | convolutions | largest error | at | output | seconds ({args.device}) |\n|---|---|---|---|---|---|")
    for name in args.nets:
        model, data = args.models / f"{name}.onnx", args.models / f"{name}.input.npy"
        if not model.exists():
            export_torchvision.export(name, args.models, 17, False, False, 0)
        with tempfile.TemporaryDirectory() as folder:
            dump = pathlib.Path(folder) / "dump"
            command = [args.binary, "run", model, data, "--tap", "conv", "--dump", dump, "--device", args.device, "--quiet"]
            started = time.time()
            done = subprocess.run([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            seconds = time.time() - started
            if done.returncode:
                failed += 1
                print(f"| {name} | | {done.stderr.strip()} | | | |", flush=True)
                continue
            errors, _ = compare(model, data, dump)
        worst = max(errors, key=lambda layer: np.nan_to_num(errors[layer], nan=np.inf))
        failed += any(not error <= args.tolerance for error in errors.values())
        print(f"| {name} | {len(errors) - 1} | {errors[worst]:.1e} | {worst} | {errors['output']:.1e} | {seconds:.1f} |", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
