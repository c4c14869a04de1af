#!/usr/bin/env python3
"""Dump the activations of a LeNet on a test set: one .npy per stage, float32 [N, C, H, W].

Example:
    tools/dump_activations.py --net lenet5 --weights build/mnist/lenet5.safetensors \\
        --data mnist --mnist data/mnist --out build/mnist-lenet5

Writes DIR/dump/{conv1,pool1,conv2,pool2}.npy and labels.npy (the folder `chanscope redundancy`
reads), and beside it images.npy, labels.npy and logits.npy (what `run` and `shuffle` read).
conv1 and conv2 are taken after their ReLU, pool1 and pool2 after max-pooling.
"""
import argparse
import pathlib

import numpy as np
import torch

import lenet

STAGES = ["conv1", "pool1", "conv2", "pool2"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=list(lenet.CHANNELS), required=True)
    parser.add_argument("--weights", type=pathlib.Path, required=True, metavar="FILE.safetensors")
    parser.add_argument("--data", choices=["digits", "mnist"], default="digits")
    parser.add_argument("--digits", type=pathlib.Path, default=pathlib.Path("assets/digits"), metavar="DIR")
    parser.add_argument("--mnist", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    if args.data == "mnist" and args.mnist is None:
        parser.error("--data mnist needs --mnist DIR")

    net = lenet.load_net(args.net, args.weights)
    _, (images, labels) = lenet.load_data(args.data, args.digits, args.mnist)
    with torch.no_grad():
        parts = [net.taps(part) for part in images.split(500)]
    dump = args.out / "dump"
    dump.mkdir(parents=True, exist_ok=True)
    for stage in args.stages:
        write(dump / f"{stage}.npy", torch.cat([part[stage] for part in parts]).numpy())
    write(dump / "labels.npy", labels.numpy())
    write(args.out / "labels.npy", labels.numpy())
    write(args.out / "images.npy", images.numpy())
    write(args.out / "logits.npy", torch.cat([part["fc3"] for part in parts]).numpy())


def write(path, array):
    np.save(path, np.ascontiguousarray(array))
    print(f"{path}: {array.dtype} {list(array.shape)}")


if __name__ == "__main__":
    main()
