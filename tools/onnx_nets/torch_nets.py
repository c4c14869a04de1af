"""The structures of well-known classifiers with a few channels each."""
import torch
from torch import nn
from torch.nn import functional as F


def conv_bn(inputs, outputs, size, act=nn.ReLU, **options):
    options.setdefault("padding", size // 2)
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, bias=False, **options), nn.BatchNorm2d(outputs), act())


class Residual(nn.Module):
    """ResNet: a stem with max-pooling, a basic block that halves, a bottleneck with groups."""

    def __init__(self):
        super().__init__()
        self.stem = conv_bn(3, 8, 7, stride=2)
        self.conv1, self.bn1 = nn.Conv2d(8, 12, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(12)
        self.conv2, self.bn2 = nn.Conv2d(12, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12)
        self.downsample = nn.Sequential(nn.Conv2d(8, 12, 1, stride=2, bias=False), nn.BatchNorm2d(12))
        self.narrow = conv_bn(12, 8, 1)
        self.wide = conv_bn(8, 8, 3, groups=4)
        self.expand, self.bn3 = nn.Conv2d(8, 12, 1, bias=False), nn.BatchNorm2d(12)
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        x = F.max_pool2d(self.stem(x), 3, stride=2, padding=1)
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        x = F.relu(y + self.downsample(x))
        x = F.relu(self.bn3(self.expand(self.wide(self.narrow(x)))) + x)
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Depthwise(nn.Module):
    """MobileNetV2: inverted residuals, depthwise convolutions, ReLU6, a mean over the map, dropout."""

    def __init__(self):
        super().__init__()
        self.stem = conv_bn(3, 6, 3, nn.ReLU6, stride=2)
        self.block1 = self.block(6, 10, 2)
        self.block2 = self.block(10, 10, 1)
        self.head = conv_bn(10, 16, 1, nn.ReLU6)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(16, 5))

    @staticmethod
    def block(inputs, outputs, stride):
        hidden = 2 * inputs
        return nn.Sequential(
            conv_bn(inputs, hidden, 1, nn.ReLU6),
            conv_bn(hidden, hidden, 3, nn.ReLU6, stride=stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
        )

    def forward(self, x):
        x = self.block1(self.stem(x))
        x = self.head(x + self.block2(x))
        return self.classifier(x.mean([2, 3]))


class Dense(nn.Module):
    """DenseNet: batch-norm and ReLU before each convolution, concatenation, a transition."""

    def __init__(self):
        super().__init__()
        self.stem = conv_bn(3, 8, 3, stride=2)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 8, 1, bias=False),
                nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1, bias=False),
            )
            for width in (8, 12, 16)
        )
        self.transition = nn.Sequential(nn.BatchNorm2d(20), nn.ReLU(), nn.Conv2d(20, 10, 1, bias=False), nn.AvgPool2d(2))
        self.last = nn.BatchNorm2d(10)
        self.fc = nn.Linear(10, 5)

    def forward(self, x):
        parts = [self.stem(x)]
        for layer in self.layers:
            parts.append(layer(torch.cat(parts, 1)))
        x = F.relu(self.last(self.transition(torch.cat(parts, 1))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))


class Squeeze(nn.Module):
    """SqueezeNet: fire modules, max-pooling with ceil_mode, a convolution as classifier."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        for name in ("fire1", "fire2"):
            self.add_module(f"{name}_squeeze", nn.Conv2d(8, 4, 1))
            self.add_module(f"{name}_left", nn.Conv2d(4, 4, 1))
            self.add_module(f"{name}_right", nn.Conv2d(4, 4, 3, padding=1))
        self.classifier = nn.Conv2d(8, 5, 1)

    def fire(self, name, x):
        x = F.relu(self.get_submodule(f"{name}_squeeze")(x))
        left, right = (self.get_submodule(f"{name}_{side}")(x) for side in ("left", "right"))
        return torch.cat([F.relu(left), F.relu(right)], 1)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.stem(x)), 3, stride=2, ceil_mode=True)
        x = F.max_pool2d(self.fire("fire1", x), 3, stride=2, ceil_mode=True)
        x = F.relu(self.classifier(self.fire("fire2", x)))
        return torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1)


class Inception(nn.Module):
    """GoogLeNet and Inception: four branches, 1x7 and 7x1 convolutions, pooling branches of both kinds."""

    def __init__(self):
        super().__init__()
        self.stem = conv_bn(3, 8, 3, stride=2, padding=0)
        self.b1 = conv_bn(8, 4, 1)
        self.b2 = nn.Sequential(conv_bn(8, 4, 1), conv_bn(4, 6, 5))
        self.b3 = nn.Sequential(conv_bn(8, 4, 1), self.strip(4, (1, 7)), self.strip(4, (7, 1)))
        self.b4 = conv_bn(8, 4, 1)
        self.b5 = conv_bn(18, 8, 1)
        self.fc = nn.Linear(8, 5)

    @staticmethod
    def strip(width, size):
        convolution = nn.Conv2d(width, width, size, padding=(size[0] // 2, size[1] // 2), bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())

    def forward(self, x):
        x = self.stem(x)
        pooled = F.max_pool2d(x, 3, stride=1, padding=1, ceil_mode=True)
        x = torch.cat([self.b1(x), self.b2(x), self.b3(x), self.b4(pooled)], 1)
        x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        x = F.avg_pool2d(self.b5(x), 3, stride=1, padding=1)
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))


class MBConv(nn.Module):
    """EfficientNet: SiLU, squeeze-and-excite, depthwise 5x5, a residual."""

    def __init__(self):
        super().__init__()
        self.stem = conv_bn(3, 6, 3, nn.SiLU, stride=2)
        self.expand = conv_bn(6, 12, 1, nn.SiLU)
        self.depthwise = conv_bn(12, 12, 5, nn.SiLU, groups=12)
        self.reduce, self.restore = nn.Conv2d(12, 3, 1), nn.Conv2d(3, 12, 1)
        self.project, self.bn = nn.Conv2d(12, 6, 1, bias=False), nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, 5)

    def forward(self, x):
        x = self.stem(x)
        y = self.depthwise(self.expand(x))
        gate = torch.sigmoid(self.restore(F.silu(self.reduce(F.adaptive_avg_pool2d(y, 1)))))
        x = x + self.bn(self.project(y * gate))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Activations(nn.Module):
    """One convolution per activation. `gelu` as the exporter writes it: Erf, or Gelu from opset 20."""

    KINDS = {
        "leaky": nn.LeakyReLU(0.1), "prelu": nn.PReLU(4), "prelu_shared": nn.PReLU(1), "elu": nn.ELU(0.7),
        "hardswish": nn.Hardswish(), "hardsigmoid": nn.Hardsigmoid(), "gelu": nn.GELU(), "gelu_tanh": nn.GELU("tanh"),
        "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(), "hardtanh": nn.Hardtanh(-0.5, 0.75),
    }

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleDict({name: nn.Conv2d(3 if i == 0 else 4, 4, 3, padding=1) for i, name in enumerate(self.KINDS)})
        self.acts = nn.ModuleDict(self.KINDS)
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        for name, convolution in self.convs.items():
            x = self.acts[name](2 * convolution(x))
        return torch.softmax(self.fc(x.mean((2, 3))), 1)


class Shuffled(nn.Module):
    """ShuffleNet: split by Slice, channel shuffle by Reshape and Transpose, x.view(x.size(0), -1)."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.branch = nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4)
        self.mix = nn.Conv2d(8, 4, 1)
        self.fc = nn.Linear(4 * 4 * 4, 5)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, x):
        x = F.relu(self.stem((x - self.mean) / self.std))
        x = torch.cat([x[:, :4], F.relu(self.branch(x[:, 4:]))], 1)
        n, c, h, w = x.size()
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        x = F.avg_pool2d(self.mix(x), 2)
        return torch.softmax(self.fc(x.view(x.size(0), -1)), 1)


def randomise(module, seed):
    """Weights that keep the values near 1, batch-norm statistics that are not trivial."""
    generator = torch.Generator().manual_seed(seed)
    for child in module.modules():
        if isinstance(child, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(child.weight, generator=generator)
            if child.bias is not None:
                nn.init.normal_(child.bias, 0, 0.1, generator=generator)
        elif isinstance(child, nn.BatchNorm2d):
            nn.init.uniform_(child.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(child.bias, 0, 0.2, generator=generator)
            nn.init.normal_(child.running_mean, 0, 0.2, generator=generator)
            nn.init.uniform_(child.running_var, 0.5, 1.5, generator=generator)
        elif isinstance(child, nn.PReLU):
            nn.init.uniform_(child.weight, 0.05, 0.4, generator=generator)
    return module.eval()
