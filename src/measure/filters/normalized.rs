//! Mean of the normalised pair matrix, without the matrix.

use super::FilterBank;
use crate::Result;
use crate::ops::filters::{FilterOps, FilterParams, FilterShape, InputChannels, Pairs};
use rayon::prelude::*;

/// Mean of `P_ij / sqrt(P_ii P_jj)` over pairs of filters that are not zero.
///
/// `P_ij` is of second degree in each filter, so it is the value of filters scaled by `P_ii^(-1/4)`.
pub(super) fn mean<B: FilterOps>(
    backend: &B,
    bank: &FilterBank<'_>,
    input_channels: InputChannels,
    scratch: &mut B::FilterScratch,
) -> Result<Option<f64>> {
    let shape = bank.shape;
    let size = shape.channels * shape.area();
    let mut scaled = bank.weights.to_vec();
    let live: usize = (scaled.par_chunks_exact_mut(size))
        .map(|filter| {
            let itself = with_itself(filter, shape, input_channels);
            if itself == 0.0 {
                return 0;
            }
            let scale = itself.powf(-0.25);
            for k in filter {
                *k = (f64::from(*k) * scale) as f32;
            }
            1
        })
        .sum();
    if live < 2 {
        return Ok(None);
    }
    let params = FilterParams {
        pairs: Pairs::All,
        input_channels,
    };
    let sum = backend.similarity(&scaled, shape, params, None, scratch)?;
    Ok(Some(sum / (live as f64 * (live - 1) as f64 / 2.0)))
}

/// `P_ii` of one filter.
fn with_itself(filter: &[f32], shape: FilterShape, input_channels: InputChannels) -> f64 {
    let (h, w) = (shape.height, shape.width);
    let mut sum = 0.0;
    for dy in 0..h {
        for dx in 1 - w as isize..w as isize {
            // Half of the lags: the others mirror them.
            let twice = match (dy, dx) {
                (0, ..0) => continue,
                (0, 0) => 1.0,
                _ => 2.0,
            };
            let mut total = 0.0;
            for map in filter.chunks_exact(h * w) {
                let r = at_lag(map, (h, w), dy, dx);
                match input_channels {
                    InputChannels::Separate => sum += twice * r * r,
                    InputChannels::Summed => total += r,
                }
            }
            sum += twice * total * total;
        }
    }
    sum
}

/// `sum_n K[n] K[n + (dy, dx)]`.
fn at_lag(map: &[f32], (h, w): (usize, usize), dy: usize, dx: isize) -> f64 {
    let first = dx.min(0).unsigned_abs();
    let columns = first..w - dx.max(0).unsigned_abs();
    let rows = 0..h - dy;
    rows.map(|y| {
        let own = &map[y * w..][columns.clone()];
        let other = &map[(y + dy) * w..][columns.start.wrapping_add_signed(dx)..];
        let products = own.iter().zip(other);
        (products.map(|(&a, &b)| f64::from(a) * f64::from(b))).sum::<f64>()
    })
    .sum()
}
