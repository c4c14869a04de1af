"""Plots: what they show is what the results hold."""

from __future__ import annotations

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

import matplotlib.pyplot as plt

import chanscope as cs


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def run():
    """Channel 3 is dead, channels 4 and 5 are alike."""
    x = np.random.default_rng(0).standard_normal((60, 8, 2, 2)).astype(np.float32)
    x[:, 3], x[:, 5] = 0, x[:, 4] + 0.05 * x[:, 5]
    return cs.redundancy({"conv1": x, "conv2": x[:, :6]}, k=8, device="cpu", threads=1)


def shown(ax):
    return np.ma.filled(ax.images[0].get_array(), np.nan)


def test_heatmap_in_the_networks_order(run):
    ax = run["conv1"].plot.heatmap()
    expected = run["conv1"].jaccard.copy()
    np.fill_diagonal(expected, np.nan)
    expected[3], expected[:, 3] = np.nan, np.nan
    np.testing.assert_array_equal(shown(ax), expected)
    assert ax.images[0].get_clim() == (0, np.nanmax(expected))
    assert "conv1" in ax.get_title() and f"{run['conv1'].jaccard_mean:.3g}" in ax.get_title()


@pytest.mark.parametrize("order", ["mean", "cluster"])
def test_heatmap_in_another_order_shows_the_same_pairs(run, order):
    if order == "cluster":
        pytest.importorskip("scipy")
    plain, ordered = (shown(run["conv1"].plot.heatmap("overlap", order=o)) for o in (None, order))
    np.testing.assert_array_equal(np.sort(plain[np.isfinite(plain)]), np.sort(ordered[np.isfinite(ordered)]))
    assert np.isnan(ordered[-1]).all()  # dead channels last
    most = np.argwhere(ordered == np.nanmax(ordered))[0]
    assert abs(most[0] - most[1]) == 1 or order == "mean"  # those that are alike are neighbours
    if order == "mean":
        means = np.nanmean(ordered[:-1, :-1], axis=1)
        assert (np.diff(means) <= 1e-12).all()


def test_a_matrix_and_axes_of_ones_own():
    ax = plt.subplots()[1]
    assert cs.plot.heatmap(np.array([[1.0, 0.5], [0.5, 1.0]]), ax=ax) is ax
    np.testing.assert_array_equal(shown(ax), [[np.nan, 0.5], [0.5, np.nan]])


def test_channels_keep_their_numbers():
    x = np.random.default_rng(1).standard_normal((40, 9, 2, 2)).astype(np.float32)
    layer = cs.redundancy({"a": x}, k=5, channels=[7, 2, 4], device="cpu", threads=1)["a"]
    ax = layer.plot.heatmap()
    assert [ax.xaxis.get_major_formatter()(at, None) for at in range(4)] == ["7", "2", "4", ""]
    pytest.importorskip("scipy")
    assert {t.get_text() for t in layer.plot.dendrogram().get_xticklabels()} == {"7", "2", "4"}


def test_neighbors_leave_out_dead_channels(run):
    line, dots = run["conv1"].plot.neighbors().lines
    live = np.delete(run["conv1"].neighbors_mean, 3)
    np.testing.assert_array_equal(line.get_ydata(), np.sort(live)[::-1])
    np.testing.assert_array_equal(np.sort(dots.get_ydata()), np.sort(np.delete(run["conv1"].pca_dimension_mean, 3)))


@pytest.mark.parametrize("value", ["jaccard", "overlap"])
def test_dendrogram_joins_what_is_alike_first(run, value):
    pytest.importorskip("scipy")
    ax = run["conv1"].plot.dendrogram(value)
    labels = [t.get_text() for t in ax.get_xticklabels()]
    assert sorted(labels) == ["0", "1", "2", "4", "5", "6", "7"]
    assert abs(labels.index("4") - labels.index("5")) == 1
    lowest = min(path.vertices[:, 1].max() for c in ax.collections for path in c.get_paths())
    if value == "jaccard":
        assert lowest == pytest.approx(1 - run["conv1"].jaccard[4, 5])


def test_trend_over_epochs_and_layers_of_a_run(run):
    other = cs.redundancy(
        {"conv1": np.random.default_rng(2).standard_normal((60, 8, 2, 2)).astype(np.float32)}, k=8, device="cpu"
    )
    other.save("other")
    ax = cs.plot.trend({10: run, 1: "other"})
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}
    assert lines["conv1"] == ([1, 10], [other["conv1"].jaccard_mean, run["conv1"].jaccard_mean])
    assert lines["conv2"] == ([10], [run["conv2"].jaccard_mean])
    ax = run.plot.layers("neighbors_mean")
    expected = [np.delete(layer.neighbors_mean, 3).mean() for layer in run.layers]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), expected)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["conv1", "conv2"]


def test_what_cannot_be_drawn(run):
    for call, text in [
        (lambda: run.plot.heatmap(), "2 layers"),
        (lambda: run["conv1"].plot.heatmap(order="size"), "order"),
        (lambda: run["conv1"].plot.heatmap("joy"), "no matrix 'joy'"),
        (lambda: cs.plot.heatmap(np.zeros((2, 3))), r"\[2, 3\]"),
        (lambda: cs.plot.trend([]), "empty"),
        (lambda: cs.plot.trend([run], layers=["conv9"]), "conv9"),
        (lambda: cs.plot.trend([run], "joy"), "joy"),
    ]:
        with pytest.raises(cs.Error, match=text):
            call()
