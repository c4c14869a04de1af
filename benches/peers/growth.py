#!/usr/bin/env python3
"""How the cost of `chanscope redundancy` grows with N, d, k and C: runs the binary on made-up ReLU activations
and prints Markdown tables of wall time, CPU time and peak memory.
    benches/peers/run builds the binary and the virtual environment;
    then: target/peers/venv/bin/python benches/peers/growth.py target/release/chanscope
"""
import os
import pathlib
import sys
import subprocess
import tempfile
import time

# `r` directions along which samples mainly vary.
BASE = {"N": 10_000, "d": 16, "k": 25, "C": 4, "r": 12}
SWEEPS = [
    ("N", [2_500, 5_000, 10_000, 20_000, 40_000], {}),
    ("N", [10_000, 20_000, 40_000, 80_000, 160_000], {"C": 1, "r": 5}),
    ("d", [4, 16, 64, 256], {}),
    ("k", [10, 25, 50, 100, 200], {}),
    ("C", [1, 4, 16, 64], {}),
]


def make(path, samples, channels, dim, directions):
    """Writes `[N, C, d, 1]`: rectified mixtures of a few directions, so that neighbourhoods are neither empty nor alike."""
    import numpy as np

    random = np.random.default_rng(0)
    hidden = random.standard_normal((samples, directions), dtype=np.float32)
    mix = random.standard_normal((directions, channels * dim), dtype=np.float32)
    noise = random.standard_normal((samples, channels * dim), dtype=np.float32)
    # As much noise for each of the directions.
    np.save(path, np.maximum(hidden @ mix + directions / 24 * noise, 0).reshape(samples, channels, dim, 1))


def measure(command):
    """(wall seconds, CPU seconds, peak resident MiB) of a child process."""
    started = time.perf_counter()
    process = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
    _, status, usage = os.wait4(process, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    if sys.argv[1] == "--make":
        return make(sys.argv[2], *map(int, sys.argv[3:]))
    binary = str(pathlib.Path(sys.argv[1]).resolve())
    for what, values, other in SWEEPS:
        base = BASE | other
        fixed = ", ".join(f"{name} {value:,}" for name, value in base.items() if name != what)
        print(f"\n| {what} ({fixed}) | wall, s | CPU, s | peak memory, MiB |\n|---|---|---|---|")
        for value in values:
            case = base | {what: value}
            with tempfile.TemporaryDirectory() as folder:
                dump = pathlib.Path(folder, "layer.npy")
                # In a process of its own: a child's peak counts what its parent held when it was started.
                subprocess.run([sys.executable, __file__, "--make", dump, *(str(case[name]) for name in "NCdr")], check=True)
                wall, cpu, memory = measure(
                    [binary, "redundancy", str(dump), "-k", str(case["k"]), "--device", "cpu", "--quiet", "--out", f"{folder}/out"]
                )
            print(f"| {value:,} | {wall:.2f} | {cpu:.2f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
