#!/usr/bin/env python3
"""Export the networks of tools/networks/catalog.py with random weights by both of PyTorch's exporters.

Per network DIR/NAME.older.onnx (opset 17), DIR/NAME.newer.onnx (opset 20) and DIR/NAME.input.npy, float32
[2, 3, S, S]. Files that exist are kept. Needs torchvision and timm.

Example:
    tools/export_networks.py --out build/networks --nets resnet18 yolov8-like
"""
import argparse
import pathlib
import sys
import time

import numpy as np
import torch

from networks.catalog import SOURCES
from networks.export import EXPORTERS, export, images


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--nets", nargs="+", choices=list(SOURCES), default=list(SOURCES))
    parser.add_argument("--exporters", nargs="+", choices=list(EXPORTERS), default=list(EXPORTERS))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    failed = 0
    for name in args.nets:
        np.save(args.out / f"{name}.input.npy", images(name))
        for exporter in args.exporters:
            path = args.out / f"{name}.{exporter}.onnx"
            if path.exists():
                continue
            started = time.time()
            try:
                export(name, exporter, path)
                print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB, {time.time() - started:.0f} s", flush=True)
            except Exception as error:  # an exporter that cannot write this network
                failed += 1
                path.unlink(missing_ok=True)
                print(f"{name} by the {exporter} exporter: {str(error).strip().splitlines()[0][:200]}", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
