//! Cross-correlation of all pairs of maps at all lags (docs/definitions.md#ncc), by Fourier transforms.
//!
//! 1. [`spectra`]: every map is padded and transformed, sixteen maps at once, one in each SIMD lane.
//! 2. [`search`]: the spectrum of one map is multiplied by those of sixteen others, transformed back, and searched
//!    for the largest correlation of each pair.
//!
//! Where only large correlations count, [`bound`] leaves out the pairs that cannot have one.
//!
//! [`fft`] transforms sixteen sequences at once; [`wide`] has the complex numbers.
//!
//! Transforms beat a matrix product per lag. For 160 maps of 16x16 the products would take 1.7 GFLOP, which a core
//! computes in about the 10 ms (0.3 GFLOP) that all of this takes, and the advantage grows with the size of the
//! maps.

mod bound;
mod fft;
mod search;
mod spectra;
mod wide;

use super::Tensor;
use crate::Result;
use crate::ops::check_correlate;
use crate::ops::net::Correlation;
use crate::simd::{F32_LANES, InstructionSet};
use bound::Bound;
use fft::length;
use rayon::prelude::*;
use search::{Best, Pairs};
use spectra::Plan;

/// Correlates every map of `x [P, I, h, w]` with every map of `y [Q, I, h', w']`, or with those of `x` if there is no
/// `y`. Correlations of one lag are summed over the inputs `I`. With `least`, pairs whose largest correlation is below it
/// may come back as 0.
///
/// # Errors
/// Those of [`check_correlate`].
pub(super) fn correlate(
    x: &Tensor,
    y: Option<&Tensor>,
    least: Option<f32>,
    set: InstructionSet,
) -> Result<Correlation> {
    let [p, q] = check_correlate(x.shape(), y.unwrap_or(x).shape())?;
    let mut out = Correlation::zeros(p[0], q[0]);
    if p[0] * q[0] == 0 {
        return Ok(out);
    }
    let padded = [length(p[2] + q[2] - 1), length(p[3] + q[3] - 1)];
    let plan = Plan::new(padded);
    let left = plan.spectra(x, p, set);
    let right = y.map(|y| plan.spectra(y, q, set));
    let symmetric = right.is_none();
    let right = right.as_ref().unwrap_or(&left);
    let blocks = q[0].div_ceil(F32_LANES);
    let tasks: Vec<(usize, usize)> = (0..blocks)
        .flat_map(|b| (0..p[0]).map(move |i| (i, b)))
        .filter(|&(i, b)| !symmetric || (b + 1) * F32_LANES > i)
        .collect();
    let scale = 1.0 / (padded[0] * padded[1]) as f32;
    let bound = least.map(|least| Bound::new(&plan, &left, right, least / scale));
    let tasks: Vec<(usize, usize)> = match &bound {
        Some(bound) => (tasks.into_par_iter())
            .filter(|&(i, block)| bound.may_reach(i, block, set))
            .collect(),
        None => tasks,
    };
    let found: Vec<Best> = tasks
        .par_iter()
        .map_init(
            || plan.scratch(),
            |scratch, &(i, block)| {
                set.run(Pairs {
                    plan: &plan,
                    inputs: p[1],
                    sizes: [left.size, right.size],
                    map: left.map(i),
                    block: right.block(block),
                    scratch,
                })
            },
        )
        .collect();
    for ((i, block), best) in tasks.into_iter().zip(found) {
        for lane in 0..F32_LANES.min(q[0] - block * F32_LANES) {
            let j = block * F32_LANES + lane;
            if symmetric && j < i {
                continue;
            }
            let max = best.max[lane] * scale;
            let abs = max.max(-best.min[lane] * scale);
            let lag = best.lag[lane];
            out.set(i, j, max, abs, lag);
            if symmetric && j > i {
                out.set(j, i, max, abs, [-lag[0], -lag[1]]);
            }
        }
    }
    Ok(out)
}
