"""Networks and helpers of the recorder's tests."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class InPlace(nn.Module):
    """Activations in place, before and after a residual addition in place, and one module used twice."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.relu(self.bn(self.conv1(x)))
        y = self.relu(self.conv2(x))
        y += x
        y = self.relu(y)
        y *= 2
        return y.mean((2, 3))


class Functions(nn.Module):
    """Activations that are functions and methods, none of them a module."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 4, 1), nn.Linear(4, 4)

    def forward(self, x):
        x = F.relu(self.first(x))
        x = torch.relu_(self.second(x))
        x = (x - 0.1).relu()
        x = F.gelu(x)
        x = x.clamp(min=0)
        return F.relu(self.head(x.mean((2, 3))))


class Swish(nn.Module):
    """An activation made of several functions."""

    def forward(self, x):
        return x * torch.sigmoid(x)


class SwishFunction(torch.autograd.Function):
    """An activation that no trace can look into."""

    @staticmethod
    def forward(ctx, x):
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, grad):
        return grad


class MemoryEfficientSwish(nn.Module):
    def forward(self, x):
        return SwishFunction.apply(x)


class Block(nn.Module):
    """A residual block with the names of torchvision's."""

    def __init__(self, before, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.downsample = nn.Sequential(nn.Conv2d(before, channels, 1, stride)) if stride > 1 else None

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    """A ResNet-18 of eight channels, with the names of torchvision's."""

    def __init__(self, channels=8, classes=4):
        super().__init__()
        self.conv1, self.bn1, self.relu = (
            nn.Conv2d(3, channels, 7, 2, 3, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        for i in range(1, 5):
            blocks = [Block(channels, channels, 1 + (i > 1)), Block(channels, channels, 1)]
            self.add_module(f"layer{i}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.fc(x.mean((2, 3)))


def images(n, size=16, seed=0):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def described(folder="dump"):
    """`record.json`, and the arrays by the names of their layers."""
    folder = pathlib.Path(folder)
    about = json.loads((folder / "record.json").read_text())
    arrays = {layer["name"]: np.load(folder / layer["file"]) for layer in about["layers"]}
    for layer in about["layers"]:
        assert list(arrays[layer["name"]].shape) == layer["shape"]
        assert arrays[layer["name"]].dtype.name == layer["dtype"]
    return about, arrays
