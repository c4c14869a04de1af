"""Shuffling the channels of ResNet-18's tensors, random weights, 64x64, against torch: for each tensor the blocks behind it,
for as many channels at once as fit in a batch, and the cosines of every later convolution's activation."""
import shutil
import subprocess

import numpy as np
import torch
import torchvision
from harness import row, timed
from torch.nn import functional as F

SAMPLES = 32
# Tensors between blocks, by the convolution before them, and the number of blocks before them.
TENSORS = {"conv1": 0, "layer2.1.conv2": 4, "layer3.1.conv2": 6}
BATCH = 512


def run(context):
    context.set_threads(context.threads)
    torch.manual_seed(0)
    net = torchvision.models.resnet18(weights=None).eval()
    generator = np.random.default_rng(0)
    images = generator.standard_normal((SAMPLES, 3, 64, 64)).astype(np.float32)
    order = generator.permutation(SAMPLES)
    folder = context.work / "shuffle"
    folder.mkdir(exist_ok=True)
    np.save(folder / "images.npy", images)
    np.save(folder / "order.npy", order.astype(np.int64))
    torch.onnx.export(net, (torch.from_numpy(images[:1]),), folder / "resnet18.onnx", dynamo=False, opset_version=17, training=torch.onnx.TrainingMode.PRESERVE,
                      input_names=["input"], output_names=["output"], dynamic_axes={"input": {0: "N"}, "output": {0: "N"}})
    blocks = [block for layer in (net.layer1, net.layer2, net.layer3, net.layer4) for block in layer]
    with torch.no_grad():
        for name, skipped in TENSORS.items():
            tensor = net.maxpool(net.relu(net.bn1(net.conv1(torch.from_numpy(images)))))
            for block in blocks[:skipped]:
                tensor = block(tensor)
            found = {}

            def peer():
                seconds, found["cosines"] = timed(peer_cosines, blocks[skipped:], tensor, torch.from_numpy(order))
                return seconds

            def ours():
                return chanscope(context, folder, name)

            times = context.alternate(peer, ours, min(context.repeats, 3))
            agreement = compare(found["cosines"], folder / "out" / "shuffle" / name, skipped)
            work = f"shuffle of the {tensor.shape[1]} channels behind {name} of resnet18, {SAMPLES} images of 64x64"
            yield row(work, "torch, a batched tail", *times, agreement, 1)


def chanscope(context, folder, name):
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [context.binary, "shuffle", folder / "resnet18.onnx", folder / "images.npy", "--tensor", name, "--permutation", folder / "order.npy",
               "--device", "cpu", "--threads", context.threads, "--out", out, "--quiet"]
    return timed(lambda: subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL))[0]


def peer_cosines(blocks, tensor, order):
    """Per later convolution the cosines [channels, its channels], mean over samples."""
    before = taps(blocks, tensor)
    samples, channels = tensor.shape[:2]
    together = max(BATCH // samples, 1)
    parts = []
    for first in range(0, channels, together):
        chosen = range(first, min(first + together, channels))
        variants = tensor.repeat(len(chosen), 1, 1, 1).view(len(chosen), *tensor.shape)
        for at, channel in enumerate(chosen):
            variants[at, :, channel] = tensor[order, channel]
        after = taps(blocks, variants.flatten(0, 1))
        parts.append([cosines(x, y, len(chosen)) for x, y in zip(before, after)])
    return [torch.cat(of_one).numpy() for of_one in zip(*parts)]


def taps(blocks, x):
    """The activations of the convolutions of basic blocks: before the addition, where one follows; downsampling last."""
    found = []
    for block in blocks:
        y = block.relu(block.bn1(block.conv1(x)))
        z = block.bn2(block.conv2(y))
        found += [y, z]
        if block.downsample is not None:
            x = block.downsample(x)
            found.append(x)
        x = torch.relu(z + x)
    return found


def cosines(x, y, variants):
    """[variants, channels]; x [N, M, ...], y [variants N, M, ...]."""
    x, y = x.flatten(2), y.flatten(2).view(variants, *x.flatten(2).shape)
    found = F.cosine_similarity(x[None].double(), y.double(), dim=3, eps=1e-300)
    zero = (x == 0).all(2)[None], (y == 0).all(3)
    return torch.where(zero[0] & zero[1], 1.0, found).mean(1)


def compare(expected, folder, skipped):
    """How well they agree. A map that is zero but for rounding has the cosine 0 in one computation and 1 in the other."""
    names = []
    for block in range(skipped, 8):
        stem = f"layer{block // 2 + 1}.{block % 2}"
        names += [f"{stem}.conv1", f"{stem}.conv2"] + ([f"{stem}.downsample.0"] if block in (2, 4, 6) else [])
    differences = np.concatenate([np.abs(np.load(folder / f"{name}.cosine.npy") - cosine).ravel() for name, cosine in zip(names, expected)])
    return f"{100 * (differences <= 1e-5).mean():.3f} % of cosines within 1e-5, the largest difference {differences.max():.1e}"
