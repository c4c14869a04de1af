"""Networks cut by torch-pruning with rankings as importance: which channels are left, in which order."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
tp = pytest.importorskip("torch_pruning", reason="torch-pruning is not installed")

import chanscope as cs
from chanscope.prune import Importance


def orders(model, rng, kind=torch.nn.BatchNorm2d):
    return {name: rng.permutation(m.num_features) for name, m in model.named_modules() if isinstance(m, kind)}


def score(order):
    found = np.empty(len(order))
    found[order] = 1 - np.arange(len(order)) / len(order)
    return found


def resnet():
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=5).eval()


@pytest.fixture
def image():
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_inner_channels_of_blocks_are_the_first_of_their_ranking(rng, image):
    model, whole = resnet(), resnet()
    inner = {name: order for name, order in orders(model, rng).items() if name.endswith(".bn1")}
    pruner = tp.pruner.BasePruner(
        model, image, importance=Importance(model, inner), pruning_ratio=0.5, ignored_layers=[model.fc]
    )
    pruner.step()
    with torch.no_grad():
        assert model(image).shape == (1, 5)
    old, new = dict(whole.named_modules()), dict(model.named_modules())
    for name, order in inner.items():
        keep = np.sort(order[: len(order) // 2])
        block = name.removesuffix(".bn1")
        weight = old[f"{block}.conv1"].weight
        assert torch.equal(new[f"{block}.conv1"].weight, weight[keep])
        assert torch.equal(new[f"{block}.conv2"].weight, old[f"{block}.conv2"].weight[:, keep])
        assert new[name].num_features == len(keep)
    # Nothing that is not ranked was cut.
    assert model.conv1.out_channels == 64 and model.layer1[0].conv2.out_channels == 64


def test_channels_that_are_added_have_the_mean(rng, image):
    model = resnet()
    ranking = orders(model, rng)
    importance = Importance(model, ranking)
    graph = tp.DependencyGraph().build_dependency(model, example_inputs=image)
    for root, members in [
        (model.conv1, ["bn1", "layer1.0.bn2", "layer1.1.bn2"]),
        (model.layer2[0].conv2, ["layer2.0.bn2", "layer2.0.downsample.1", "layer2.1.bn2"]),
        (model.layer4[1].conv1, ["layer4.1.bn1"]),
    ]:
        group = graph.get_pruning_group(root, tp.prune_conv_out_channels, idxs=list(range(root.out_channels)))
        expected = np.mean([score(ranking[name]) for name in members], axis=0)
        np.testing.assert_allclose(importance(group).numpy(), expected, rtol=0, atol=1e-6)
        # Some channels, in another order.
        some = [7, 3, 12]
        group = graph.get_pruning_group(root, tp.prune_conv_out_channels, idxs=some)
        np.testing.assert_allclose(importance(group).numpy(), expected[some], rtol=0, atol=1e-6)


class Joined(torch.nn.Module):
    """Two convolutions whose channels are concatenated, and normalised together."""

    def __init__(self):
        super().__init__()
        self.left, self.right = torch.nn.Conv2d(3, 6, 3), torch.nn.Conv2d(3, 4, 3)
        self.norm, self.last = torch.nn.BatchNorm2d(10), torch.nn.Conv2d(10, 2, 3)

    def forward(self, x):
        return self.last(torch.relu(self.norm(torch.cat([self.left(x), self.right(x)], 1))))


def test_channels_behind_a_concatenation_keep_their_index(rng, image):
    torch.manual_seed(0)
    model = Joined().eval()
    order = rng.permutation(10)
    importance = Importance(model, {"norm": order})
    graph = tp.DependencyGraph().build_dependency(model, example_inputs=image)
    whole = score(order)
    for root, expected in [(model.left, whole[:6]), (model.right, whole[6:])]:
        group = graph.get_pruning_group(root, tp.prune_conv_out_channels, idxs=list(range(root.out_channels)))
        np.testing.assert_allclose(importance(group).numpy(), expected, rtol=0, atol=1e-6)
    right = model.right.weight.detach().clone()
    pruner = tp.pruner.BasePruner(model, image, importance=importance, pruning_ratio=0.5, ignored_layers=[model.last])
    pruner.step()
    keep = np.sort(np.argsort(-whole[6:])[:2])
    assert torch.equal(model.right.weight, right[keep])
    assert model.norm.num_features == 5 and model.last.in_channels == 5


def test_from_measured_activations(rng, image):
    model = resnet()
    images = torch.randn(40, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with cs.record(model, "dump", layers=["layer1.*.relu"]), torch.no_grad():
        model(images)
    ranked = cs.rank("dump")
    # Each block calls its activation twice: first on what its first normalisation puts out.
    first = {"layer1.0.bn1": "layer1.0.relu", "layer1.1.bn1": "layer1.1.relu"}
    importance = Importance(model, ranked, layers=first)
    pruner = tp.pruner.BasePruner(model, image, importance=importance, pruning_ratio=0.25, ignored_layers=[model.fc])
    weight = model.layer1[1].conv1.weight.detach().clone()
    pruner.step()
    keep = np.sort(ranked["layer1.1.relu"].order[:48])
    assert torch.equal(model.layer1[1].conv1.weight, weight[keep])
    # A second step needs a new ranking.
    graph = tp.DependencyGraph().build_dependency(model, example_inputs=image)
    group = graph.get_pruning_group(model.layer1[1].conv1, tp.prune_conv_out_channels, idxs=[0])
    with pytest.raises(cs.DataError, match="48 channels, and its ranking 64"):
        importance(group)


def test_refused(rng):
    model = Joined()
    order = rng.permutation(10)
    for ranking, layers, error, part in [
        ({"other": order}, None, cs.UsageError, "layers="),
        ({"norm": order}, {"gone": "norm"}, cs.UsageError, "no module 'gone'"),
        ({"norm": order}, {"left": "gone"}, cs.UsageError, "no layer 'gone'"),
        ({"norm": order[:-1] + 1}, None, cs.DataError, "no order of all"),
        ({"norm": order.astype(float)}, None, cs.DataError, "no order of all"),
        ([order], None, cs.UsageError, "mapping"),
    ]:
        with pytest.raises(error, match=part):
            Importance(model, ranking, layers=layers)
