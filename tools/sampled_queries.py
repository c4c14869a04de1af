#!/usr/bin/env python3
"""How far sampled queries are from all queries: the table in docs/large-dumps.md.

Runs `chanscope redundancy` on a dump once with all queries and several times with --queries and different seeds. Counts how
often one and two standard errors on either side of an estimate hold the figure of all queries, and compares the times.

    tools/sampled_queries.py --binary target/release/chanscope --dump conv2.npy --labels labels.npy
    tools/sampled_queries.py --binary target/release/chanscope --mnist FOLDER --model lenet5.onnx --layer conv2

With --mnist the dump is made first: the 70,000 images in FOLDER (the four files train-images-idx3-ubyte.gz and so on),
through the model. Needs NumPy.
"""

import argparse
import gzip
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np


def mnist(folder: Path, scratch: Path) -> tuple[Path, Path]:
    """Images [70000, 1, 28, 28] in units of the training images' deviation, and labels, as .npy files."""
    images, labels = [], []
    for part in ("train", "t10k"):
        raw = gzip.open(folder / f"{part}-images-idx3-ubyte.gz").read()
        images.append(np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 1, 28, 28))
        raw = gzip.open(folder / f"{part}-labels-idx1-ubyte.gz").read()
        labels.append(np.frombuffer(raw, np.uint8, offset=8))
    pixels = np.concatenate(images).astype(np.float32) / 255
    np.save(scratch / "images.npy", (pixels - 0.1307) / 0.3081)
    np.save(scratch / "labels.npy", np.concatenate(labels).astype(np.int64))
    return scratch / "images.npy", scratch / "labels.npy"


def measure(binary: Path, dump: Path, labels: Path, out: Path, more: list[str]) -> tuple[dict, float]:
    """The layer's figures, with the matrices of pairs, and the seconds that the run took."""
    command = [binary, "redundancy", dump, "--labels", labels, "--aggregate", "--device", "cpu", "--quiet", "--out", out]
    started = time.monotonic()
    subprocess.run([str(part) for part in command + more], check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    layer = json.loads((out / "results.json").read_text())["redundancy"]["layers"][0]
    folder = out / "layers" / layer["name"]
    for name in ("jaccard", "overlap", "jaccard_se", "overlap_se"):
        if (folder / f"{name}.npy").is_file():
            layer[name] = np.load(folder / f"{name}.npy")
    return layer, seconds


def figures(layer: dict) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name of a figure: its values, and their standard errors where there are any."""
    found = {}

    def take(name: str, of: dict, field: str) -> None:
        values = np.atleast_1d(np.array(of[field], dtype=float))
        errors = of.get(f"{field}_se")
        found[name] = values, np.atleast_1d(np.array(errors, dtype=float)) if errors is not None else None

    take("neighbours, per channel", layer, "neighbors_mean")
    take("principal components, per channel", layer, "pca_dimension_mean")
    take("label error, per channel", layer, "loo_error")
    take("soft label error, per channel", layer, "loo_soft_error")
    take("mean overlap", layer, "overlap_mean")
    take("mean Jaccard index", layer, "jaccard_mean")
    take("redundancy", layer, "redundancy")
    take("neighbours, aggregate", layer["aggregate"], "neighbors_mean")
    take("label error, aggregate", layer["aggregate"], "loo_error")
    take("recall, aggregate", layer["aggregate"], "recall")
    upper = np.triu_indices(len(layer["neighbors_mean"]), 1)
    for name in ("overlap", "jaccard"):
        errors = layer.get(f"{name}_se")
        found[f"{name}, per pair"] = layer[name][upper], errors[upper] if errors is not None else None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--dump", type=Path, help="activations, one layer")
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--mnist", type=Path, help="folder of the MNIST files, in place of --dump")
    parser.add_argument("--model", type=Path, help="the network that MNIST runs through")
    parser.add_argument("--layer", default="conv2")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=20)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        dump, labels = args.dump, args.labels
        if args.mnist:
            images, labels = mnist(args.mnist, scratch)
            command = [args.binary, "run", args.model, images, "--layers", args.layer, "--tap", "pool"]
            command += ["--device", "cpu", "--quiet", "--dump", scratch / "dump"]
            subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
            dump = scratch / "dump" / f"{args.layer}.npy"
        layer, seconds = measure(args.binary, dump, labels, scratch / "all", [])
        exact, shape = figures(layer), layer["shape"]
        held = {name: [] for name in exact}
        first, times = {}, []
        for seed in range(args.seeds):
            more = ["--queries", str(args.queries), "--seed", str(seed)]
            layer, took = measure(args.binary, dump, labels, scratch / f"seed{seed}", more)
            times.append(took)
            for name, (values, errors) in figures(layer).items():
                known = np.isfinite(values) & np.isfinite(errors)
                # Without scatter an estimate is right, or infinitely many standard errors off.
                with np.errstate(divide="ignore", invalid="ignore"):
                    off = np.nan_to_num(np.abs(values - exact[name][0]) / errors, nan=0.0, posinf=np.inf)
                held[name].append(off[known])
                first.setdefault(name, (values[known].mean(), errors[known].mean()))

    print(f"Shape {shape}, {args.queries} queries, seeds 0 to {args.seeds - 1}.")
    print(f"All queries took {seconds:.1f} s, sampled ones {np.median(times):.1f} s (median).\n")
    print("| figure | all queries | seed 0 | within 1 standard error | within 2 |")
    print("|---|---:|---:|---:|---:|")
    for name, off in held.items():
        off = np.concatenate(off)
        value, error = first[name]
        all_queries = np.nanmean(exact[name][0])
        shares = f"{np.mean(off <= 1):.0%} | {np.mean(off <= 2):.0%}"
        print(f"| {name} | {all_queries:.4f} | {value:.4f} ± {error:.4f} | {shares} |")


if __name__ == "__main__":
    main()
