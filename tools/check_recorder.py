#!/usr/bin/env python3
"""Runs the README's recording snippet, as it is written there, on torchvision networks with random weights.

Example:
    tools/check_recorder.py --binary target/release/chanscope

Every activation must have a file of its own with a row per image, equal to what hooks see call by call, and
`chanscope inspect` must accept the folder.
"""
import argparse
import os
import pathlib
import re
import subprocess
import tempfile

import numpy as np
import torch
import torchvision

NETWORKS = {"resnet18": 17, "resnet50": 49, "mobilenet_v2": 35, "googlenet": 57}
IMAGES, BATCH = 5, 2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, help="also run `chanscope inspect` on each folder")
    args = parser.parse_args()
    readme = pathlib.Path(__file__).parent.parent / "README.md"
    snippet = next(b for b in re.findall(r"```python\n(.*?)```", readme.read_text(), re.S) if "Recorder" in b)
    binary = args.binary and args.binary.resolve()
    for name, files in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            check(name, files, snippet, binary)
            os.chdir("/")


def check(name, files, snippet, binary):
    torch.manual_seed(1)
    options = {"init_weights": False} if name == "googlenet" else {}
    model = getattr(torchvision.models, name)(weights=None, **options).eval()
    images, labels = torch.randn(IMAGES, 3, 64, 64), torch.arange(IMAGES)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), batch_size=BATCH)
    exec(snippet, {"model": model, "loader": loader})
    found = sorted(p for p in pathlib.Path("dump").glob("*.npy") if p.stem != "labels")
    assert len(found) == files, f"{name}: {len(found)} files instead of {files}"
    assert (np.load("dump/labels.npy") == labels.numpy()).all()
    # Independently: every call of an activation, in order, by replacing the functions that compute them.
    calls = []
    plain = {f: getattr(torch.nn.functional, f) for f in ("relu", "relu6", "hardtanh")}
    for f, function in plain.items():
        setattr(torch.nn.functional, f, lambda *a, function=function, **k: seen(calls, function(*a, **k)))
    try:
        with torch.no_grad():
            model(images)
    finally:
        for f, function in plain.items():
            setattr(torch.nn.functional, f, function)
    arrays = [np.load(p) for p in found]
    for call in calls:
        # Other batch sizes round differently.
        near = (np.abs(a - call).max() <= 1e-4 * np.abs(call).max() for a in arrays if a.shape == call.shape)
        assert any(near), f"{name}: a call of shape {call.shape} is in no file"
    if binary:
        subprocess.run([binary, "inspect", "dump"], check=True, stdout=subprocess.DEVNULL)
    print(f"{name}: {len(found)} files, {len(calls)} calls found in them")


def seen(calls, out):
    if out.ndim == 4:
        calls.append(out.clone().numpy())
    return out


if __name__ == "__main__":
    main()
