#!/usr/bin/env python3
"""Train LeNet-5 and LeNet-5x10 and write their weights as f16 .safetensors.

Example (what made the files in assets/):
    tools/digits.py && tools/train_lenet.py --data digits --out assets
On MNIST (a folder with the four gzipped idx files):
    tools/train_lenet.py --data mnist --mnist data/mnist --out build/mnist

Writes NAME.safetensors per net, training.json (accuracies, settings) and, for the digits,
lenet5_check.json: activations of a few images in float64, for the engine's tests.
"""
import argparse
import json
import math
import pathlib
import time

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

import lenet


def jitter(images, generator):
    """Each image turned by up to 10 degrees, scaled by up to 10 % and moved by up to 2 pixels."""
    turn, scale, move = 10 * math.pi / 180, 0.1, 2 * 2 / images.shape[-1]
    count = len(images)
    angle, size, x, y = (torch.rand(4, count, generator=generator) * 2 - 1).unbind(0)
    angle, size = angle * turn, 1 + size * scale
    rows = [size * angle.cos(), -size * angle.sin(), x * move, size * angle.sin(), size * angle.cos(), y * move]
    grid = F.affine_grid(torch.stack(rows, 1).view(count, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def train(net, images, labels, epochs, batch, rate, seed, augment):
    """Adam, cosine schedule, cross-entropy; order and jitter of the samples come from `seed`."""
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    steps = epochs * -(-len(images) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(epochs):
        started, total = time.time(), 0.0
        for chosen in torch.randperm(len(images), generator=order).split(batch):
            optimizer.zero_grad()
            seen = jitter(images[chosen], order) if augment else images[chosen]
            loss = F.cross_entropy(net(seen), labels[chosen])
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        if epoch % max(1, epochs // 10) == 0 or epoch == epochs - 1:
            print(f"  epoch {epoch + 1:3}/{epochs}  loss {total / len(images):.5f}  {time.time() - started:.1f} s", flush=True)


def accuracy(net, images, labels):
    return (lenet.predict(net, images) == labels).double().mean().item()


@torch.no_grad()
def reference(net, images):
    """Per image and stage: shape, sum, sum of squares, and five values at evenly spread positions.

    `net` holds the f16 weights; the sums run in float64.
    """
    records = []
    stages = {"input": images.double(), **net.double().taps(images.double())}
    for i in range(len(images)):
        record = {}
        for name, value in stages.items():
            flat = value[i].flatten()
            at = [j * (len(flat) - 1) // 4 for j in range(5)]
            record[name] = {
                "shape": list(value[i].shape),
                "sum": flat.sum().item(),
                "sum_of_squares": flat.square().sum().item(),
                "at": at,
                "values": flat[at].tolist(),
            }
        records.append(record)
    net.float()
    return records


def train_one(name, train_set, test_set, args):
    """Train, round the weights to f16, write them, return the accuracies in both precisions."""
    torch.manual_seed(args.seed)
    net = lenet.LeNet(lenet.CHANNELS[name])
    print(f"{name} on {args.data}: {sum(p.numel() for p in net.parameters())} parameters")
    train(net, *train_set, args.epochs, args.batch, args.rate, args.seed, args.data == "digits")
    full = accuracy(net, *test_set)
    path = args.out / f"{name}.safetensors"
    save_file({key: value.half().contiguous() for key, value in net.state_dict().items()}, path)
    path.chmod(0o644)
    net = lenet.load_net(name, path)
    result = {
        "test_accuracy_f32": full,
        "test_accuracy_f16": accuracy(net, *test_set),
        "train_accuracy_f16": accuracy(net, *train_set),
        "bytes": path.stat().st_size,
    }
    print(f"  {result}")
    return net, result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=["digits", "mnist"], default="digits")
    parser.add_argument("--digits", type=pathlib.Path, default=pathlib.Path("assets/digits"), metavar="DIR")
    parser.add_argument("--mnist", type=pathlib.Path, metavar="DIR", help="folder with the gzipped idx files")
    parser.add_argument("--nets", nargs="+", choices=list(lenet.CHANNELS), default=list(lenet.CHANNELS))
    parser.add_argument("--epochs", type=int, help="default: 60 for digits, 5 for mnist")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="more than 1 only on an otherwise idle machine")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    if args.data == "mnist" and args.mnist is None:
        parser.error("--data mnist needs --mnist DIR")
    args.epochs = args.epochs or {"digits": 60, "mnist": 5}[args.data]

    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    train_set, test_set = lenet.load_data(args.data, args.digits, args.mnist)
    results, checks = {}, {}
    for name in args.nets:
        net, results[name] = train_one(name, train_set, test_set, args)
        checks[name] = reference(net, train_set[0][:3])
    settings = {"data": args.data, "epochs": args.epochs, "batch": args.batch, "rate": args.rate, "seed": args.seed}
    record = {**settings, "train": len(train_set[0]), "test": len(test_set[0]), "nets": results}
    (args.out / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    if args.data == "digits":
        (args.out / "lenet5_check.json").write_text(json.dumps(checks, indent=1) + "\n")


if __name__ == "__main__":
    main()
