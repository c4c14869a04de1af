#!/usr/bin/env python3
"""Judge `chanscope redundancy` by the float64 oracle on a small dump made to be awkward: a dead channel, zero samples,
duplicated samples, a constant channel, ties, a tiny spread far from the origin; with every kernel, rule for
identical points and bandwidth; and with fewer samples than k. With --dump also on the first --images samples of a
dump of one's own. Prints a line a case, exits 1 on a mismatch.

Example:
    cargo build --release && tools/check_redundancy.py --dump build/mnist-lenet5/dump
"""
import argparse
import itertools
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent


def awkward(count, seed):
    """float32 [count, 7, 3, 3] and labels."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((count, 7, 3, 3)).astype(np.float32)
    x[:, 1] = 0
    x[:, 2] = np.maximum(x[:, 2], 0)
    x[random.random(count) < 0.4, 2] = 0
    x[:, 3] = x[random.integers(0, max(2, count // 3), count), 3]
    x[:, 4] = 1.5
    x[:, 5] = random.integers(0, 2, (count, 3, 3))
    x[:, 6] = 100 + np.float32(1e-3) * x[:, 6]
    return x, random.integers(0, 4, count)


def cases():
    """(name, options) of every variant."""
    for kernel, identical, sigma in itertools.product(("gaussian", "cosine"), ("keep", "drop", "replace"), ("kth/3", "1.7")):
        if kernel == "gaussian" or sigma == "kth/3":
            yield f"{kernel} {identical} {sigma}", ["--kernel", kernel, "--identical", identical, "--sigma", sigma]


def judge(dump, options, args, images=None):
    """None, or what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        expected, got, subset = (str(pathlib.Path(folder) / name) for name in ("expected", "got", "subset"))
        shared = ["-k", "25", "--aggregate", *options]
        limit = ["--images", str(images)] if images else []
        oracle = [sys.executable, HERE / "oracle_cwnnk.py", dump, *shared, *limit, "--subset", subset, "--out", expected]
        engine = [args.binary, "redundancy", subset, *shared, "--save-graph", "--quiet", "--device", args.device, "--out", got]
        compare = [sys.executable, HERE / "compare_results.py", expected, got] + (["--gpu"] if args.device != "cpu" else [])
        for command in (oracle, engine, compare):
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
            if done.returncode:
                wrong = [line for line in done.stdout.splitlines() if "WRONG" in line]
                return "\n".join(wrong) or done.stderr.strip()
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=pathlib.Path("target/release/chanscope"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dump", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--images", type=int, default=500)
    args = parser.parse_args()

    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        jobs = []
        for count in (10, 60, 200):
            dump = pathlib.Path(folder) / str(count)
            dump.mkdir()
            values, labels = awkward(count, count)
            np.save(dump / "awkward.npy", values)
            np.save(dump / "labels.npy", labels)
            jobs += [(f"N {count} {name}", dump, options, None) for name, options in cases()]
        if args.dump is not None:
            for kernel in ("gaussian", "cosine"):
                jobs.append((f"{args.dump.name} {kernel}", args.dump, ["--kernel", kernel], args.images))
        for name, dump, options, images in jobs:
            wrong = judge(dump, options, args, images)
            failed += wrong is not None
            print(f"{name}: {'agrees' if wrong is None else wrong}", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
