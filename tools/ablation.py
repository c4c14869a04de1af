#!/usr/bin/env python3
"""Train networks from several seeds, ablate them by all rankings with `chanscope ablate`, and print the accuracy that is left
as tables: mean over seeds, and standard deviation between them.

On MNIST (a folder with the four gzipped idx files), LeNet-5x10:
    tools/ablation.py --net lenet5x10 --data data/mnist --out build/ablation
On a part of CIFAR-10 (an .npz of JPEG files: `train_jpeg`, `train_offsets`, `train_labels`, the same of `test`), a small
ResNet; about an hour on two cores:
    tools/ablation.py --net resnet --data data/cifar10_jpeg.npz --epochs 15 --out build/ablation

Writes OUT/NET-SEED/model.onnx, images.npy and labels.npy (test images), and a folder of results per way of dropping. What is
there already is not made again.
"""
import argparse
import io
import json
import pathlib
import statistics
import subprocess

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import lenet
from export_onnx import export
from train_lenet import train

DROPPED = ["zero", "mean", "merge"]


class Block(nn.Module):
    """Two convolutions with batch normalisation, added to what they read."""

    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.short = None
        if stride != 1 or inputs != channels:
            self.short = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.short is None else self.short(x)))


class ResNet(nn.Module):
    """ResNet-8 for images of 32x32: a convolution, and three blocks of 16, 32 and 64 channels."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = self.blocks(F.relu(self.bn(self.conv(x))))
        return self.fc(x.mean((2, 3)))


class Augmented(nn.Module):
    """While training: images moved by up to 4 pixels and mirrored at random."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        if self.training:
            y, left = torch.randint(0, 9, (2,)).tolist()
            x = F.pad(x, (4, 4, 4, 4))[:, :, y : y + 32, left : left + 32]
            mirrored = (torch.rand(len(x)) < 0.5).view(-1, 1, 1, 1)
            x = torch.where(mirrored, x.flip(3), x)
        return self.net(x)


def cifar(path):
    """((train images, labels), (test images, labels)): float32 [N, 3, 32, 32], normalised, int64 [N]."""
    from PIL import Image

    file = np.load(path)
    parts = []
    for part in ("train", "test"):
        data, offsets = file[f"{part}_jpeg"], file[f"{part}_offsets"]
        pixels = np.stack([
            np.asarray(Image.open(io.BytesIO(data[a:b].tobytes())).convert("RGB")) for a, b in zip(offsets, offsets[1:])
        ])  # fmt: skip
        images = pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
        mean, deviation = np.float32([0.491, 0.482, 0.447]), np.float32([0.247, 0.243, 0.262])
        images = (images - mean[:, None, None]) / deviation[:, None, None]
        labels = file[f"{part}_labels"].astype(np.int64)
        parts.append((torch.from_numpy(images), torch.from_numpy(labels)))
    return parts


def made(folder, seed, args):
    """Trains a network and writes it with the test images that it is ablated on."""
    train_set, test_set = cifar(args.data) if args.net == "resnet" else lenet.load_data("mnist", None, args.data)
    torch.manual_seed(seed)
    net = Augmented(ResNet()) if args.net == "resnet" else lenet.LeNet(lenet.CHANNELS[args.net])
    epochs = args.epochs or {"resnet": 15}.get(args.net, 2)
    print(f"{folder}: {sum(p.numel() for p in net.parameters())} parameters, {epochs} epochs", flush=True)
    train(net, *train_set, epochs, 64, 2e-3 if args.net == "resnet" else 1e-3, seed, False)
    net.eval()
    images, labels = (part[: args.images] for part in test_set)
    np.save(folder / "images.npy", images.numpy())
    np.save(folder / "labels.npy", labels.numpy())
    export(getattr(net, "net", net), images[:2], folder / "model.onnx", 17)


def ablated(folder, dropped, args):
    """The section `ablation` of a run."""
    out = folder / dropped
    if not (out / "results.json").exists():
        inputs = [folder / "model.onnx", folder / "images.npy", "--labels", folder / "labels.npy"]
        options = ["--dropped", dropped, "--keep", args.keep, "--calibration", args.calibration, "--seed", 0]
        where = ["--device", "cpu", "--threads", args.threads, "--quiet", "--json", "--out", out]
        command = [args.chanscope, "ablate", *inputs, *options, *where]
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    return json.loads((out / "results.json").read_text())["ablation"]


def percent(values):
    """Mean over seeds and standard deviation between them."""
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{spread}"


def table(name, runs, of):
    """Accuracy by ranking and share; `of` takes the curves out of a run."""
    points = of(runs[0])[0]["points"]
    print(f"\n{name}\n")
    print("| ranking | " + " | ".join(f"{100 * p['share']:g} %" for p in points) + " |")
    print("|---|" + "---|" * len(points))
    for place, curve in enumerate(of(runs[0])):
        cells = []
        for at in range(len(points)):
            cells.append(percent([of(run)[place]["points"][at]["accuracy"] for run in runs]))
        print(f"| `{curve['ranking']}` | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=["lenet5", "lenet5x10", "resnet"], required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of MNIST, or file of CIFAR-10")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="default: 2 on MNIST, 15 on CIFAR-10")
    parser.add_argument("--images", type=int, default=3000, help="test images to calibrate and measure on")
    parser.add_argument("--calibration", type=int, default=1000, help="images of these to calibrate on")
    parser.add_argument("--keep", default="0.9,0.7,0.5,0.3,0.1", metavar="SHARE,...")
    parser.add_argument("--dropped", nargs="+", choices=DROPPED, default=DROPPED)
    parser.add_argument("--chanscope", default="chanscope", help="the program")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layers", action="store_true", help="also a table for each layer")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    folders = [args.out / f"{args.net}-{seed}" for seed in args.seeds]
    for folder, seed in zip(folders, args.seeds):
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "model.onnx").exists():
            made(folder, seed, args)
    for dropped in args.dropped:
        runs = [ablated(folder, dropped, args) for folder in folders]
        intact = percent([run["accuracy"] for run in runs])
        errors = ", ".join(f"{100 * run['standard_error']:.1f}" for run in runs)
        print(f"\nDropped: {dropped}. Intact: {intact} % on {runs[0]['samples']} images (standard errors {errors}).")
        table("All layers at once", runs, lambda run: run["together"])
        for place, layer in enumerate(runs[0]["layers"] if args.layers else []):
            name = f"{layer['name']} alone ({layer['channels']} channels)"
            table(name, runs, lambda run, place=place: run["layers"][place]["curves"])


if __name__ == "__main__":
    main()
