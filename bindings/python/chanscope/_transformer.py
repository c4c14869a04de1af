"""NNK graphs as a transformer of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._call import integer
from ._graph import nnk

try:
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:  # scikit-learn is not needed for the methods themselves
    BaseEstimator = TransformerMixin = object
    check_is_fitted = validate_data = None


class NNKTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc,valid-type]
    """Transforms vectors into rows of a sparse NNK graph over the vectors that it was fitted to.

    `fit(X)` keeps the points; `transform(X)` returns a scipy.sparse matrix [Q, N] of float64 weights, as
    KNeighborsTransformer of scikit-learn does, with fewer neighbours: those that non-negative kernel regression needs. A
    point at distance 0 from a query is no candidate (``identical="replace"``), so that the graph of the fitted points
    themselves has no loops.

    `n_neighbors`: candidates per query. `kernel`, `sigma`, `device`, `memory`, `threads`: as of :func:`chanscope.nnk`.
    Where there are fewer points than candidates, all points are candidates.
    """

    def __init__(
        self,
        n_neighbors: int = 25,
        *,
        kernel: str = "gaussian",
        sigma: float | str = "kth/3",
        device: str = "auto",
        memory: int | str | None = None,
        threads: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.kernel = kernel
        self.sigma = sigma
        self.device = device
        self.memory = memory
        self.threads = threads

    def fit(self, X: Any, y: Any = None) -> NNKTransformer:
        """Keeps the points `X` [N, D]; `y` is ignored."""
        integer("n_neighbors", self.n_neighbors, least=1)
        X = self._checked(X, reset=True)
        self._points = np.array(X, dtype=np.float32, order="C")
        self.n_samples_fit_ = len(self._points)
        self.n_features_in_ = self._points.shape[1]
        return self

    def transform(self, X: Any) -> Any:
        """The rows of the graph of `X` [Q, D] over the points: a scipy.sparse.csr_matrix [Q, N]."""
        from scipy.sparse import csr_matrix

        if check_is_fitted is not None:
            check_is_fitted(self)
        queries = self._checked(X, reset=False).astype(np.float32)
        graph = nnk(
            self._points,
            min(self.n_neighbors, self.n_samples_fit_),
            queries=queries,
            kernel=self.kernel,
            sigma=self.sigma,
            identical="replace",
            device=self.device,
            memory=self.memory,
            threads=self.threads,
            progress=False,
        )
        return csr_matrix(graph.to_csr().astype(np.float64))

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Fits to `X` and returns the graph of its own rows."""
        return self.fit(X, y).transform(X)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """A name for each column, that is for each fitted point."""
        return np.array([f"nnktransformer{i}" for i in range(self.n_samples_fit_)], dtype=object)

    if BaseEstimator is object:

        def get_params(self, deep: bool = True) -> dict[str, Any]:
            """The arguments of the constructor."""
            names = ("n_neighbors", "kernel", "sigma", "device", "memory", "threads")
            return {name: getattr(self, name) for name in names}

        def set_params(self, **params: Any) -> NNKTransformer:
            """Changes arguments of the constructor."""
            for name, value in params.items():
                if name not in self.get_params():
                    raise ValueError(f"NNKTransformer has no parameter {name!r}")
                setattr(self, name, value)
            return self

    def _checked(self, X: Any, reset: bool) -> np.ndarray:
        if validate_data is not None:
            return validate_data(self, X, reset=reset, dtype=[np.float32, np.float64])
        return np.asarray(X)
