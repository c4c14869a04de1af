"""The samples that excite channels most, and their pictures, against the definition
(docs/definitions.md#strongest-samples)."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from conftest import command, document

import chanscope as cs


@pytest.fixture
def half(activations) -> np.ndarray:
    """Values whose sums are exact, so that equal means are equal to the bit; channel 1 is alive on three samples only."""
    x = np.round(activations * 4) / 4
    x[3:, 1] = 0
    return x


@pytest.fixture
def images(rng) -> np.ndarray:
    """Images [60, 3, 41, 50], one of which is not finite in one place."""
    x = rng.integers(0, 255, (60, 3, 41, 50)).astype(np.float32)
    x[7, 1, 3, 3] = np.nan
    return x


def definition(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most 8 samples with the largest mean of the channel's map, of equal ones the first, none whose map is zero."""
    samples, means = np.full((x.shape[1], 8), -1), np.full((x.shape[1], 8), np.nan)
    for channel in range(x.shape[1]):
        maps = x[:, channel].reshape(len(x), -1).astype(np.float64)
        found = sorted((-m.mean(), i) for i, m in enumerate(maps) if m.any())[:8]
        samples[channel, : len(found)] = [i for _, i in found]
        means[channel, : len(found)] = [-m for m, _ in found]
    return samples, means


def pictures(images: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Means over blocks of the least side that leaves at most 32 rows and columns, on one scale from 0 to 255."""
    side = -(-max(images.shape[2:]) // 32)
    starts = [np.arange(0, length, side) for length in images.shape[2:]]
    chosen = images[samples].astype(np.float64)
    sums = np.add.reduceat(np.add.reduceat(chosen, starts[0], axis=2), starts[1], axis=3)
    counts = np.outer(*(np.diff([*at, length]) for at, length in zip(starts, images.shape[2:])))
    means = sums / counts
    low, high = np.nanmin(means), np.nanmax(means)
    return np.floor(np.nan_to_num((means - low) * (255 / (high - low))) + 0.5).astype(np.uint8)


def test_strongest_samples_are_those_of_the_definition(half):
    layer = cs.redundancy(half, k=5, strongest=True, device="cpu")["layer"]
    samples, means = definition(half)
    assert layer.strongest.dtype == np.int64 and layer.strongest_mean.dtype == np.float64
    np.testing.assert_array_equal(layer.strongest, samples)
    np.testing.assert_array_equal(layer.strongest_mean, means)
    assert (samples[2] == -1).all() and (samples[1] >= 0).sum() <= 3  # dead, and nearly so
    assert len({*means[0]}) < 8 or len({*means[3]}) < 8, "no two samples are equally strong, so that ties are not tested"
    chosen = cs.redundancy(half, k=5, channels=[3, 0], strongest=True, device="cpu")["layer"]
    np.testing.assert_array_equal(chosen.strongest, samples[[3, 0]])
    without = cs.redundancy(half, k=5, device="cpu")
    assert without["layer"].strongest is None and without["layer"].strongest_mean is None and without.images is None


def test_skipped_samples_are_not_among_them(half):
    first = definition(half)[0][0, 0]
    half[first, 0, 1, 1] = np.inf
    layer = cs.redundancy(half, k=5, non_finite="skip", strongest=True, device="cpu")["layer"]
    half[first] = 0
    np.testing.assert_array_equal(layer.strongest, definition(half)[0])


def test_pictures_are_those_of_the_definition(half, images):
    r = cs.redundancy({"a": half, "b": half[:, ::-1]}, k=5, images=images, device="cpu")
    samples = np.unique(np.concatenate([layer.strongest for layer in r.layers]))[1:]
    assert r.images.samples.dtype == np.int64 and r.images.pictures.dtype == np.uint8
    np.testing.assert_array_equal(r.images.samples, samples)
    assert r.images.shape == images.shape and r.images.pictures.shape == (len(samples), 3, 21, 25)
    np.testing.assert_array_equal(r.images.pictures, pictures(images, samples))
    low, high = r.images.range
    assert 0 <= low < high <= 254


def cards(page: Path) -> list[dict]:
    """The figures of a report that are cards of channels."""
    _, _, text = page.read_text().partition('id="figures">')
    return [figure for figure in json.loads(text.partition("</script>")[0]) if figure["kind"] == "cards"]


def test_equals_the_command_line_to_the_bit(half, images, labels):
    np.save("a.npy", half)
    np.save("images.npy", images)
    command("redundancy", "a.npy", "-k", "5", "--images", "images.npy", "--out", "theirs", "--memory", "1GiB")
    options = dict(k=5, device="cpu", memory="1GiB", supports=True)
    theirs = cs.load("theirs")
    for given in (images, "images.npy", Path("images.npy")):
        r = cs.redundancy("a.npy", images=given, **options)
        assert r.document["redundancy"] == document("theirs")["redundancy"]
        assert r == theirs and r.images.pictures.tobytes() == theirs.images.pictures.tobytes()
        assert pickle.loads(pickle.dumps(r)) == r
        r.save("mine", force=True)
        assert cs.load("mine") == theirs
        mine, other = (cards(Path(folder, "report.html")) for folder in ("mine", "theirs"))
        assert mine == other and mine[0]["pictures"]
        r.report("page.html")
        assert cards(Path("page.html")) == other
    written = cs.redundancy("a.npy", images="images.npy", out="folder", **options)
    assert written == theirs
    mine, other = document("folder"), document("theirs")
    assert mine["parameters"] == other["parameters"] and mine["input"] == other["input"]


def test_every_kind_of_images(half, images):
    images = np.round(np.nan_to_num(images) / 2)
    expected = cs.redundancy(half, k=5, images=images, device="cpu").images
    last = images.transpose(0, 2, 3, 1)
    for given in (images.astype(np.uint8), images.astype(np.int8), images.astype(np.float16), images.astype(np.float64),
                  last.copy(), last.astype(np.uint8), np.asfortranarray(images)):  # fmt: skip
        found = cs.redundancy(half, k=5, images=given, device="cpu").images
        np.testing.assert_array_equal(found.pictures, expected.pictures)
    one = cs.redundancy(half, k=5, images=images[:, :1], device="cpu").images
    assert one.pictures.shape[1] == 1 and one.shape == (60, 1, 41, 50)
    np.testing.assert_array_equal(one.pictures, pictures(images[:, :1], one.samples))


def test_images_of_pytorch_and_h5py(half, images):
    expected = cs.redundancy(half, k=5, images=images, device="cpu").images
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(images)
    for given in (tensor, tensor.to(memory_format=torch.channels_last), tensor.requires_grad_()):
        found = cs.redundancy(half, k=5, images=given, device="cpu").images
        np.testing.assert_array_equal(found.pictures, expected.pictures)
    h5py = pytest.importorskip("h5py")
    with h5py.File("a.h5", "w") as file:
        file["x"] = images
        found = cs.redundancy(half, k=5, images=file["x"], device="cpu").images
        np.testing.assert_array_equal(found.pictures, expected.pictures)


def test_runs_in_units(half, images):
    np.save("a.npy", half)
    np.save("images.npy", images)
    options = dict(k=5, images="images.npy", device="cpu")
    expected = cs.redundancy("a.npy", **options)
    cs.plan("a.npy", units=3, out="planned", **options)
    cs.work("planned", device="cpu")
    assert cs.merge("planned", memory="1GiB", threads=1) == expected
    assert cs.redundancy("a.npy", out="resumed", resume=True, **options) == expected
    assert cs.redundancy("a.npy", out="resumed", resume=True, **options) == expected
    with pytest.raises(cs.FileError, match="images"):
        cs.redundancy("a.npy", out="resumed", resume=True, k=5, device="cpu", strongest=True)
    for refused in (lambda: cs.redundancy("a.npy", out="other", resume=True, k=5, images=images),
                    lambda: cs.plan("a.npy", units=2, out="other", k=5, images=images)):  # fmt: skip
        with pytest.raises(cs.UsageError, match="images is no file"):
            refused()
    assert not Path("other").exists()


def test_graphs_are_computed_again_without_images(half, images):
    pytest.importorskip("scipy")
    assert cs.redundancy(half, k=5, images=images, device="cpu")["layer"].graph(0).nnz > 0


class Broken:
    """Rows that cannot be read."""

    shape, dtype = (60, 3, 8, 8), np.dtype(np.float32)

    def __getitem__(self, rows):
        raise LookupError("the disk is gone")


WRONG = [
    (lambda x: x[:59], cs.DataError, "59 samples.*60"),
    (lambda x: x[:, 0], cs.UsageError, r"images has shape \(60, 41, 50\), expected \(N, 1 or 3, H, W\) or"),
    (lambda x: np.repeat(x[:, :1], 2, axis=1), cs.UsageError, r"images has shape \(60, 2, 41, 50\)"),
    (lambda x: x[:, :, :0], cs.UsageError, r"images has shape \(60, 3, 0, 50\): a dimension is zero"),
    (lambda x: np.nan_to_num(x).astype(np.int64), cs.UsageError, "images holds int64, expected uint8 or floating point"),
    (lambda x: x > 3, cs.UsageError, "images holds bool"),
    (lambda x: x.astype(object), cs.UsageError, "images holds object"),
    (lambda x: x.tolist(), cs.UsageError, "images is a list"),
    (lambda x: {"a": x}, cs.UsageError, "images is a dict"),
    (lambda x: 3, cs.UsageError, "images is a int"),
    (lambda x: "gone.npy", cs.FileError, "gone.npy"),
    (lambda x: "text.npy", cs.DataError, "text.npy"),
    (lambda x: "two.npy", cs.UsageError, r"images is \[60, 2, 5, 5\], expected images \[N, 1 or 3, H, W\]"),
    (lambda x: Broken(), LookupError, "the disk is gone"),
]


@pytest.mark.parametrize("make, kind, message", WRONG, ids=lambda v: None)
def test_wrong_images_are_refused(half, images, make, kind, message):
    Path("text.npy").write_text("no array")
    np.save("two.npy", np.ones((60, 2, 5, 5), np.float32))
    before = sorted(Path().rglob("*"))
    with pytest.raises(kind, match=message) as raised:
        cs.redundancy(half, k=5, images=make(images), out="out", device="cpu")
    assert "\n" not in str(raised.value) and "--" not in str(raised.value)
    assert sorted(Path().rglob("*")) == before
    with pytest.raises(cs.UsageError, match="strongest is 'yes'"):
        cs.redundancy(half, k=5, strongest="yes")
