"""LeNet-5 and LeNet-5x10 (ten times the channels), and the two data sets they are trained on.

input [N, 1, 28, 28]
conv1 5x5, no padding, 6 (60) channels, ReLU, max-pool 2    -> [N, 6 (60), 12, 12]
conv2 5x5, no padding, 16 (160) channels, ReLU, max-pool 2  -> [N, 16 (160), 4, 4]
fc1 120, ReLU; fc2 84, ReLU; fc3 10
"""
import gzip
import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import digits

CHANNELS = {"lenet5": (6, 16), "lenet5x10": (60, 160)}


class LeNet(nn.Module):
    """The layers are called conv1, conv2, fc1, fc2, fc3, in the weights and in every output."""

    def __init__(self, channels):
        super().__init__()
        first, second = channels
        self.conv1 = nn.Conv2d(1, first, 5)
        self.conv2 = nn.Conv2d(first, second, 5)
        self.fc1 = nn.Linear(second * 16, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def taps(self, images):
        """Every stage's output, in order: conv1, pool1, ..., fc2 after their ReLU, fc3 = logits."""
        taps = {}
        x = taps["conv1"] = F.relu(self.conv1(images))
        x = taps["pool1"] = F.max_pool2d(x, 2)
        x = taps["conv2"] = F.relu(self.conv2(x))
        x = taps["pool2"] = F.max_pool2d(x, 2)
        x = taps["fc1"] = F.relu(self.fc1(torch.flatten(x, 1)))
        x = taps["fc2"] = F.relu(self.fc2(x))
        taps["fc3"] = self.fc3(x)
        return taps

    def forward(self, images):
        return self.taps(images)["fc3"]


def load_net(name, weights):
    """The named net with the weights of a .safetensors file (widened to float32), in eval mode."""
    from safetensors.torch import load_file

    net = LeNet(CHANNELS[name])
    net.load_state_dict({key: value.float() for key, value in load_file(weights).items()})
    return net.eval()


def load_data(name, digits_dir, mnist_dir):
    """((train images, labels), (test images, labels)): float32 [N, 1, 28, 28] in 0..1, int64 [N]."""
    if name == "digits":
        raw, labels = digits.load(digits_dir)
        images = digits.upsample(raw)
        parts = [(images[: digits.TRAIN], labels[: digits.TRAIN]), (images[digits.TRAIN :], labels[digits.TRAIN :])]
    else:
        parts = [mnist(mnist_dir, "train"), mnist(mnist_dir, "t10k")]
    return [(torch.from_numpy(images), torch.from_numpy(labels)) for images, labels in parts]


def mnist(folder, part):
    """One part ("train" or "t10k") of MNIST from its gzipped idx files, pixels / 255."""
    folder = pathlib.Path(folder)
    pixels = _idx(folder / f"{part}-images-idx3-ubyte.gz", 16)
    labels = _idx(folder / f"{part}-labels-idx1-ubyte.gz", 8)
    images = pixels.reshape(len(labels), 1, 28, 28).astype(np.float32) / np.float32(255)
    return images, labels.astype(np.int64)


def _idx(path, header):
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


@torch.no_grad()
def predict(net, images, batch=500):
    """Class of every image, int64 [N]."""
    return torch.cat([net(part).argmax(1) for part in images.split(batch)])
