"""What recording adds to forward passes of a ResNet-18, all activations in float16, beside `numpy.save` of the same arrays.
Needs the package in bindings/python."""
import shutil

import numpy as np
import torch
import torchvision
from harness import row, timed

BATCH = 64
BATCHES = 2
SIZE = 224


def run(context):
    import chanscope

    context.set_threads(context.threads)
    torch.manual_seed(0)
    model = torchvision.models.resnet18(weights=None).eval()
    x = torch.randn(BATCH, 3, SIZE, SIZE)
    folder, copies = context.work / "recorded", context.work / "saved"

    def passes():
        with torch.no_grad():
            for _ in range(BATCHES):
                model(x)

    def recorded():
        with chanscope.record(model, folder, dtype="float16"):
            passes()

    def measure(function, out):
        shutil.rmtree(out, ignore_errors=True)
        return timed(function)[0]

    measure(recorded, folder)
    arrays = {file.name: np.load(file) for file in folder.rglob("*.npy")}

    def save():
        copies.mkdir()
        for name, array in arrays.items():
            np.save(copies / name, array)

    # Passes with and without recording take turns, because the difference of two long times is wanted.
    plain, recording = context.alternate(lambda: timed(passes)[0], lambda: measure(recorded, folder))
    saving, _ = context.alternate(lambda: measure(save, copies), lambda: 0.0)
    size = sum(array.nbytes for array in arrays.values())
    shutil.rmtree(folder)
    shutil.rmtree(copies)
    work = f"recording {len(arrays)} layers of {BATCHES} batches of {BATCH} images of {SIZE}x{SIZE}, resnet18, float16"
    agreement = f"{size / 1e6:.0f} MB; passes take {plain:.3g} s without it and {recording:.3g} s with it"
    yield row(work, "numpy.save of the same arrays", saving, recording - plain, agreement, 1)
