#!/usr/bin/env python3
"""What `chanscope inspect` promises, beside what the run then takes: the table of estimates in docs/performance.md.

For each of the shapes below, random activations of a few hidden directions go through `inspect`, which estimates seconds and
memory, and through `redundancy`, whose seconds and peak of resident memory are measured. Both processes start with the file in
the page cache. The memory of the program itself, which the estimate leaves out, is that of a run on four numbers, and is
subtracted from the peaks.

    tools/estimates.py --binary target/release/chanscope [--only NAME ...] [--scratch FOLDER]

Needs NumPy and Linux or macOS. The arrays take 0.6 GB at most, one at a time.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

# Name: shape, type, hidden directions, options.
RUNS = {
    "tiny": ((500, 16, 8, 8), np.float32, 12, []),
    "a LeNet-5 layer": ((10_000, 16, 4, 4), np.float32, 12, []),
    "many samples": ((70_000, 16, 4, 4), np.float32, 12, []),
    "very many samples": ((200_000, 2, 4, 4), np.float32, 12, []),
    "isotropic samples": ((20_000, 4, 8, 8), np.float32, 256, []),
    "128 channels": ((1_500, 128, 4, 4), np.float16, 12, []),
    "1024 channels": ((1_500, 1024, 4, 4), np.float16, 12, []),
    "few samples of many channels": ((300, 512, 7, 7), np.float16, 12, []),
    "large maps": ((2_000, 8, 112, 112), np.float16, 12, []),
    "64 sampled queries": ((20_000, 256, 7, 7), np.float16, 12, ["--queries", "64"]),
    "a cap of 256 MiB": ((5_000, 32, 14, 14), np.float32, 12, ["--memory", "256MiB"]),
    "k 100": ((5_000, 16, 7, 7), np.float32, 12, ["-k", "100"]),
}


def make(path: Path, shape: tuple, dtype: type, directions: int) -> None:
    """Activations after a ReLU, each channel a random mix of hidden directions with a little noise."""
    random = np.random.default_rng(0)
    samples, channels, *maps = shape
    hidden = random.standard_normal((samples, directions), dtype=np.float32)
    layer = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    for c in range(channels):
        mix = random.standard_normal((directions, maps[0] * maps[1]), dtype=np.float32)
        noise = random.standard_normal((samples, maps[0] * maps[1]), dtype=np.float32)
        layer[:, c] = np.maximum(hidden @ mix + noise / 4, 0).reshape(samples, *maps)
    layer.flush()


# Runs a command; prints its status, seconds and bytes of resident memory at the most.
MEASURE = """
import os, subprocess, sys, time
started = time.monotonic()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(status, time.monotonic() - started, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


def run(command: list) -> tuple[float, int]:
    """Seconds, and bytes of resident memory at the most."""
    # From a process without NumPy: Linux counts the memory of the parent as the child's, until the program is loaded.
    words = [sys.executable, "-I", "-S", "-c", MEASURE, *map(str, command)]
    status, seconds, most = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    if status != "0":
        sys.exit(f"failed: {' '.join(map(str, command))}")
    return float(seconds), int(most)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--scratch", type=Path, help="folder for arrays and results")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory(dir=args.scratch) as folder:
        scratch = Path(folder)
        path, out = scratch / "layer.npy", scratch / "out"
        np.save(path, np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1))
        _, program = run([args.binary, "redundancy", path, "--device", "cpu", "--quiet", "--out", out])
        shutil.rmtree(out)
        print(f"The program itself takes {program / 2**20:.0f} MiB.\n")
        print("| run | shape | promised | taken | ratio | memory promised | taken | ratio | inspect |")
        print("|---|---|---:|---:|---:|---:|---:|---:|---:|", flush=True)
        for name in args.only:
            shape, dtype, directions, options = RUNS[name]
            make(path, shape, dtype, directions)
            common = [*options, "--device", "cpu", "--quiet"]
            command = [args.binary, "inspect", path, *common, "--json"]
            started = time.monotonic()
            text = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout
            looked = time.monotonic() - started
            promised = json.loads(text)["layers"][0]["run"]
            seconds, peak = run([args.binary, "redundancy", path, *common, "--out", out])
            memory, taken = promised["memory_bytes"], peak - program
            size = "x".join(map(str, shape)) + (" f16" if dtype is np.float16 else "")
            print(
                f"| {name} | {size} | {promised['seconds']:.2f} s | {seconds:.2f} s | {promised['seconds'] / seconds:.2f} "
                f"| {memory / 2**20:.0f} MiB | {taken / 2**20:.0f} MiB | {memory / taken:.2f} | {looked:.2f} s |",
                flush=True,
            )
            path.unlink()
            shutil.rmtree(out)


if __name__ == "__main__":
    main()
