"""Rankings of channels: those of the command line, from results, folders and activations."""

import numpy as np
import pytest

import chanscope as cs
from conftest import command


def order(folder, layer):
    return np.load(f"{folder}/rank/{layer}.npy")


@pytest.fixture
def copied(activations):
    """Activations in which channel 3 is a copy of channel 0, and channel 1 alone is dead."""
    x = activations.copy()
    x[:, 2] = x[::-1, 1]
    x[:, 3] = x[:, 0]
    x[:, 1] = 0
    return x


@pytest.mark.parametrize("by", ["jaccard", "pearson"])
def test_as_the_command(copied, by):
    np.save("conv1.npy", copied)
    command("redundancy", "conv1.npy", "--out", "measured")
    command("rank", "measured", "--by", by, "--out", "ranked")
    expected = order("ranked", "conv1")
    measured = cs.redundancy("conv1.npy", device="cpu")
    for source in (measured, "measured", "conv1.npy", {"conv1": copied}):
        found = cs.rank(source, by=by, device="cpu", memory="1GiB", threads=1)
        assert found.by == by and list(found) == ["conv1"]
        layer = found["conv1"]
        np.testing.assert_array_equal(layer.order, expected)
        assert layer.live == copied.shape[1] - 1 and layer.order[-1] == 1
        assert layer.coverage[-1] == 1
        place = list(layer.order).index(3)
        assert layer.representatives[place] == 0 and layer.similarities[place] == 1
        assert layer.representatives[0] == -1 and np.isnan(layer.similarities[0])
        np.testing.assert_array_equal(layer.keep(0.5), np.sort(expected[: int(np.ceil(len(expected) / 2))]))
    found.save("saved")
    assert cs.load("saved") == found == cs.load("ranked")
    assert cs.load("ranked").by == by


def test_shares_are_not_rounded_up_twice():
    weights = np.random.default_rng(0).standard_normal((100, 1, 3, 3)).astype(np.float32)
    layer = cs.rank(cs.filters({"a": weights}), by="filters")["a"]
    assert [len(layer.keep(share)) for share in (0.07, 0.29, 0.071, 0.57, 1)] == [7, 29, 8, 57, 100]


def test_filters():
    weights = np.random.default_rng(0).standard_normal((6, 2, 3, 3)).astype(np.float32)
    weights[4] = -2 * weights[1]
    weights[2] = 0
    found = cs.rank(cs.filters({"a": weights}), by="filters")["a"]
    assert found.live == 5 and found.order[-1] == 2
    # Filters of opposite sign are alike.
    assert list(found.order).index(1) < list(found.order).index(4)
    place = list(found.order).index(4)
    assert found.representatives[place] == 1
    np.testing.assert_allclose(found.similarities[place], 1, rtol=0, atol=1e-9)


def test_refused(activations):
    measured = cs.redundancy({"a": activations}, k=5, device="cpu", baselines=False)
    with pytest.raises(cs.UsageError, match="jaccard, filters, impulse or pearson"):
        cs.rank(measured, by="size")
    with pytest.raises(cs.UsageError, match="filters"):
        cs.rank(measured, by="filters")
    with pytest.raises(cs.UsageError, match="impulse"):
        cs.rank({"a": activations}, by="impulse")
    with pytest.raises(cs.DataError, match="pearson"):
        cs.rank(measured, by="pearson")
    with pytest.raises(cs.Error):
        cs.rank("gone.npy")
    layer = cs.rank(measured)["a"]
    for share in (0, -1, 1.5, float("nan")):
        with pytest.raises(cs.UsageError):
            layer.keep(share)
