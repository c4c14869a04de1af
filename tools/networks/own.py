"""Detectors, segmenters, text readers and image filters with the structures of well-known ones, a few channels each."""
import torch
from torch import nn
from torch.nn import functional as F


def conv(inputs, outputs, size=3, stride=1, act=nn.SiLU, groups=1):
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), act())


class Bottleneck(nn.Module):
    def __init__(self, width, act):
        super().__init__()
        self.body = nn.Sequential(conv(width, width, 3, act=act), conv(width, width, 3, act=act))

    def forward(self, x):
        return x + self.body(x)


class Split(nn.Module):
    """C2f of YOLOv8: halves, one of which goes through blocks that are all kept."""

    def __init__(self, inputs, outputs, act=nn.SiLU):
        super().__init__()
        self.first, self.half = conv(inputs, outputs, 1, act=act), outputs // 2
        self.block = Bottleneck(self.half, act)
        self.last = conv(3 * self.half, outputs, 1, act=act)

    def forward(self, x):
        a, b = self.first(x).chunk(2, 1)
        return self.last(torch.cat([a, b, self.block(b)], 1))


class Pyramid(nn.Module):
    """SPPF: poolings of pooled maps."""

    def __init__(self, width, act=nn.SiLU):
        super().__init__()
        self.first, self.last = conv(width, width // 2, 1, act=act), conv(2 * width, width, 1, act=act)

    def forward(self, x):
        maps = [self.first(x)]
        for _ in range(3):
            maps.append(F.max_pool2d(maps[-1], 5, 1, 2))
        return self.last(torch.cat(maps, 1))


class Detector(nn.Module):
    """Backbone and neck of a YOLO: three scales, nearest upsampling, concatenation."""

    def __init__(self, act=nn.SiLU):
        super().__init__()
        self.stem = nn.Sequential(conv(3, 8, 6 - 3, 2, act), conv(8, 16, 3, 2, act))
        self.stage3 = nn.Sequential(conv(16, 24, 3, 2, act), Split(24, 24, act))
        self.stage4 = nn.Sequential(conv(24, 32, 3, 2, act), Split(32, 32, act))
        self.stage5 = nn.Sequential(conv(32, 48, 3, 2, act), Pyramid(48, act))
        self.up4, self.up3 = Split(48 + 32, 32, act), Split(32 + 24, 24, act)
        self.down4 = conv(24, 24, 3, 2, act)
        self.mix4 = Split(24 + 32, 32, act)

    def maps(self, x):
        p3 = self.stage3(self.stem(x))
        p4 = self.stage4(p3)
        p5 = self.stage5(p4)
        n4 = self.up4(torch.cat([F.interpolate(p5, scale_factor=2.0, mode="nearest"), p4], 1))
        n3 = self.up3(torch.cat([F.interpolate(n4, scale_factor=2.0, mode="nearest"), p3], 1))
        return n3, self.mix4(torch.cat([self.down4(n3), n4], 1)), p5


class Yolo5(Detector):
    """Anchors: boxes decoded from sigmoids, grids as constants."""

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(width, 3 * 9, 1) for width in (24, 32, 48))
        self.register_buffer("anchors", torch.tensor([[[10, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], [[116, 90], [156, 198], [373, 326]]]).float())

    def forward(self, x):
        boxes = []
        for i, (head, values) in enumerate(zip(self.heads, self.maps(x))):
            n, _, h, w = values.shape
            y = head(values).view(n, 3, 9, h, w).permute(0, 1, 3, 4, 2).sigmoid()
            rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            grid = torch.stack((columns, rows), 2).view(1, 1, h, w, 2).float() - 0.5
            place = (y[..., 0:2] * 2 + grid) * (8 * 2**i)
            size = (y[..., 2:4] * 2) ** 2 * self.anchors[i].view(1, 3, 1, 1, 2)
            boxes.append(torch.cat((place, size, y[..., 4:]), 4).view(n, 3 * h * w, 9))
        return torch.cat(boxes, 1)


class Yolo8(Detector):
    """No anchors: distances as means of distributions over 16 places (softmax, then a fixed convolution)."""

    def __init__(self):
        super().__init__()
        self.boxes = nn.ModuleList(nn.Sequential(conv(width, 16), nn.Conv2d(16, 64, 1)) for width in (24, 32, 48))
        self.classes = nn.ModuleList(nn.Sequential(conv(width, 16), nn.Conv2d(16, 5, 1)) for width in (24, 32, 48))
        self.mean = nn.Conv2d(16, 1, 1, bias=False)

    def forward(self, x):
        maps = self.maps(x)
        both = [torch.cat((b(m), c(m)), 1).flatten(2) for b, c, m in zip(self.boxes, self.classes, maps)]
        places, strides = [], []
        for i, m in enumerate(maps):
            h, w = m.shape[2:]
            rows, columns = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
            places.append(torch.stack((columns, rows), 0).flatten(1))
            strides.append(torch.full((1, h * w), 8.0 * 2**i))
        places, strides = torch.cat(places, 1), torch.cat(strides, 1)
        distances, scores = torch.cat(both, 2).split((64, 5), 1)
        n, _, a = distances.shape
        sides = self.mean(distances.view(n, 4, 16, a).transpose(2, 1).softmax(1)).view(n, 4, a)
        low, high = sides.chunk(2, 1)
        first, last = places - low, places + high
        return torch.cat((torch.cat(((first + last) / 2, last - first), 1) * strides, scores.sigmoid()), 1)


class Yolo4(Detector):
    """Mish instead of SiLU."""

    def __init__(self):
        super().__init__(nn.Mish)
        self.head = nn.Conv2d(24, 27, 1)

    def forward(self, x):
        return self.head(self.maps(x)[0])


class UNet(nn.Module):
    """Encoder and decoder with skips: bilinear, transposed convolution, or group norm and nearest."""

    def __init__(self, up="transposed", norm=nn.BatchNorm2d):
        super().__init__()
        self.up = up
        widths = (8, 16, 24)
        block = lambda i, o: nn.Sequential(nn.Conv2d(i, o, 3, 1, 1), norm(o), nn.ReLU(), nn.Conv2d(o, o, 3, 1, 1), norm(o), nn.ReLU())
        self.down = nn.ModuleList(block(i, o) for i, o in zip((3, *widths), widths))
        self.bottom = block(24, 32)
        rising = tuple(zip((32, 24, 16), (24, 16, 8)))
        if up == "transposed":
            self.rise = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, 2) for i, o in rising)
        else:
            self.rise = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in rising)
        self.join = nn.ModuleList(block(2 * o, o) for _, o in rising)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        skips = []
        for block in self.down:
            skips.append(block(x))
            x = F.max_pool2d(skips[-1], 2)
        x = self.bottom(x)
        for rise, join, skip in zip(self.rise, self.join, reversed(skips)):
            if self.up == "bilinear":
                x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
            elif self.up == "nearest":
                x = F.interpolate(x, size=skip.shape[2:], mode="nearest")
            x = join(torch.cat([rise(x), skip], 1))
        return torch.sigmoid(self.head(x))


class TextDetector(nn.Module):
    """PP-OCR's detector: a MobileNetV3 with hard swish, a feature pyramid, DB's head of transposed convolutions."""

    def __init__(self):
        super().__init__()
        act = nn.Hardswish
        stage = lambda i, o: nn.Sequential(conv(i, o, 1, act=act), conv(o, o, 5, 2, act, groups=o), Excite(o), conv(o, o, 1, act=act))
        self.stem = conv(3, 8, 3, 2, act)
        self.stages = nn.ModuleList(stage(i, o) for i, o in ((8, 12), (12, 16), (16, 24), (24, 32)))
        self.level = nn.ModuleList(nn.Conv2d(o, 16, 1, bias=False) for o in (12, 16, 24, 32))
        self.smooth = nn.ModuleList(nn.Conv2d(16, 4, 3, padding=1, bias=False) for _ in range(4))
        self.head = nn.Sequential(
            nn.Conv2d(16, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
            nn.ConvTranspose2d(4, 4, 2, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 1, 2, 2),
        )

    def forward(self, x):
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        maps = [level(m) for level, m in zip(self.level, maps)]
        for i in (2, 1, 0):
            maps[i] = maps[i] + F.interpolate(maps[i + 1], scale_factor=2.0, mode="nearest")
        smooth = [F.interpolate(s(m), scale_factor=float(2**i), mode="nearest") for i, (s, m) in enumerate(zip(self.smooth, maps))]
        return torch.sigmoid(self.head(torch.cat(smooth[::-1], 1)))


class Excite(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.last = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)

    def forward(self, x):
        gate = F.relu(self.first(F.adaptive_avg_pool2d(x, 1)))
        return x * F.hardsigmoid(self.last(gate))


class TextReader(nn.Module):
    """SVTR: convolutions that keep the width, attention over the columns, one softmax per column."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(conv(3, 16, 3, 2), conv(16, 24, 3, (2, 1)), conv(24, 32, 3, (2, 1)))
        self.norm, self.qkv, self.mix = nn.LayerNorm(32), nn.Linear(32, 96), nn.Linear(32, 32)
        self.mlp = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))
        self.head = nn.Linear(32, 37)

    def forward(self, x):
        x = self.body(x).mean(2).transpose(1, 2)
        n, t, _ = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(n, t, 3, 4, 8).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * 8**-0.5).softmax(-1)
        x = x + self.mix((weights @ v).transpose(1, 2).reshape(n, t, 32))
        return self.head(x + self.mlp(x)).softmax(-1)


class SuperResolution(nn.Module):
    """Residual blocks with PReLU, pixel shuffle, and the image enlarged by cubic interpolation."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 16, 9, padding=4), nn.PReLU(16))
        self.body = nn.Sequential(*(Bottleneck(16, nn.PReLU) for _ in range(2)))
        self.up = nn.Sequential(nn.Conv2d(16, 64, 3, padding=1), nn.PixelShuffle(2), nn.PReLU(16))
        self.last = nn.Conv2d(16, 3, 9, padding=4)

    def forward(self, x):
        large = F.interpolate(x, scale_factor=2.0, mode="bicubic", align_corners=False)
        return large + self.last(self.up(self.body(self.first(x))))


class StyleTransfer(nn.Module):
    """Reflected padding, instance normalisation, transposed convolutions with output padding."""

    def __init__(self):
        super().__init__()
        layer = lambda i, o, k, s: nn.Sequential(nn.ReflectionPad2d(k // 2), nn.Conv2d(i, o, k, s), nn.InstanceNorm2d(o, affine=True), nn.ReLU())
        self.down = nn.Sequential(layer(3, 8, 9, 1), layer(8, 16, 3, 2), layer(16, 24, 3, 2))
        self.middle = nn.Sequential(layer(24, 24, 3, 1), nn.ReflectionPad2d(1), nn.Conv2d(24, 24, 3))
        self.up = nn.Sequential(
            nn.ConvTranspose2d(24, 16, 3, 2, 1, output_padding=1), nn.InstanceNorm2d(16, affine=True), nn.ReLU(),
            nn.ConvTranspose2d(16, 8, 3, 2, 1, output_padding=1), nn.InstanceNorm2d(8, affine=True), nn.ReLU(),
        )
        self.last = nn.Sequential(nn.ReflectionPad2d(4), nn.Conv2d(8, 3, 9))

    def forward(self, x):
        x = self.down(x)
        return torch.tanh(self.last(self.up(x + self.middle(x))))


class Embedder(nn.Module):
    """Face and place recognition: generalised mean pooling, a unit vector at the end."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 5, 2), nn.ReLU(), nn.MaxPool2d(3, 2))
        self.body = nn.Sequential(conv(16, 24, 3, 2, nn.PReLU), conv(24, 32, 3, 1, nn.SELU))
        self.power = nn.Parameter(torch.tensor(3.0))
        self.fc = nn.Linear(32, 16)

    def forward(self, x):
        x = self.body(self.stem(x)).clamp(min=1e-6).pow(self.power).mean((2, 3)).pow(1 / self.power)
        return F.normalize(self.fc(x), dim=1)


OWN = {
    "yolov4-like": Yolo4, "yolov5-like": Yolo5, "yolov8-like": Yolo8, "unet-transposed": UNet,
    "unet-bilinear": lambda: UNet("bilinear"), "unet-group-norm": lambda: UNet("nearest", lambda width: nn.GroupNorm(4, width)),
    "pp-ocr-detector-like": TextDetector, "pp-ocr-reader-like": TextReader, "super-resolution": SuperResolution,
    "style-transfer": StyleTransfer, "embedder": Embedder,
}
