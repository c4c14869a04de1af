"""Finished runs compared: as the command line, from folders and from results in memory."""

import numpy as np
import pytest

import chanscope as cs
from conftest import command

ARRAYS = [
    "layers", "best_match", "best_match_back", "jaccard", "channels_a", "channels_b", "matches_a", "matches_b",
    "match_jaccard_a", "match_jaccard_b",
]


@pytest.fixture
def epochs(rng, activations):
    """Two layers of the same samples at three epochs; the layer a of the last one is that of the first one."""
    other = rng.standard_normal((60, 3, 2, 2)).astype(np.float32)
    return [
        {"a": activations, "b": other},
        {"a": np.sqrt(activations) + 0.2 * rng.random(activations.shape, np.float32), "c": other[:, :2]},
        {"a": activations, "b": np.maximum(other, 0.1)},
    ]


def test_as_the_command(epochs, labels):
    measured = [cs.redundancy(x, labels, k=5, device="cpu", supports=True) for x in epochs]
    for place, x in enumerate(epochs):
        cs.redundancy(x, labels, k=5, device="cpu", out=f"epoch-{place}")
    command("compare", "epoch-0", "epoch-1", "epoch-2", "--out", "compared")
    expected = cs.load("compared")
    assert isinstance(expected, cs.Compare)
    for sources in (measured, ["epoch-0", cs.load("epoch-1"), measured[2]]):
        found = cs.compare(*sources, device="cpu")
        for pair in (1, 2):
            for name in ARRAYS:
                path = f"compare/{pair}/{name}.npy"
                np.testing.assert_array_equal(found.arrays[path], np.load(f"compared/{path}"))
    first, last = found.pairs
    assert first.layers == (["a", "b"], ["a", "c"]) and last.layers == (["a", "b"], ["a", "b"])
    assert first.mean.shape == first.best_match.shape == (2, 2)
    # What has not changed is found again.
    assert last.best_match[0, 0] == last.best_match_back[0, 0] == 1
    own, there = last.channels[0], last.matches[0]
    np.testing.assert_array_equal(own[own[:, 0] == 0], there[own[:, 0] == 0])
    assert last.jaccard.shape == (len(own), len(last.channels[1]))
    trend = found.trend("a")
    np.testing.assert_array_equal(trend, [r["a"].redundancy for r in measured])
    assert np.isnan(found.trend("b", "loo_error")[1]) and not np.isnan(found.trend("b", "loo_error")[0])
    assert found.runs[1][0].live == 4
    with pytest.raises(cs.UsageError, match="loo_error"):
        found.trend("a", "size")
    with pytest.raises(cs.UsageError, match="no run has"):
        found.trend("z")


def test_the_page_says_how_to_read_supports(activations):
    cs.redundancy({"a": activations}, k=5, device="cpu", save_graph=True, out="run")
    folder = "run/layers/a"
    sizes = np.load(f"{folder}/support_sizes.npy").astype(int)
    degenerate = sizes == 255
    sizes[degenerate] = 0
    ends = np.cumsum(sizes).reshape(sizes.shape)
    members = np.load(f"{folder}/supports.npy", mmap_mode="r")
    neighbors, weights = (np.load(f"{folder}/{name}.npy") for name in ("neighbors", "weights"))
    np.testing.assert_array_equal(degenerate.T, np.load(f"{folder}/degenerate.npy"))
    for c in range(activations.shape[1]):
        for q in range(len(activations)):
            support = members[ends[q, c] - sizes[q, c] : ends[q, c]]
            inside = neighbors[c, q][weights[c, q] > np.float32(1e-6)]
            np.testing.assert_array_equal(support, np.sort(inside))


def test_supports_are_kept_where_they_are_wanted(activations):
    def kept(results):
        return any(name.endswith("supports.npy") for name in results.arrays)

    plain = cs.redundancy(activations, k=5, device="cpu")
    assert not kept(plain)
    assert kept(cs.redundancy(activations, k=5, device="cpu", supports=True))
    assert kept(cs.redundancy(activations, k=5, device="cpu", out="kept"))
    assert not kept(cs.redundancy(activations, k=5, device="cpu", out="none", supports=False))
    # Kept or not, the same was found.
    assert plain == cs.load("kept") == cs.load("none")
    with pytest.raises(cs.DataError, match="supports=True"):
        cs.compare(plain, "kept")
    with pytest.raises(cs.Error, match="no supports"):
        cs.compare("none", "kept")
    with pytest.raises(cs.UsageError, match="run 1"):
        cs.compare("kept", activations)
    other = cs.redundancy(activations, k=6, device="cpu", supports=True)
    with pytest.raises(cs.Error, match="k 6"):
        cs.compare("kept", other)
