"""Every convolution of four networks at 224x224 against torch, all threads; a line a network, geometric mean over layers."""
import numpy as np
import torch
import torchvision
from harness import row, timed
from torch.nn import functional as F

BATCH = 4
NETS = ["resnet18", "resnet50", "vgg16", "mobilenet_v2"]


def run(context):
    context.set_threads(context.threads)
    every = []
    with context.kernels() as kernels, torch.no_grad():
        for name in NETS:
            peers, ours, ratios, worst, flops = 0.0, 0.0, [], 0.0, 0
            for layer, count in layers(name).items():
                seconds, mine, error = measure(context, kernels, layer)
                ratios += [seconds / mine] * count
                peers, ours = peers + count * seconds, ours + count * mine
                flops += count * operations(layer)
                worst = max(worst, error)
            every += ratios
            mean = np.exp(np.mean(np.log(ratios)))
            result = row(
                f"conv2d of {name}, {len(ratios)} layers, batch {BATCH}", "torch", peers, ours,
                f"largest error {worst:.1e}; total time {peers / ours:.2f}x, worst layer {min(ratios):.2f}x", None, flops, "FLOP/s",
            )
            yield {**result, "ratio": mean, "ratios": ratios}
    total = row("conv2d, all of them", "torch", 1.0, 1.0, "geometric mean over layers", 0.7)
    yield {**total, "ratio": float(np.exp(np.mean(np.log(every)))), "peer_text": "", "ours_text": ""}


def layers(name):
    """{(input shape, weight shape, stride, padding, groups): how often} at 224x224."""
    found = {}

    def hook(module, inputs, _):
        key = (tuple(inputs[0].shape[1:]), tuple(module.weight.shape), module.stride, module.padding, module.groups)
        found[key] = found.get(key, 0) + 1

    net = torchvision.models.get_model(name, weights=None).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(hook)
    net(torch.zeros(1, 3, 224, 224))
    return found


def measure(context, kernels, layer):
    """(torch's seconds, ours, largest error relative to the largest value) of one layer."""
    shape, weight_shape, stride, padding, groups = layer
    x = torch.randn(BATCH, *shape, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(weight_shape, generator=torch.Generator().manual_seed(1)) / np.sqrt(np.prod(weight_shape[1:]))
    kernels.load(context.threads, "conv2d", {"x": x.numpy(), "weight": weight.numpy()}, stride=stride, padding=padding, groups=groups)
    found = {}

    def peer():
        seconds, found["y"] = timed(lambda: F.conv2d(x, weight, None, stride, padding, 1, groups))
        return seconds

    times = context.alternate(peer, kernels.run, min(context.repeats, 5))
    expected = found["y"].numpy()
    error = np.abs(kernels.save()["output"].reshape(expected.shape) - expected).max() / np.abs(expected).max()
    return *times, float(error)


def operations(layer):
    (_, height, width), (outputs, inputs, kh, kw), stride, padding, _ = layer
    rows = (height + 2 * padding[0] - kh) // stride[0] + 1
    columns = (width + 2 * padding[1] - kw) // stride[1] + 1
    return 2 * BATCH * rows * columns * outputs * inputs * kh * kw
