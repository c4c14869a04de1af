//! Value, gradient and pairs for input channels that are summed before squaring. Every pair is correlated, eight
//! partners at a time, one in each SIMD lane.

use super::{FilterScratch, Job, Lags, reserve};
use crate::cpu::disjoint::Disjoint;
use crate::ops::filters::{FilterParams, FilterShape, InputChannels, Pairs};
use crate::simd::{F64_LANES, F64x8, InstructionSet, LineF64, Simd, SimdKernel};
use rayon::prelude::*;
use std::ops::Range;

/// Writes the contribution of each filter to `scratch.values`, and fills the gradient if it is wanted.
pub(super) fn similarity(job: &Job<'_>, scratch: &mut FilterScratch) {
    let shape = job.shape;
    let filter = shape.channels * shape.area();
    let blocks = shape.filters.div_ceil(F64_LANES);
    let threads = rayon::current_num_threads().min(shape.filters);
    let room = filter + lags(shape).all();
    reserve(&mut scratch.work, blocks * filter + threads * room);
    scratch.values.clear();
    scratch.values.resize(shape.filters, 0.0);
    let (partners, works) = scratch.work.split_at_mut(blocks * filter);
    transpose(job.weights, shape, partners);
    let partners = &*partners;
    // All filters cost about the same, so each thread takes an equal share.
    let share = shape.filters.div_ceil(threads);
    let values = scratch.values.par_chunks_mut(share);
    let works = works.par_chunks_mut(room);
    values
        .zip(works)
        .enumerate()
        .for_each(|(t, (values, work))| {
            for (a, value) in values.iter_mut().enumerate() {
                let row = Row {
                    job,
                    partners,
                    filter: t * share + a,
                    work,
                    pairs: None,
                };
                *value = job.set.run(row);
            }
        });
}

/// Computes `P_ij = sum_b R_ij[b]^2`, `[M, M]`.
pub(super) fn pairs(weights: &[f32], shape: FilterShape, set: InstructionSet) -> Vec<f64> {
    let filter = shape.channels * shape.area();
    let mut partners = vec![LineF64::ZERO; shape.filters.div_ceil(F64_LANES) * filter];
    transpose(weights, shape, &mut partners);
    let job = Job {
        weights,
        shape,
        params: FilterParams {
            pairs: Pairs::All,
            input_channels: InputChannels::Summed,
        },
        gradient: None::<&Disjoint<'_>>,
        set,
    };
    let mut out = vec![0.0; shape.filters * shape.filters];
    out.par_chunks_mut(shape.filters).enumerate().for_each_init(
        || vec![LineF64::ZERO; lags(shape).all()],
        |work, (i, pairs)| {
            let row = Row {
                job: &job,
                partners: &partners,
                filter: i,
                work,
                pairs: Some(pairs),
            };
            set.run(row);
        },
    );
    super::pairs::mirror(&mut out, shape.filters);
    out
}

fn lags(shape: FilterShape) -> Lags {
    Lags {
        h: shape.height,
        w: shape.width,
    }
}

/// Transposes the filters to lines `[blocks, C h w]`, one filter in each lane; 0 past the last filter.
fn transpose(weights: &[f32], shape: FilterShape, out: &mut [LineF64]) {
    let filter = shape.channels * shape.area();
    let blocks = out
        .par_chunks_mut(filter)
        .zip(weights.par_chunks(F64_LANES * filter));
    blocks.for_each(|(out, weights)| {
        out.fill(LineF64::ZERO);
        for (lane, weights) in weights.chunks_exact(filter).enumerate() {
            for (out, &k) in out.iter_mut().zip(weights) {
                out.0[lane] = f64::from(k);
            }
        }
    });
}

/// Kernel: one filter with all its partners. Returns the sum over the pairs with later filters.
struct Row<'a, 'p> {
    job: &'a Job<'a>,
    partners: &'a [LineF64],
    filter: usize,
    /// Working memory: correlations, and the gradient if it is wanted.
    work: &'a mut [LineF64],
    /// The filter's row of the pair matrix, to be filled from the diagonal on.
    pairs: Option<&'p mut [f64]>,
}

impl SimdKernel for Row<'_, '_> {
    type Output = f64;

    #[inline(always)]
    fn run<I: Simd, const R: usize, const V: usize>(self) -> f64 {
        let Self {
            job,
            partners,
            filter: i,
            work,
            mut pairs,
        } = self;
        let (shape, lags) = (job.shape, lags(job.shape));
        let size = shape.channels * shape.area();
        let own = &job.weights[i * size..][..size];
        let (lag, gradient) = work.split_at_mut(lags.all());
        if job.gradient.is_some() {
            gradient[..size].fill(LineF64::ZERO);
        }
        let mut value = 0.0;
        for block in wanted(job, i, pairs.is_some()) {
            let partner = &partners[block * size..][..size];
            correlate::<I>(own, partner, lags, lag);
            let mut squares = I::F64x8::splat(0.0);
            for r in lag.iter() {
                squares = I::F64x8::load(r).mul_add(I::F64x8::load(r), squares);
            }
            let mut p = LineF64::ZERO;
            squares.store(&mut p);
            let lanes = block * F64_LANES..(block * F64_LANES + F64_LANES).min(shape.filters);
            if let Some(pairs) = pairs.as_deref_mut() {
                for (out, p) in pairs[lanes].iter_mut().zip(p.0) {
                    *out = p;
                }
                continue;
            }
            for (lane, j) in lanes.enumerate() {
                if !counts(job, i, j) {
                    for r in lag.iter_mut() {
                        r.0[lane] = 0.0;
                    }
                } else if j > i {
                    value += p.0[lane];
                }
            }
            if job.gradient.is_some() {
                spread::<I>(partner, lags, lag, &mut gradient[..size]);
            }
        }
        if let Some(out) = job.gradient {
            // SAFETY: only this row writes the gradient of filter `i`.
            let out = unsafe { out.part(i * size, size) };
            for (out, g) in out.iter_mut().zip(gradient.iter()) {
                *out = (2.0 * I::F64x8::load(g).sum()) as f32;
            }
        }
        value
    }
}

/// The blocks of partners that matter to filter `i`.
#[inline(always)]
fn wanted(job: &Job<'_>, i: usize, pairs: bool) -> Range<usize> {
    let blocks = job.shape.filters.div_ceil(F64_LANES);
    match job.params.pairs {
        Pairs::All if pairs || job.gradient.is_none() => i / F64_LANES..blocks,
        Pairs::All => 0..blocks,
        Pairs::Adjacent => i.saturating_sub(1) / F64_LANES..((i + 1) / F64_LANES + 1).min(blocks),
    }
}

/// Whether the pair `(i, j)` counts.
#[inline(always)]
fn counts(job: &Job<'_>, i: usize, j: usize) -> bool {
    match job.params.pairs {
        Pairs::All => i != j,
        Pairs::Adjacent => i.abs_diff(j) == 1,
    }
}

/// Correlates a filter with eight partners: `R[lag] = sum_c sum_n own[n] partner[n + lag]`.
#[inline(always)]
fn correlate<I: Simd>(own: &[f32], partner: &[LineF64], lags: Lags, out: &mut [LineF64]) {
    let area = lags.h * lags.w;
    out.fill(LineF64::ZERO);
    for (own, partner) in own.chunks_exact(area).zip(partner.chunks_exact(area)) {
        for ny in 0..lags.h {
            for nx in 0..lags.w {
                let k = I::F64x8::splat(f64::from(own[ny * lags.w + nx]));
                for my in 0..lags.h {
                    let from = lags.between((ny, nx), (my, 0));
                    let row = &partner[my * lags.w..][..lags.w];
                    for (r, m) in out[from..from + lags.w].iter_mut().zip(row) {
                        k.mul_add(I::F64x8::load(m), I::F64x8::load(r)).store(r);
                    }
                }
            }
        }
    }
}

/// Adds `sum_lag R[lag] partner[n + lag]` to the gradient of a filter, for eight partners, one in each lane.
#[inline(always)]
fn spread<I: Simd>(partner: &[LineF64], lags: Lags, lag: &[LineF64], out: &mut [LineF64]) {
    let area = lags.h * lags.w;
    for (out, partner) in out.chunks_exact_mut(area).zip(partner.chunks_exact(area)) {
        for ny in 0..lags.h {
            for nx in 0..lags.w {
                let mut sum = I::F64x8::load(&out[ny * lags.w + nx]);
                for my in 0..lags.h {
                    let from = lags.between((ny, nx), (my, 0));
                    let row = &partner[my * lags.w..][..lags.w];
                    for (r, m) in lag[from..from + lags.w].iter().zip(row) {
                        sum = I::F64x8::load(r).mul_add(I::F64x8::load(m), sum);
                    }
                }
                sum.store(&mut out[ny * lags.w + nx]);
            }
        }
    }
}
