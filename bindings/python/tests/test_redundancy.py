"""`redundancy` gives the command line's numbers, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import command, document

import chanscope as cs


def arrays(folder: str) -> dict[str, np.ndarray]:
    return {p.relative_to(folder).as_posix(): np.load(p) for p in Path(folder).rglob("*.npy")}


OPTIONS = [
    ({}, []),
    ({"k": 7, "kernel": "cosine", "aggregate": True}, ["-k", "7", "--kernel", "cosine", "--aggregate"]),
    ({"sigma": 1.5, "identical": "drop", "k": 5}, ["--sigma", "1.5", "--identical", "drop", "-k", "5"]),
    ({"channels": [3, 0], "identical": "replace"}, ["--channels", "3,0", "--identical", "replace"]),
    ({"queries": 20, "seed": 7, "k": 6, "aggregate": True}, ["--queries", "20", "--seed", "7", "-k", "6", "--aggregate"]),
    ({"channels": "1-2", "k": 4, "threads": 1, "memory": "64MiB"}, ["--channels", "1-2", "-k", "4"]),
]


@pytest.mark.parametrize("given, options", OPTIONS)
def test_equals_the_command_line_to_the_bit(activations, labels, given, options):
    np.save("conv1.npy", activations)
    np.save("labels.npy", labels)
    command("redundancy", "conv1.npy", "--labels", "labels.npy", "--save-graph", "--out", "theirs", *options)
    r = cs.redundancy({"conv1": activations}, labels, save_graph=True, supports=True, device="cpu", **given)
    expected = arrays("theirs")
    assert r.arrays.keys() == expected.keys()
    for name, array in expected.items():
        mine = r.arrays[name]
        assert mine.dtype == array.dtype and mine.shape == array.shape and mine.tobytes() == array.tobytes(), name
    assert r.document["redundancy"] == document("theirs")["redundancy"]
    assert r == cs.load("theirs")


def test_a_folder_as_the_command_line_writes_it(activations, labels):
    Path("dump").mkdir()
    np.save("dump/a.npy", activations)
    np.save("dump/b.npy", activations[:, ::-1])
    np.save("dump/labels.npy", labels)
    command("redundancy", "dump", "-k", "4", "--out", "theirs", "--memory", "1GiB")
    r = cs.redundancy("dump", k=4, out="mine", device="cpu", memory="1GiB")
    of_the_run = ("timing",)
    mine, theirs = ({k: v for k, v in document(d).items() if k not in of_the_run} for d in ("mine", "theirs"))
    assert mine == theirs
    assert arrays("mine").keys() == arrays("theirs").keys()
    assert Path("mine/report.html").stat().st_size > 10_000
    assert r.folder == "mine" and r == cs.load("theirs") == cs.load("mine")
    assert list(r) == ["a", "b"] and r.cka.shape == (2, 2) and r.cka_layers == ["a", "b"]


def test_attributes_are_the_fields_of_results_json(activations, labels):
    r = cs.redundancy(activations, labels, k=5, aggregate=True, save_graph=True, device="cpu")
    layer = r["layer"]
    assert r[0].name == r.layers[0].name == "layer" and len(r) == 1
    assert layer.shape == (60, 4, 3, 3)
    np.testing.assert_array_equal(layer.dead_channels, [2])
    assert layer.jaccard.shape == layer.overlap.shape == (4, 4)
    assert np.isnan(layer.jaccard[2]).all() and layer.jaccard[0, 0] == 1
    assert np.isnan(layer.neighbors_mean[2]) and layer.neighbors_mean[0] > 1
    assert layer.loo_error.shape == layer.loo_soft_error.shape == (4,)
    live = [layer.jaccard[i, j] for i in (0, 1, 3) for j in (0, 1, 3) if i != j]
    assert layer.jaccard_mean == pytest.approx(np.mean(live), rel=1e-15)
    assert layer.graphs.neighbors.shape == (4, 60, 5) and layer.graphs.degenerate.dtype == bool
    assert layer.aggregate.neighbors.shape == (1, 60, 5) and 0 < layer.aggregate.recall <= 1
    fields = {p for p in dir(type(layer)) if not p.startswith("_")}
    assert set(layer.fields) - {"name"} <= fields
    sampled = cs.redundancy(activations, labels, k=5, queries=20, device="cpu")["layer"]
    assert set(sampled.fields) - {"name"} <= fields


def test_graphs_are_sparse_matrices_kept_or_not(activations):
    pytest.importorskip("scipy")
    kept = cs.redundancy(activations, k=5, aggregate=True, save_graph=True, device="cpu")["layer"]
    not_kept = cs.redundancy(activations, k=5, device="cpu")["layer"]
    graph = kept.graph(3)
    assert graph.shape == (60, 60)
    assert (graph != not_kept.graph(3)).nnz == 0
    weights = kept.graphs.weights[3]
    row = {int(j): w for j, w in zip(kept.graphs.neighbors[3, 7], weights[7]) if w > 1e-6}
    assert dict(zip(graph[[7]].indices.tolist(), graph[[7]].data)) == row
    assert kept.graph("aggregate").nnz > 0
    with pytest.raises(cs.UsageError, match="aggregate=True"):
        not_kept.graph("aggregate")
    with pytest.raises(cs.UsageError, match="channel is 9"):
        kept.graph(9)


def test_skipped_samples_keep_their_numbers(activations):
    pytest.importorskip("scipy")
    activations[[4, 9], 1, 0, 0] = np.nan
    layer = cs.redundancy(activations, k=5, non_finite="skip", save_graph=True, device="cpu")["layer"]
    assert layer.samples_skipped == 2 and len(layer.kept) == 58 and 4 not in layer.kept
    graph = layer.graph(0)
    assert graph.shape == (60, 60) and graph[[4, 9]].nnz == 0 and graph[:, [4, 9]].nnz == 0 and graph[[59]].nnz > 0


def test_sampled_queries(activations, labels):
    pytest.importorskip("scipy")
    all_queries = cs.redundancy(activations, labels, k=5, save_graph=True, device="cpu")["layer"]
    layer = cs.redundancy(activations, labels, k=5, save_graph=True, aggregate=True, queries=15, device="cpu")["layer"]
    assert all_queries.queries is None and all_queries.jaccard_se is None
    assert layer.queries.shape == (15,) and layer.graphs.neighbors.shape == (4, 15, 5)
    np.testing.assert_array_equal(layer.graphs.neighbors, all_queries.graphs.neighbors[:, layer.queries])
    graph, whole = layer.graph(0), all_queries.graph(0)
    assert graph.shape == (60, 60) and (graph[layer.queries] != whole[layer.queries]).nnz == 0
    assert graph.nnz == graph[layer.queries].nnz
    assert layer.jaccard_se.shape == (4, 4) and layer.neighbors_mean_se[0] > 0 and layer.loo_error_se[0] > 0
    assert layer.jaccard_mean_se > 0 and layer.redundancy_se > 0 and layer.aggregate.standard_error("recall") >= 0


def test_frame_has_a_row_for_each_channel(activations, labels):
    pytest.importorskip("pandas")
    frame = cs.redundancy({"a": activations, "b": activations[:, :2]}, labels, k=5, device="cpu").to_frame()
    assert list(frame.layer) == ["a"] * 4 + ["b"] * 2 and list(frame.channel) == [0, 1, 2, 3, 0, 1]
    assert list(frame.dead) == [False, False, True, False, False, False]
    assert np.isnan(frame.jaccard_mean[2]) and frame.loo_error.notna().sum() == 5
