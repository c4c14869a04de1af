"""`knn` and `nnk` against definitions in float64, and against `redundancy`."""

from __future__ import annotations

import numpy as np
import pytest

import chanscope as cs


@pytest.fixture
def points(rng) -> np.ndarray:
    return rng.standard_normal((120, 5)).astype(np.float32)


def nearest(queries: np.ndarray, points: np.ndarray, k: int, metric: str, own: bool) -> tuple[np.ndarray, np.ndarray]:
    """The definition: all distances in float64, ordered by (distance, index)."""
    a, b = queries.astype(float), points.astype(float)
    if metric == "cosine":
        a, b = a / np.linalg.norm(a, axis=1)[:, None], b / np.linalg.norm(b, axis=1)[:, None]
    distances = ((a[:, None] - b[None]) ** 2).sum(-1)
    if own:
        np.fill_diagonal(distances, np.inf)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(distances, order, axis=1)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("own", [True, False])
def test_knn_is_the_definition(points, rng, metric, own):
    queries = points if own else rng.standard_normal((7, 5)).astype(np.float32)
    indices, sq_distances = cs.knn(points, 9, queries=None if own else queries, metric=metric, device="cpu")
    order, distances = nearest(queries, points, 9, metric, own)
    assert indices.dtype == np.int32 and sq_distances.dtype == np.float32
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(sq_distances, distances, rtol=1e-6)


def test_fewer_points_than_asked_for(points):
    indices, sq_distances = cs.knn(points[:4], 6, device="cpu")
    assert (indices[:, 3:] == -1).all() and (indices[:, :3] >= 0).all() and (sq_distances[:, 3:] == 0).all()


def test_a_point_among_queries_is_its_own_neighbour(points):
    indices, sq_distances = cs.knn(points, 1, queries=points[[5, 2]], device="cpu")
    assert indices.tolist() == [[5], [2]] and (sq_distances == 0).all()


@pytest.mark.parametrize("options", [{}, {"kernel": "cosine"}, {"sigma": 0.9}, {"identical": "drop"}])
def test_nnk_has_the_numbers_of_a_layer_of_one_channel(points, options):
    points[7] = points[3]
    graph = cs.nnk(points, 8, device="cpu", **options)
    layer = cs.redundancy(points, k=8, save_graph=True, device="cpu", **options)["layer"].graphs
    np.testing.assert_array_equal(graph.indices, layer.neighbors[0])
    np.testing.assert_array_equal(graph.sq_distances, layer.sq_distances[0])
    np.testing.assert_array_equal(graph.weights, layer.weights[0])
    np.testing.assert_array_equal(graph.objective, layer.objective[0])
    np.testing.assert_array_equal(graph.degenerate, layer.degenerate[0])


def test_nnk_of_queries_solves_its_problem(points, rng):
    """The optimum of non-negative least squares in the kernel's space, from scipy in float64."""
    optimize = pytest.importorskip("scipy.optimize")
    queries = rng.standard_normal((5, 5)).astype(np.float32)
    graph = cs.nnk(points, 10, queries=queries, sigma=1.3, device="cpu")
    assert graph.shape == (5, 120) and graph.kkt_residual_max < 1e-6
    for q, query in enumerate(queries.astype(float)):
        near = points[graph.indices[q]].astype(float)
        kernel = np.exp(-((near[:, None] - near[None]) ** 2).sum(-1) / (2 * 1.3**2))
        target = np.exp(-((near - query) ** 2).sum(-1) / (2 * 1.3**2))
        root = np.linalg.cholesky(kernel).T
        expected, _ = optimize.nnls(root, np.linalg.solve(root.T, target))
        np.testing.assert_allclose(graph.weights[q], expected, atol=1e-5)


def test_sparse_form_and_comparison(points):
    pytest.importorskip("scipy")
    import pickle

    graph = cs.nnk(points, 6, device="cpu")
    sparse = graph.to_csr()
    assert sparse.shape == (120, 120)
    row = {int(j): w for j, w in zip(graph.indices[4], graph.weights[4]) if w > 1e-6}
    assert dict(zip(sparse[[4]].indices.tolist(), sparse[[4]].data)) == row
    assert pickle.loads(pickle.dumps(graph)) == graph != cs.nnk(points, 7, device="cpu")
    assert "120 queries and 120 points" in repr(graph)


def test_other_kinds_of_arrays(points):
    expected = cs.knn(points, 3, device="cpu")[0]
    for x in (points.astype(float), np.asfortranarray(points), points.tolist()):
        np.testing.assert_array_equal(cs.knn(x, 3, device="cpu")[0], expected)
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(points, requires_grad=True)
    np.testing.assert_array_equal(cs.knn(tensor, 3, device="cpu")[0], expected)


@pytest.mark.parametrize(
    "arguments, kind, message",
    [
        (dict(X=np.ones(3), k=1), cs.UsageError, r"X has shape \(3,\)"),
        (dict(X=np.ones((0, 3)), k=1), cs.UsageError, "a dimension is zero"),
        (dict(X=np.ones((9, 3)), k=0), cs.UsageError, "k is 0"),
        (dict(X=np.ones((9, 3)), k=1, metric="manhattan"), cs.UsageError, "unknown metric 'manhattan'"),
        (dict(X=np.ones((9, 3)), k=1, queries=np.ones((2, 4))), cs.UsageError, r"queries has shape \[2, 4\]"),
        (dict(X=np.array([["a", "b"]]), k=1), cs.UsageError, "X holds"),
        (dict(X=[[1, 2], [3, np.nan]], k=1), cs.DataError, r"\[1, 1\] is not finite"),
        (dict(X=np.ones((9000, 2000)), k=1, memory="64MiB"), cs.OutOfMemoryError, "9000 vectors of 2000 values"),
    ],
)
def test_wrong_arguments(arguments, kind, message):
    with pytest.raises(kind, match=message):
        cs.knn(device="cpu", **arguments)


def test_transformer_is_one_of_scikit_learns():
    pytest.importorskip("sklearn")
    from sklearn.utils.estimator_checks import check_estimator

    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's own, of checks that it skips
        check_estimator(cs.NNKTransformer(n_neighbors=4, device="cpu"))


def test_transformer_gives_the_graph(points):
    pytest.importorskip("sklearn")
    graph = cs.NNKTransformer(n_neighbors=8, device="cpu").fit_transform(points)
    expected = cs.nnk(points, 8, device="cpu").to_csr()
    assert graph.shape == (120, 120) and abs(graph - expected).max() < 1e-6
    assert graph.diagonal().sum() == 0
