#!/usr/bin/env python3
"""Run the same commands with two builds of chanscope and compare everything they write, byte for byte.

    tools/compare_builds.py OLD_BINARY NEW_BINARY [--mnist DIR] [--only NAME ...] [--device cpu]

It is for changes that must not move a result: a refactoring, another build profile, another compiler.
The inputs are the demo's data, the test networks, and arrays made here (random, tied, sparse and with
missing values); `--mnist DIR` adds DIR/dump/pool2.npy and its labels as `tools/dump_activations.py` writes
them. Compared are all arrays and all written networks byte for byte, and `results.json` without `version`,
`timing` and the paths of temporary folders. Needs numpy. Exits 1 on the first difference of any command.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent


def make_inputs(folder):
    """Arrays with what is hard for a search or a solver: ties, copies, zeros, dead channels, odd sizes."""
    rng = np.random.default_rng(7)
    relu = np.maximum(rng.normal(size=(700, 9, 5, 3)), 0).astype(np.float32)
    relu[:, 4] = 0
    relu[::5, 2] = 0
    np.save(folder / "relu.npy", relu)
    np.save(folder / "ties.npy", rng.integers(0, 3, (600, 4, 2, 2)).astype(np.float32))
    half = rng.normal(size=(513, 3, 8, 8)).astype(np.float16)
    np.save(folder / "half.npy", half)
    missing = rng.normal(size=(300, 5, 3, 3)).astype(np.float32)
    missing[17, 2, 1, 1] = np.nan
    missing[200, 0, 0, 0] = np.inf
    np.save(folder / "missing.npy", missing)
    np.save(folder / "wide.npy", rng.normal(size=(400, 2, 16, 16)))
    low = rng.normal(size=(20000, 2)) @ rng.normal(size=(2, 24))
    np.save(folder / "low.npy", (low + 1e-3 * rng.normal(size=low.shape)).astype(np.float32))
    np.save(folder / "labels700.npy", rng.integers(0, 10, 700))
    np.save(folder / "images.npy", rng.normal(size=(64, 3, 32, 32)).astype(np.float32))


def commands(data, mnist):
    """(name, arguments) of every run; `{out}` is added by the caller."""
    d = lambda name: str(data / f"{name}.npy")
    graph = ["--save-graph", "--aggregate"]
    yield "demo", ["demo"]
    yield "relu", ["redundancy", d("relu"), "--labels", d("labels700"), *graph]
    yield "relu-cosine", ["redundancy", d("relu"), "--labels", d("labels700"), "--kernel", "cosine", "-k", "50", *graph]
    yield "ties", ["redundancy", d("ties"), *graph]
    yield "ties-replace", ["redundancy", d("ties"), "--identical", "replace", "-k", "10", *graph]
    yield "ties-drop", ["redundancy", d("ties"), "--identical", "drop", "--kernel", "cosine", *graph]
    yield "half", ["redundancy", d("half"), "--sigma", "4.5", "-k", "100", *graph]
    yield "skip", ["redundancy", d("missing"), "--nan", "skip", *graph]
    yield "two-layers", ["redundancy", d("half"), d("wide"), "--channels", "1,0", "-k", "30"]
    yield "same-samples", ["redundancy", d("relu"), d("relu"), *graph]
    yield "low", ["redundancy", d("low"), "-k", "40", "--save-graph"]
    yield "one-thread", ["redundancy", d("relu"), "--threads", "1", "--memory", "64MiB", *graph]
    for net in sorted((ROOT / "assets").glob("*.safetensors")):
        yield f"filters-{net.stem}", ["filters", str(net), "--gradient"]
        for how in (["adam", "--keep-norm"], ["sgd"]):
            options = ["--minimize", "20", "--optimizer", *how, "--write", "{out}.safetensors"]
            yield f"minimize-{net.stem}-{how[0]}", ["filters", str(net), *options]
        yield f"summed-{net.stem}", ["filters", str(net), "--input-channels", "summed", "--pairs", "adjacent", "--gradient"]
    for net in sorted((ROOT / "tests/data/onnx").glob("*/model.onnx")):
        image = net.parent / "input.npy"
        yield f"impulse-{net.parent.name}", ["impulse", str(net)]
        if image.exists():
            yield f"run-{net.parent.name}", ["run", str(net), str(image), "--dump", "{out}"]
            yield f"shuffle-{net.parent.name}", ["shuffle", str(net), str(image), "--batch", "2"]
            yield f"pixel-{net.parent.name}", ["shuffle", str(net), str(image), "--batch", "2", "--mode", "pixel"]
    if mnist:
        pool2, labels = mnist / "dump/pool2.npy", mnist / "dump/labels.npy"
        options = ["redundancy", str(pool2), "--labels", str(labels), *graph]
        yield "mnist", options
        yield "mnist-cosine", [*options, "--kernel", "cosine"]
        yield "mnist-k50", [*options, "-k", "50"]


def run(binary, arguments, out, device):
    """Runs one command and returns its exit code with the first line of its errors."""
    arguments = [a.replace("{out}", str(out)) for a in arguments]
    if "--dump" not in arguments:
        arguments += ["--out", str(out)]
    if "--memory" not in arguments:
        arguments += ["--memory", "1GiB"]  # the default depends on what is free
    done = subprocess.run([binary, *arguments, "--device", device, "--quiet"], capture_output=True, text=True)
    first = done.stderr.replace(str(out), "OUT").strip().splitlines()[:1]
    return done.returncode, first, done.stdout.replace(str(out), "OUT")


def results(path, out):
    """results.json as a dictionary without what differs from run to run."""
    value = json.loads(path.read_text().replace(str(out), "OUT"))
    for key in ("version", "timing"):
        value.pop(key, None)
    return value


def files(out):
    """Everything below `out` and what was written beside it, by relative name."""
    found = {str(p.relative_to(out)): p for p in out.rglob("*") if p.is_file()} if out.exists() else {}
    beside = out.parent / f"{out.name}.safetensors"
    return found | ({"written.safetensors": beside} if beside.exists() else {})


def differences(a, b):
    """Names of files that are not the same."""
    left, right = files(a), files(b)
    for name in sorted(left.keys() | right.keys()):
        if name not in left or name not in right:
            yield f"{name} is only in one of them"
        elif name.endswith("results.json"):
            one, other = results(left[name], a), results(right[name], b)
            keys = [key for key in one.keys() | other.keys() if one.get(key) != other.get(key)]
            if keys:
                yield f"{name} differs in {', '.join(sorted(keys))}"
        elif name.endswith("report.html"):
            continue  # holds the timings; its figures are those of results.json and the arrays
        elif left[name].read_bytes() != right[name].read_bytes():
            yield f"{name} differs"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--mnist", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--only", nargs="+", default=[], help="commands whose names start so")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()

    compared = failed = arrays = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        make_inputs(folder)
        for name, arguments in commands(folder, args.mnist):
            if args.only and not name.startswith(tuple(args.only)):
                continue
            outs = [folder / f"{name}-{side}" for side in ("old", "new")]
            codes = [run(binary, arguments, out, args.device) for binary, out in zip((args.old, args.new), outs)]
            problems = list(differences(*outs))
            if codes[0][0] != codes[1][0]:
                problems.append(f"exit codes {codes[0][:2]} and {codes[1][:2]}")
            elif codes[0][0] and codes[0][1] != codes[1][1]:
                print(f"note  {name}: messages differ: {codes[0][1]} / {codes[1][1]}")
            arrays += len(files(outs[0]))
            compared += 1
            failed += bool(problems)
            print(f"{'WRONG' if problems else 'same'}  {name}  (exit {codes[0][0]}, {len(files(outs[0]))} files) {'; '.join(problems)}", flush=True)
    print(f"{compared} commands, {arrays} files, {failed} commands with differences")
    sys.exit(1 if failed or not compared else 0)


if __name__ == "__main__":
    main()
