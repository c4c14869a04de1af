"""`filters`, `impulse`, `shuffle`, `run`, `inspect` and `devices` give the command line's numbers, to the bit."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import command, document

import chanscope as cs

REPOSITORY = Path(__file__).resolve().parents[3]
WEIGHTS = REPOSITORY / "assets/lenet5.safetensors"
MODEL = REPOSITORY / "tests/data/onnx/residual/model.onnx"

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason="the package is tested outside of its repository")


@pytest.fixture
def images(rng) -> np.ndarray:
    """Images that MODEL takes."""
    return rng.standard_normal((24, 3, 24, 24)).astype(np.float32)


def same_as(results, folder: str, section: str) -> None:
    """Arrays, and a section of `results.json`, to the bit."""
    theirs = {p.relative_to(folder).as_posix(): np.load(p) for p in Path(folder).rglob("*.npy")}
    assert results.arrays.keys() == theirs.keys()
    for name, array in theirs.items():
        assert results.arrays[name].dtype == array.dtype and results.arrays[name].tobytes() == array.tobytes(), name
    assert results.document.get(section) == document(folder).get(section)
    assert results == cs.load(folder) and type(results) is type(cs.load(folder))
    assert pickle.loads(pickle.dumps(results)) == results
    shown = results._repr_html_()
    assert shown.count("<tr>") > 1 and "http" not in shown and results[0].name in shown and repr(results)


def test_filters(tmp_path):
    options = ["--gradient", "--minimize", "3", "--keep-norm", "--lr", "0.01", "--write", "theirs.safetensors"]
    command("filters", WEIGHTS, "--out", "theirs", *options)
    arguments = dict(gradient=True, minimize=3, keep_norm=True, lr=0.01, device="cpu")
    r = cs.filters(WEIGHTS, write="mine.safetensors", **arguments)
    same_as(r, "theirs", "filters")
    assert Path("mine.safetensors").read_bytes() == Path("theirs.safetensors").read_bytes()
    layer = r["conv1"]
    assert layer.pairs.shape == layer.cosine.shape == layer.shape[:1] * 2
    assert layer.gradient.shape == layer.weights.shape == r.minimized["conv1"].shape == layer.shape
    assert len(layer.history) == 4 and layer.history[-1] < layer.history[0] == layer.value
    norms = [np.sqrt((w.astype(float) ** 2).sum((1, 2, 3))) for w in (layer.weights, r.minimized["conv1"])]
    np.testing.assert_allclose(norms[0], norms[1], rtol=1e-5)


def test_filters_of_arrays_and_modules(rng):
    command("filters", WEIGHTS, "--out", "theirs")
    theirs = cs.load("theirs")
    weights = {name: theirs[name].weights for name in theirs}
    for given in (weights, {f"{name}.weight": w for name, w in weights.items()}):
        mine = cs.filters(given, device="cpu")
        assert mine.layers == theirs.layers and mine.arrays.keys() == theirs.arrays.keys()
    assert cs.filters(weights["conv1"], device="cpu")[0].value == theirs["conv1"].value
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 5, 3), torch.nn.ReLU(), torch.nn.Conv2d(5, 4, 1))
    of_model = cs.filters(model, device="cpu")
    assert list(of_model) == ["0", "2"] and of_model["2"].shape == (4, 5, 1, 1)
    assert cs.filters(model[0].weight, device="cpu")[0].value == of_model["0"].value


def test_impulse():
    command("impulse", MODEL, "--tap", "conv", "--centred", "--bias", "zero", "--threshold", "0.8", "--out", "theirs")
    r = cs.impulse(MODEL, tap="conv", centred=True, bias="zero", threshold=0.8, device="cpu")
    same_as(r, "theirs", "impulse")
    layer = r.layers[0]
    assert layer.tap == "conv" and layer.ncc.shape == layer.ncc_abs.shape == (layer.channels,) * 2
    assert layer.lag.shape == (layer.channels, layer.channels, 2) and r.match_threshold == 0.8


def test_shuffle(images):
    np.save("images.npy", images)
    order = np.arange(24).reshape(3, 8)[:, ::-1].reshape(-1)
    np.save("order.npy", order)
    command("shuffle", MODEL, "images.npy", "--batch", "8", "--seed", "7", "--out", "theirs")
    r = cs.shuffle(MODEL, images, batch=8, seed=7, device="cpu")
    same_as(r, "theirs", "shuffle")
    assert cs.shuffle(MODEL, "images.npy", batch=8, seed=7, device="cpu") == r
    first = r.tensors[0]
    assert first.mode == "channel" and first.accuracy is None
    assert first.observed[0].cosine.mean(1) == pytest.approx(first.observed[0].cosine_mean)
    command("shuffle", MODEL, "images.npy", "--batch", "8", "--permutation", "order.npy", "--out", "ordered")
    same_as(cs.shuffle(MODEL, images, batch=8, permutation=order, device="cpu"), "ordered", "shuffle")


def test_ablate(images):
    np.save("images.npy", images)
    labels = np.arange(24) % 3
    np.save("labels.npy", labels)
    options = ["--labels", "labels.npy", "--calibration", "8", "-k", "5", "--keep", "0.75,0.25", "--seed", "3"]
    command("ablate", MODEL, "images.npy", *options, "--dropped", "merge", "--out", "theirs")
    arguments = dict(calibration=8, k=5, keep=[0.75, 0.25], seed=3, device="cpu")
    r = cs.ablate(MODEL, images, labels, dropped="merge", **arguments)
    same_as(r, "theirs", "ablation")
    assert cs.ablate(MODEL, "images.npy", "labels.npy", dropped="merge", **arguments) == r
    layer = r.layers[0]
    assert r.dropped == "merge" and r.samples == 16 and len(r.calibration) == 8
    assert list(layer.curves) == ["jaccard", "filters", "impulse", "pearson", "l1", "fpgm", "mean", "apoz", "random"]
    curve = layer.curves["random"]
    assert curve.accuracies.shape == (2, 5) and curve.accuracies.mean(1) == pytest.approx(curve.accuracy)
    assert curve.change == pytest.approx(curve.accuracy - r.accuracy)
    assert layer.order("random").shape == (5, layer.channels) and layer.curves["l1"].accuracies is None
    assert list(curve.kept) == [np.ceil(share * layer.channels) for share in curve.shares]
    assert r.together["l1"].kept.sum() > curve.kept.sum() and (curve.standard_error >= 0).all()
    # Rankings of one's own: those of a run are the ones that were ablated.
    activations = cs.run(MODEL, images[r.calibration], "dump", device="cpu")
    ranked = cs.rank("dump", by="pearson")
    given = {name: ranked[name] for name in r if name in ranked}
    assert activations.layers and list(given) == list(r)
    own = cs.ablate(MODEL, images, labels, rankings=["pearson", "given"], given=given, **arguments)
    for layer in own.layers:
        assert (layer.order("given") == layer.order("pearson")).all()
        assert (layer.curves["given"].accuracy == layer.curves["pearson"].accuracy).all()
    arrays = {name: ranked[name].order for name in given}
    assert cs.ablate(MODEL, images, labels, rankings="pearson", given=arrays, **arguments) == own


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_run(images, dtype):
    np.save("images.npy", images)
    command("run", MODEL, "images.npy", "--dump", "theirs", "--dtype", dtype)
    r = cs.run(MODEL, images, "mine", dtype=dtype, device="cpu")
    theirs = {p.name: p.read_bytes() for p in Path("theirs").glob("*.npy")}
    assert {p.name: p.read_bytes() for p in Path("mine").glob("*.npy")} == theirs
    assert r.folder == "mine" and "output" in r.layers and len(r[r.layers[0]]) == 24
    assert list(cs.redundancy("mine", k=3, device="cpu"))


def test_inspect(activations):
    activations[3, 1, 0, 2] = np.nan
    np.save("a.npy", activations)
    run = [sys.executable, "-m", "chanscope", "inspect", "a.npy", "-k", "5", "--json", "--quiet", "--device", "cpu",
           "--memory", "1GiB"]  # fmt: skip
    (theirs,) = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)["layers"]
    (mine,) = cs.inspect("a.npy", k=5, device="cpu", memory="1GiB")
    of_the_clock = {"run"}
    assert {k: v for k, v in mine.items() if k not in of_the_clock} == {
        k: v for k, v in theirs.items() if k not in of_the_clock
    }
    assert mine["run"].keys() == theirs["run"].keys()
    assert mine["nan"] == 1 and mine["dead_channels"] == [2]
    (of_array,) = cs.inspect({"a": activations}, k=5, device="cpu", memory="1GiB")
    assert {k for k in of_array if of_array[k] != mine[k]} <= {"path", "run"}
    (without,) = cs.inspect("a.npy", estimate=False, device="cpu")
    assert without == {**mine, "run": None}


def test_inspect_estimates_the_run_that_is_meant(rng):
    x = rng.standard_normal((300, 8, 4, 4)).astype(np.float32)
    np.save("a.npy", x)
    options = ["--queries", "20", "--no-baselines", "--json", "--quiet", "--device", "cpu", "--memory", "1GiB"]
    run = [sys.executable, "-m", "chanscope", "inspect", "a.npy", *options]
    (theirs,) = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)["layers"]
    (some,) = cs.inspect({"a": x}, queries=20, baselines=False, device="cpu", memory="1GiB")
    (whole,) = cs.inspect({"a": x}, device="cpu", memory="1GiB")
    assert some["run"]["supports_bytes"] == theirs["run"]["supports_bytes"] < whole["run"]["supports_bytes"]
    for wrong in (dict(queries=0), dict(baselines=1), dict(estimate=None)):
        with pytest.raises(cs.UsageError, match=next(iter(wrong))):
            cs.inspect({"a": x}, **wrong)


def test_devices():
    cpu, *gpus = cs.devices()
    assert cpu["device"] == "cpu" and cpu["threads"] >= 1 and isinstance(cpu["auto"], bool)
    assert all(gpu["device"] == f"gpu:{i}" for i, gpu in enumerate(gpus))
    assert cs.devices(threads=1)[0]["threads"] == 1


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda x: cs.filters("a.txt"), cs.Error, "a.txt"),
        (lambda x: cs.filters(x), cs.DataError, "the value at"),
        (lambda x: cs.filters(x[0]), cs.UsageError, r"weight has shape \(3, 24, 24\), expected \(M, C, h, w\)"),
        (lambda x: cs.filters(np.ones((2, 3, 3, 3), int)), cs.UsageError, "weight holds int64"),
        (lambda x: cs.filters({}), cs.UsageError, "weights is empty"),
        (lambda x: cs.filters(WEIGHTS, pairs="some"), cs.UsageError, "unknown pairs 'some'"),
        (lambda x: cs.filters(WEIGHTS, minimize=0), cs.UsageError, "minimize is 0"),
        (lambda x: cs.filters(WEIGHTS, minimize=3, momentum=0.5), cs.UsageError, 'optimizer="sgd"'),
        (lambda x: cs.filters(WEIGHTS, keep_norm=True), cs.UsageError, "need minimize=STEPS"),
        (lambda x: cs.filters(WEIGHTS, minimize=3, lr=-1), cs.UsageError, "lr is -1"),
        (lambda x: cs.filters(MODEL, minimize=3, write="new"), cs.UsageError, "write= copies a .safetensors"),
        (lambda x: cs.impulse("missing.onnx"), cs.FileError, "missing.onnx"),
        (lambda x: cs.impulse(MODEL, tap="relu"), cs.UsageError, "unknown tap 'relu'"),
        (lambda x: cs.impulse(MODEL, threshold=2), cs.UsageError, "threshold is 2"),
        (lambda x: cs.impulse(MODEL, at=3), cs.UsageError, "at is 3, expected two integers"),
        (lambda x: cs.impulse(MODEL, at=(99, 0)), cs.UsageError, "at is"),
        (lambda x: cs.shuffle(MODEL, x, tensor="relu9"), cs.UsageError, "has no layer 'relu9'; it has"),
        (lambda x: cs.shuffle(MODEL, x, batch=0), cs.UsageError, "batch is 0"),
        (lambda x: cs.shuffle(MODEL, x, permutation=[0, 0]), cs.UsageError, "permutation"),
        (lambda x: cs.ablate(MODEL, x, None), cs.UsageError, "y is None"),
        (lambda x: cs.ablate(MODEL, x, [0] * len(x), keep=1.5, rankings="l1"), cs.UsageError, "keep is 1.5, expected shares"),
        (lambda x: cs.ablate(MODEL, x, [0] * len(x)), cs.UsageError, "calibration is 6 samples, expected more than"),
        (lambda x: cs.ablate(MODEL, x, [0] * len(x), rankings="l2"), cs.UsageError, "unknown ranking 'l2'"),
        (lambda x: cs.ablate(MODEL, x, [0] * len(x), rankings="given"), cs.UsageError, "give them as given="),
        (lambda x: cs.ablate(MODEL, x, [0] * len(x), given={"other": [0]}), cs.UsageError, "'other', expected rankings of"),
        (lambda x: cs.ablate(MODEL, x, [0] * len(x), given=[1]), cs.UsageError, "given is list, expected a mapping"),
        (lambda x: cs.shuffle(MODEL, x, mode="rows"), cs.UsageError, "unknown mode 'rows'"),
        (lambda x: cs.run(MODEL, x, "d", dtype="int8"), cs.UsageError, "unknown dtype 'int8'"),
        (lambda x: cs.run(MODEL, x[:, :2], "d"), cs.Error, "2"),
        (lambda x: cs.inspect("missing"), cs.FileError, "missing"),
    ],
)
def test_wrong_arguments(images, call, kind, message):
    images[3, 1, 5, 7] = np.nan
    with pytest.raises(kind, match=message) as raised:
        call(images)
    assert "\n" not in str(raised.value) and "--" not in str(raised.value)
