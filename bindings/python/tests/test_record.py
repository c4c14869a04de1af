"""The recorder: what it records, how, and what it refuses."""

from __future__ import annotations

import contextlib
import pathlib
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from recording import Functions, InPlace, MemoryEfficientSwish, Swish, described, images
from torch import nn
from torch.nn import functional as F

import chanscope as cs


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def small(channels=4):
    return nn.Sequential(nn.Conv2d(3, channels, 3), nn.ReLU()).eval()


def recorded(model, *batches, **options):
    with torch.no_grad(), cs.record(model, "dump", force=True, **options):
        for x in batches:
            model(x)
    return described()


def test_in_place_activations_are_copied_before_they_change():
    model, x = InPlace().eval(), images(3)
    with torch.no_grad():
        first = F.relu(model.bn(model.conv1(x)))
        second = F.relu(model.conv2(first))
        third = F.relu(second + first)
    about, found = recorded(model, x)
    assert list(found) == ["relu", "relu.1", "relu.2"]
    for values, expected in zip(found.values(), (first, second, third)):
        np.testing.assert_array_equal(values, expected.numpy())
    assert all(layer["module"] == "torch.nn.modules.activation.ReLU" for layer in about["layers"])


def test_functions_are_recorded_too():
    model, x = Functions().eval(), images(2)
    with torch.no_grad():
        a = F.relu(model.first(x))
        b = F.relu(model.second(a))
        c = F.relu(b - 0.1)
    about, found = recorded(model, x)
    assert list(found) == ["relu", "relu.1", "relu.2", "gelu", "relu.3"]
    assert [layer["function"] for layer in about["layers"]] == ["relu", "relu", "relu", "gelu", "relu"]
    expected = [a, b, c, F.gelu(c), F.gelu(c).clamp(min=0)]
    for values, tensor in zip(found.values(), expected):
        np.testing.assert_array_equal(values, tensor.numpy())
    # By name: a function that is called inside a named module.
    outer = nn.Sequential(model)
    assert list(recorded(outer, x, layers=["0.gelu", "0.relu.3"])[1]) == ["0.gelu", "0.relu.3"]


@pytest.mark.parametrize("activation", [Swish, MemoryEfficientSwish])
def test_an_activation_of_several_functions_is_one_layer(activation):
    model, x = nn.Sequential(nn.Conv2d(3, 4, 3), activation()).eval(), images(2)
    _, found = recorded(model, x)
    assert list(found) == ["1"]
    with torch.no_grad():
        np.testing.assert_array_equal(found["1"], model(x).numpy())


def test_layers_after_linear_layers_are_not_taken_by_default():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 5), nn.ReLU())
    assert list(recorded(model, images(2))[1]) == ["1"]
    assert list(recorded(model, images(2), layers=nn.ReLU)[1]) == ["1", "4"]


def test_channels_are_the_second_axis():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.mix, self.act = nn.Conv2d(3, 4, 3), nn.Linear(4, 6), nn.GELU()

        def forward(self, x):
            maps = self.act(self.mix(self.conv(x).permute(0, 2, 3, 1)))
            return self.act(maps.flatten(1, 2))

    model, x = Last().eval(), images(2)
    about, found = recorded(model, x, layers="act")
    with torch.no_grad():
        first = F.gelu(model.mix(model.conv(x).permute(0, 2, 3, 1)))
    np.testing.assert_array_equal(found["act"], first.permute(0, 3, 1, 2).numpy())
    np.testing.assert_array_equal(found["act.1"], F.gelu(first.flatten(1, 2)).transpose(1, 2).numpy())
    assert [layer["channel_axis"] for layer in about["layers"]] == [3, 2]


def test_an_axis_that_cannot_be_told_is_asked_for():
    model = nn.Sequential(nn.Identity(), nn.Identity())
    x = torch.randn(2, 5, 7)
    with pytest.raises(cs.Error, match=r"\[2, 5, 7\].*channel_axis="):
        recorded(model, x, layers="0")
    assert recorded(model, x, layers="0", channel_axis=2)[1]["0"].shape == (2, 7, 5)
    assert recorded(model, x, layers="0", channel_axis=-2)[1]["0"].shape == (2, 5, 7)
    with pytest.raises(ValueError, match="axis 0 holds the samples"):
        recorded(model, x, layers="0", channel_axis=0)


def test_maps_of_three_dimensions_are_stored_as_two():
    model, x = nn.Sequential(nn.Conv3d(2, 3, 2), nn.ReLU()), torch.randn(2, 2, 5, 4, 3)
    _, found = recorded(model, x)
    with torch.no_grad():
        np.testing.assert_array_equal(found["1"], model(x).reshape(2, 3, 12, 2).numpy())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", torch.float16, np.float32, np.dtype("f8"), None])
def test_types_of_files(dtype):
    model, x = small(), images(3)
    _, found = recorded(model, x, dtype=dtype)
    with torch.no_grad():
        plain = model(x).numpy()
    np.testing.assert_array_equal(found["1"], plain.astype(found["1"].dtype))
    assert found["1"].dtype == np.dtype(
        "f4"
        if dtype is None
        else str(dtype).removeprefix("torch.").split("'")[-1]
        if not isinstance(dtype, type)
        else dtype
    )


def test_bfloat16_is_kept_exactly():
    model, x = small().bfloat16(), images(2).bfloat16()
    about, found = recorded(model, x)
    with torch.no_grad():
        np.testing.assert_array_equal(found["1"], model(x).float().numpy())
    assert about["layers"][0]["computed"] == "bfloat16" and found["1"].dtype == np.float32
    with pytest.raises(ValueError, match="float32.*exactly"):
        cs.record(model, "other", dtype="bfloat16")
    with pytest.raises(ValueError, match="'int8' is not one of"):
        cs.record(model, "other", dtype="int8")


@pytest.mark.parametrize("size", [16, 400])
def test_losses_of_float16_are_told(size):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.scale = nn.Conv2d(3, 4, 1), torch.tensor([1.0, 1e6, 1e-9, 0.0]).reshape(4, 1, 1)

        def forward(self, x):
            return F.leaky_relu(self.conv(x) * self.scale, 0.5)

    model, x = Scaled().eval(), images(2, size)
    with pytest.warns(UserWarning) as told:
        about, found = recorded(model, x, x, dtype="float16")
    texts = [str(w.message) for w in told]
    assert (
        len(texts) == 2
        and "values are infinite in float16" in texts[0]
        and "1 channels became 0 in float16, the first is 2" in texts[1]
    )
    layer = about["layers"][0]
    assert layer["lost_channels"] == [2]  # channel 3 was 0 before
    assert layer["infinite"] == np.isinf(found["leaky_relu"]).sum() > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recorded(model, x, dtype="float32")


@pytest.mark.parametrize("computed", [torch.float32, torch.float64])
def test_losses_are_those_of_whole_batches(computed):
    """What a batch that failed would have lost, or would have brought into a channel, is not counted."""

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu, self.scale = nn.ReLU(), 1e-9

        def forward(self, x):
            self.relu(x * self.scale)
            if self.scale > 1:
                raise ValueError("too large")

    model, x = Scaled().eval(), images(2).abs().to(computed)
    with pytest.warns(UserWarning, match="3 channels became 0"), torch.no_grad():
        with cs.record(model, "dump", dtype="float16", layers="relu"):
            for model.scale in (1e-9, 1e9):
                with contextlib.suppress(ValueError):
                    model(x)
    layer = described()[0]["layers"][0]
    assert layer["lost_channels"] == [0, 1, 2] and layer["infinite"] == 0


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "tokens", "rows"])
def test_float16_is_the_same_by_every_way(layout):
    """Large values are encoded in parts, and those of float32 in C order by the library."""
    x = torch.randn(5, 3, 300, 301) * 2.0 ** torch.randint(-30, 18, (5, 3, 300, 301))
    x[1, 2, 3, 4], x[3, 0, 0, 0] = torch.nan, -torch.inf
    x[:, 1] = 2.0**-26
    options = {}
    if layout == "channels_last":
        x = x.to(memory_format=torch.channels_last)
    elif layout == "tokens":
        x, options = x.permute(0, 2, 3, 1), {"channel_axis": -1}
    elif layout == "rows":
        x = x.flatten(1)
    with pytest.warns(UserWarning), np.errstate(over="ignore"):
        about, found = recorded(nn.Sequential(nn.Identity()), x, layers="0", dtype="float16", **options)
        expected = (x.permute(0, 3, 1, 2) if layout == "tokens" else x).numpy().astype(np.float16)
    np.testing.assert_array_equal(found["0"], expected)
    layer = about["layers"][0]
    assert layer["infinite"] == np.isinf(expected).sum() > 1
    assert layer["lost_channels"] == ([] if layout == "rows" else [1])


def test_losses_of_float32_are_told():
    model, x = small().double(), images(2).double()
    with torch.no_grad():
        model[0].weight[1] *= 1e45
        model[0].weight[2] *= 1e-60
        model[0].bias[2] *= 1e-60
        model[0].weight[3], model[0].bias[3] = 0, 0
    with pytest.warns(UserWarning, match="infinite in float32|became 0 in float32"):
        about, found = recorded(model, x, dtype="float32")
    layer = about["layers"][0]
    assert layer["lost_channels"] == [2] and layer["infinite"] == np.isinf(found["1"]).sum() > 0


def test_channels_last_memory_autocast_and_training():
    model, x = small(), images(3).to(memory_format=torch.channels_last)
    expected = recorded(model, x.contiguous())[1]["1"]
    np.testing.assert_allclose(recorded(model.to(memory_format=torch.channels_last), x)[1]["1"], expected, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        about, found = recorded(model, x)
        with torch.no_grad():
            np.testing.assert_array_equal(found["1"], model(x).float().numpy())
    assert about["layers"][0]["computed"] == "bfloat16"
    model.train()
    with cs.record(model, "dump", force=True):  # with gradients
        model(x).sum().backward()
    assert described()[0]["training"] and model[0].weight.grad is not None
    with torch.inference_mode(), cs.record(model, "dump", force=True):
        model(x)


def test_recomputed_passes_of_checkpoints_do_not_count():
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = small()

        def forward(self, x):
            return torch.utils.checkpoint.checkpoint(self.body, x, use_reentrant=False)

    model, x = Checkpointed(), images(2).requires_grad_()
    with cs.record(model, "dump"):
        for _ in range(2):
            model(x).sum().backward()
    assert described()[1]["body.1"].shape == (4, 4, 14, 14)


def test_wrappers():
    model, x = small(), images(2)
    expected = recorded(model, x)[1]
    parallel = nn.DataParallel(model)
    assert list(recorded(parallel, x)[1]) == list(expected)
    store = torch.distributed.FileStore("store", 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        distributed = recorded(nn.parallel.DistributedDataParallel(model), x)[1]
    finally:
        torch.distributed.destroy_process_group()
    np.testing.assert_array_equal(distributed["1"], expected["1"])
    parallel.device_ids = [0, 1]
    with pytest.raises(ValueError, match="DataParallel.*record model.module"):
        cs.record(parallel, "other")
    with pytest.raises(ValueError, match="torch.jit"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        cs.record(torch.jit.trace(model, x), "other")
    with pytest.raises(ValueError, match="expected a torch.nn.Module, got int"):
        cs.record(3, "other")


def test_compiled_models_run_as_they_were_written():
    model, x = small(), images(2)
    expected = recorded(model, x)[1]["1"]
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        compiled(x)
    np.testing.assert_array_equal(recorded(compiled, x)[1]["1"], expected)
    inner = nn.Sequential(compiled)
    np.testing.assert_array_equal(recorded(inner, x)[1]["0._orig_mod.1"], expected)
    model.compile(backend="eager")
    np.testing.assert_array_equal(recorded(model, x)[1]["1"], expected)


def test_the_model_is_left_as_it_was():
    model, x = small(), images(2)
    before = dict(model.__dict__), [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    recorded(model, x)
    with pytest.raises(RuntimeError), cs.record(model, "dump", force=True):
        raise RuntimeError
    after = dict(model.__dict__), [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    assert before == after


def test_record_json_names_the_parameters():
    torch.manual_seed(3)
    a, b = small(), small()
    hashes = [recorded(model, images(1))[0]["parameters"] for model in (a, a, b)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert not described()[0]["parameters_changed"]
    with cs.record(a, "dump", force=True):
        a(images(1))
        with torch.no_grad():
            a[0].weight.add_(1)
    about = described()[0]
    assert (
        about["parameters_changed"] and about["torch"] == torch.__version__ and about["schema"] == "chanscope-record/1"
    )


def test_loader_with_workers_labels_and_ids():
    x, y = images(7), torch.arange(7) % 3
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=3, num_workers=2)
    model = small()
    with torch.no_grad(), cs.record(model, "dump") as recorder:
        for i, (images_, labels) in enumerate(loader):
            model(images_)
            recorder.labels(labels)
            recorder.ids([f"image {3 * i + j}" for j in range(len(labels))])
    about, found = described()
    assert recorder.samples == about["samples"] == 7
    assert np.load("dump/labels.npy").tolist() == y.tolist() and np.load("dump/labels.npy").dtype == np.int64
    assert pathlib.Path("dump/ids.txt").read_text().splitlines() == [f"image {i}" for i in range(7)]
    with torch.no_grad():
        np.testing.assert_allclose(found["1"], model(x).numpy(), atol=1e-6)
    assert {p.name for p in pathlib.Path("dump").iterdir()} == {"1.npy", "labels.npy", "ids.txt", "record.json"}
