"""Results as pandas frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ._redundancy import Redundancy


def pandas() -> Any:
    """The module pandas, or how to get it."""
    try:
        import pandas
    except ImportError:
        raise ImportError("to_frame() needs pandas: pip install 'chanscope[pandas]'") from None
    return pandas


def redundancy(results: Redundancy) -> Any:
    """A row for each layer and channel."""
    frames = []
    for layer in results.layers:
        columns: dict[str, Any] = {
            "layer": layer.name,
            "channel": layer.channels,
            "dead": np.isin(layer.channels, layer.dead_channels),
            "neighbors_mean": layer.neighbors_mean,
            "pca_dimension_mean": layer.pca_dimension_mean,
            "jaccard_mean": _off_diagonal_mean(layer.jaccard),
            "overlap_mean": _off_diagonal_mean(layer.overlap),
            "degenerate_queries": layer.degenerate_queries,
            "not_unique_queries": layer.not_unique_queries,
        }
        if layer.loo_error is not None:
            columns["loo_error"] = layer.loo_error
            columns["loo_soft_error"] = layer.loo_soft_error
        frames.append(pandas().DataFrame(columns))
    return pandas().concat(frames, ignore_index=True)


def _off_diagonal_mean(matrix: np.ndarray) -> np.ndarray:
    """For each channel, the mean over the other live channels; NaN where there is none."""
    others = np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix)
    count = np.sum(~np.isnan(others), axis=1)
    return np.where(count > 0, np.nansum(others, axis=1) / np.maximum(count, 1), np.nan)
