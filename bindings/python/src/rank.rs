//! `rank`: the order in which to keep the channels of a layer.

use crate::call::{Settings, long};
use chanscope::measure::rank::{RankInput, RankOptions, Similarity, rank as measure};
use ndarray::ArrayView2;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Order, live channels, representatives and their similarities, and coverage, as indices into the matrix.
type Found = (
    Vec<usize>,
    usize,
    Vec<Option<usize>>,
    Vec<Option<f64>>,
    Vec<f64>,
);

/// Ranks the channels of a layer by a matrix of float64, given by its bytes, which has a row for each of `dead`.
#[pyfunction]
#[pyo3(signature = (matrix, dead, by, settings))]
pub fn rank(
    py: Python<'_>,
    matrix: &Bound<'_, PyBytes>,
    dead: Vec<bool>,
    by: String,
    settings: Settings,
) -> PyResult<Found> {
    let (values, _) = matrix.as_bytes().as_chunks::<8>();
    let values: Vec<f64> = values.iter().map(|&b| f64::from_ne_bytes(b)).collect();
    let found = long(py, settings, move |ctx| {
        let by: Similarity = by.parse()?;
        let n = dead.len();
        let matrix = ArrayView2::from_shape((n, values.len() / n.max(1)), &values)
            .map_err(|e| chanscope::Error::argument("matrix", values.len(), e.to_string()))?;
        let input = RankInput {
            matrix,
            dead: &dead,
        };
        Ok(measure(
            ctx,
            &input,
            &RankOptions::default().with_similarity(by),
        )?)
    })?;
    let representatives = || found.representatives.iter();
    Ok((
        found.order.clone(),
        found.live,
        representatives().map(|r| r.map(|r| r.channel)).collect(),
        representatives().map(|r| r.map(|r| r.similarity)).collect(),
        found.coverage.clone(),
    ))
}
