"""A step of training a ResNet-20 with Convolutional Similarity in its loss, all threads. Needs the package in bindings/python."""
import torch
from harness import row, timed
from torch import nn
from torch.nn import functional as F

BATCH = 64
BETA = 1e-3


def run(context):
    import chanscope

    context.set_threads(context.threads)
    torch.manual_seed(0)
    model = ResNet20()
    x, y = torch.randn(BATCH, 3, 32, 32), torch.randint(10, (BATCH,))
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]
    forms = {
        "torch, the identity by rfft2": lambda: sum(identity(w) for w in weights),
        "torch, grouped conv2d of every pair": lambda: sum(pair_by_pair(w) for w in weights),
    }

    def step(similarity):
        model.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), y)
        if similarity is not None:
            loss = loss + BETA * similarity()
        loss.backward()

    def ours():
        return timed(step, lambda: chanscope.torch.conv_similarity(model))[0]

    work = f"training step of a ResNet-20, batch {BATCH}"
    plain, with_it = context.alternate(lambda: timed(step, None)[0], ours)
    added = f"the similarity adds {1000 * (with_it - plain):.1f} ms"
    yield row(work, "torch, without the similarity", plain, with_it, added)
    value, gradients = of(lambda: chanscope.torch.conv_similarity(model), weights)
    for peer, form in forms.items():
        seconds, with_it = context.alternate(lambda form=form: timed(step, form)[0], ours, 3 if "pair" in peer else None)
        their_value, their_gradients = of(form, weights)
        gap = max((a - b).abs().max() / a.abs().max() for a, b in zip(gradients, their_gradients))
        agreement = f"values differ by {abs(value - their_value) / value:.1e}, gradients by {gap:.1e}, relative"
        yield row(f"{work}, with the similarity", peer, seconds, with_it, agreement)


def of(form, weights):
    value = form()
    return value.item(), torch.autograd.grad(value, weights)


def identity(k):
    """By power spectra, as in rows/filters.py, inside a graph."""
    m, c, h, w = k.shape
    power = torch.fft.rfft2(k, s=(2 * h - 1, 2 * w - 1)).abs().square()
    twice = torch.full((w,), 2.0)
    twice[0] = 1.0
    a = power * (twice / ((2 * h - 1) * (2 * w - 1))).sqrt()
    return 0.5 * (a.sum(0).square().sum() - a.square().sum())


def pair_by_pair(k):
    """Every filter against all later ones, channel by channel."""
    m, c, h, w = k.shape
    lags = (F.conv2d(k[i + 1 :], k[i].reshape(c, 1, h, w), padding=(h - 1, w - 1), groups=c) for i in range(m - 1))
    return sum(r.square().sum() for r in lags)


class ResNet20(nn.Module):
    """He et al. 2016, for CIFAR: three stages of 16, 32 and 64 channels."""

    def __init__(self):
        super().__init__()
        widths = [16] * 3 + [32] * 3 + [64] * 3
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(*(Block(before, after) for before, after in zip([16, *widths], widths)))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Block(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.stride = after // before
        self.conv1 = nn.Conv2d(before, after, 3, self.stride, 1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        short = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        return F.relu(y + short)
