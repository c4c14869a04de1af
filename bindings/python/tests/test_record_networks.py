"""The recorder on torchvision's networks, against what torchvision.models.feature_extraction takes from them."""

from __future__ import annotations

import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")

from recording import described, images
from torchvision.models import feature_extraction

import chanscope as cs

ACTIVATIONS = (torch.nn.ReLU, torch.nn.Hardswish, torch.nn.Hardsigmoid, torch.nn.GELU)
# Network, its activations after convolutions, and whether its maps have their channels last there.
NETWORKS = [
    ("resnet18", 17, False),
    ("mobilenet_v3_small", 41, False),
    ("densenet121", 121, False),
    ("convnext_tiny", 18, True),
]


@pytest.fixture(autouse=True)
def prepared(monkeypatch):
    torch.set_num_threads(1)
    # torchvision does not look into its own blocks unless it is told to.
    monkeypatch.setattr(feature_extraction, "_get_leaf_modules_for_ops", list)


def network(name, **options):
    torch.manual_seed(1)
    return getattr(torchvision.models, name)(weights=None, **options).eval()


def extracted(model, nodes, batches):
    """Values of nodes of the model's graph, by the recorder's names: `relu.1` where the graph says `relu_1`."""
    extractor = feature_extraction.create_feature_extractor(model, nodes)
    with torch.no_grad():
        parts = [{k: v.numpy() for k, v in extractor(x).items()} for x in batches]
    return {re.sub(r"_(\d+)$", r".\1", node): np.concatenate([p[node] for p in parts]) for node in nodes}


def activations(model):
    """Nodes of the model's graph that are activations of maps."""
    tracer = feature_extraction.NodePathTracer()
    graph = tracer.trace(model)
    modules = dict(model.named_modules())
    called = {n: modules[n.target] for n in graph.nodes if n.op == "call_module"}
    functions = {n for n in graph.nodes if n.op == "call_function" and n.target is torch.nn.functional.relu}
    return [tracer.node_to_qualname[n] for n in graph.nodes if isinstance(called.get(n), ACTIVATIONS) or n in functions]


@pytest.mark.parametrize("name, count, channels_last", NETWORKS)
def test_every_activation_after_a_convolution(name, count, channels_last):
    model, batches = network(name), [images(2, 64), images(1, 64, 1)]
    with torch.no_grad(), cs.record(model, "dump") as recorder:
        for x in batches:
            model(x)
    about, found = described()
    expected = extracted(model, activations(model), batches)
    classifier = {k for k, v in expected.items() if v.ndim == 2}
    expected = {k: v.transpose(0, 3, 1, 2) if channels_last else v for k, v in expected.items() if k not in classifier}
    assert found.keys() == expected.keys()
    assert len(found) == count and recorder.layers == list(found)
    for layer, values in expected.items():
        np.testing.assert_array_equal(found[layer], values, err_msg=layer)
    assert about["samples"] == 3 and about["model"].endswith(type(model).__name__)


def test_vision_transformer_has_its_channels_second():
    model = network("vit_b_16", image_size=32)
    batches = [images(2, 32), images(1, 32, 1)]
    with torch.no_grad(), cs.record(model, "dump", layers=["*.mlp.1", "encoder.ln", "conv_proj", "heads.head"]):
        for x in batches:
            model(x)
    about, found = described()
    mlps = [f"encoder.layers.encoder_layer_{i}.mlp.1" for i in range(12)]
    expected = extracted(model, ["conv_proj", *mlps, "encoder.ln", "heads.head"], batches)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        # The recorder keeps PyTorch's attention from its fused form, which rounds otherwise.
        moved = values.transpose(0, 2, 1) if values.ndim == 3 else values
        np.testing.assert_allclose(found[name], moved, rtol=1e-4, atol=1e-5, err_msg=name)
    with pytest.raises(
        ValueError, match=r"no activation of VisionTransformer follows a convolution.*Activations: .*mlp\.1"
    ):
        with torch.no_grad(), cs.record(model, "other"):
            model(batches[0])


def test_patterns_take_activations_and_types_take_modules():
    model, x = network("resnet18"), images(2, 64)

    def names(layers):
        with torch.no_grad(), cs.record(model, "dump", layers=layers, force=True) as recorder:
            model(x)
        return recorder.layers

    assert names("layer4.1.*") == ["layer4.1.relu", "layer4.1.relu.1"]
    assert names(["layer4.1.relu"]) == ["layer4.1.relu", "layer4.1.relu.1"]
    assert names(["layer4.1.relu.1"]) == ["layer4.1.relu.1"]
    assert names("layer4.1.conv?") == ["layer4.1.conv1", "layer4.1.conv2"]
    assert names(["layer4.1", "layer4.1.bn1"]) == ["layer4.1.bn1", "layer4.1"]
    assert len(names(torch.nn.Conv2d)) == 20
    nodes = ["layer4.1.conv1", "layer4.1.bn2"]
    names(nodes)
    _, found = described()
    for name, values in extracted(model, nodes, [x]).items():
        np.testing.assert_array_equal(found[name], values)
