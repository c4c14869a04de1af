//! Cosines of flattened filters: kernel orthogonality, reported beside.

use super::FilterBank;
use crate::control::Control;
use crate::ops::{Backend, GramKind};
use crate::{Error, Result};
use ndarray::Array2;

/// Filters of a block: a Gram matrix of two of them is small beside their weights.
const BLOCK: usize = 1024;

/// Mean absolute cosine of different filters, zero ones left out, and with `matrix` all cosines, NaN where
/// a filter is zero.
pub(super) fn cosines<B: Backend>(
    backend: &B,
    bank: &FilterBank<'_>,
    matrix: bool,
    control: &Control<'_>,
) -> Result<(Option<f64>, Option<Array2<f64>>)> {
    let (m, size) = (bank.shape.filters, bank.shape.channels * bank.shape.area());
    let zero = bank.zero();
    let mut all = matrix.then(|| Array2::from_elem((m, m), f64::NAN));
    let mut sum = 0.0;
    for first in (0..m).step_by(BLOCK) {
        for second in (first..m).step_by(BLOCK) {
            control.check()?;
            let blocks = match first == second {
                true => vec![first],
                false => vec![first, second],
            };
            let rows = blocks.iter().flat_map(|&b| b..(b + BLOCK).min(m));
            let rows: Vec<usize> = rows.collect();
            let units = units(bank, &rows, size);
            let x = backend.upload(&[1, rows.len(), size], &units)?;
            let gram = backend.download(&backend.gram(&x, GramKind::Linear)?)?;
            for (a, &i) in rows.iter().enumerate() {
                // Of two blocks only what lies between them; inside a block the pairs once.
                let others = match first == second {
                    true => a..rows.len(),
                    false if i >= second => break,
                    false => BLOCK..rows.len(),
                };
                for (&j, &cosine) in rows[others.clone()]
                    .iter()
                    .zip(&gram[a * rows.len()..][others])
                {
                    if zero.binary_search(&i).is_ok() || zero.binary_search(&j).is_ok() {
                        continue;
                    }
                    let cosine = match i == j {
                        true => 1.0,
                        false => f64::from(cosine).clamp(-1.0, 1.0),
                    };
                    if let Some(all) = &mut all {
                        all[[i, j]] = cosine;
                        all[[j, i]] = cosine;
                    }
                    if i != j {
                        sum += cosine.abs();
                    }
                }
            }
        }
    }
    let live = (m - zero.len()) as f64;
    let mean = (live >= 2.0).then(|| sum / (live * (live - 1.0) / 2.0));
    if mean.is_some_and(|m| !m.is_finite()) {
        return Err(Error::NonFinite {
            what: format!("cosines of the filters of layer '{}'", bank.name),
            at: vec![],
            advice: "scale the weights down",
        });
    }
    Ok((mean, all))
}

/// Filters scaled to norm 1; zero ones stay.
fn units(bank: &FilterBank<'_>, rows: &[usize], size: usize) -> Vec<f32> {
    let mut units = Vec::with_capacity(rows.len() * size);
    for &i in rows {
        let filter = &bank.weights[i * size..][..size];
        let norm = norm(filter);
        let scale = if norm > 0.0 { norm.recip() } else { 0.0 };
        units.extend(filter.iter().map(|&k| (f64::from(k) * scale) as f32));
    }
    units
}

/// Euclidean norm.
pub(super) fn norm(filter: &[f32]) -> f64 {
    let squares = filter.iter().map(|&k| f64::from(k) * f64::from(k));
    squares.sum::<f64>().sqrt()
}
