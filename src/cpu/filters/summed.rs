//! Input channels summed before squaring: every pair is correlated, eight partners at a time.

use super::{FilterScratch, Job, Lags, reserve};
use crate::cpu::disjoint::Disjoint;
use crate::cpu::f64x8::{self, F64x8, Isa, LANES, Pack, Work};
use crate::cpu::simd::InstructionSet;
use crate::ops::filters::{FilterParams, FilterShape, InputChannels, Pairs};
use rayon::prelude::*;
use std::ops::Range;

/// Leaves in `scratch.values` what each filter adds; fills the gradient.
pub(super) fn similarity(job: &Job<'_>, scratch: &mut FilterScratch) {
    let shape = job.shape;
    let filter = shape.channels * shape.area();
    let blocks = shape.filters.div_ceil(LANES);
    let threads = rayon::current_num_threads().min(shape.filters);
    let room = filter + lags(shape).all();
    reserve(&mut scratch.work, blocks * filter + threads * room);
    scratch.values.clear();
    scratch.values.resize(shape.filters, 0.0);
    let (partners, works) = scratch.work.split_at_mut(blocks * filter);
    transpose(job.weights, shape, partners);
    let partners = &*partners;
    // Filters are dealt out one by one: all cost the same.
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
                *value = f64x8::dispatch(job.set, row);
            }
        });
}

/// `P_ij = sum_b R_ij[b]^2`, `[M, M]`.
pub(super) fn pairs(weights: &[f32], shape: FilterShape, set: InstructionSet) -> Vec<f64> {
    let filter = shape.channels * shape.area();
    let mut partners = vec![Pack::ZERO; shape.filters.div_ceil(LANES) * filter];
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
        || vec![Pack::ZERO; lags(shape).all()],
        |work, (i, pairs)| {
            let row = Row {
                job: &job,
                partners: &partners,
                filter: i,
                work,
                pairs: Some(pairs),
            };
            f64x8::dispatch(set, row);
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

/// Filters as `[blocks, C h w]` packs, a filter a lane, 0 past the last.
fn transpose(weights: &[f32], shape: FilterShape, out: &mut [Pack]) {
    let filter = shape.channels * shape.area();
    let blocks = out
        .par_chunks_mut(filter)
        .zip(weights.par_chunks(LANES * filter));
    blocks.for_each(|(out, weights)| {
        out.fill(Pack::ZERO);
        for (lane, weights) in weights.chunks_exact(filter).enumerate() {
            for (out, &k) in out.iter_mut().zip(weights) {
                out.0[lane] = f64::from(k);
            }
        }
    });
}

/// One filter with all its partners.
struct Row<'a, 'p> {
    job: &'a Job<'a>,
    partners: &'a [Pack],
    filter: usize,
    /// Correlations, then where wanted the gradient.
    work: &'a mut [Pack],
    /// Row of the pair matrix, from the diagonal on.
    pairs: Option<&'p mut [f64]>,
}

impl Work for Row<'_, '_> {
    type Output = f64;

    /// What the pairs with later filters add to the value.
    #[inline(always)]
    fn run<I: Isa>(self) -> f64 {
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
            gradient[..size].fill(Pack::ZERO);
        }
        let mut value = 0.0;
        for block in wanted(job, i, pairs.is_some()) {
            let partner = &partners[block * size..][..size];
            correlate::<I>(own, partner, lags, lag);
            let mut squares = I::F64::splat(0.0);
            for r in lag.iter() {
                squares = I::F64::load(r).mul_add(I::F64::load(r), squares);
            }
            let mut p = Pack::ZERO;
            squares.store(&mut p);
            let lanes = block * LANES..(block * LANES + LANES).min(shape.filters);
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
            // SAFETY: filter i belongs to this row alone.
            let out = unsafe { out.part(i * size, size) };
            for (out, g) in out.iter_mut().zip(gradient.iter()) {
                *out = (2.0 * I::F64::load(g).sum()) as f32;
            }
        }
        value
    }
}

/// Blocks of partners to look at.
#[inline(always)]
fn wanted(job: &Job<'_>, i: usize, pairs: bool) -> Range<usize> {
    let blocks = job.shape.filters.div_ceil(LANES);
    match job.params.pairs {
        Pairs::All if pairs || job.gradient.is_none() => i / LANES..blocks,
        Pairs::All => 0..blocks,
        Pairs::Adjacent => i.saturating_sub(1) / LANES..((i + 1) / LANES + 1).min(blocks),
    }
}

#[inline(always)]
fn counts(job: &Job<'_>, i: usize, j: usize) -> bool {
    match job.params.pairs {
        Pairs::All => i != j,
        Pairs::Adjacent => i.abs_diff(j) == 1,
    }
}

/// `R[lag] = sum_c sum_n own[n] partner[n + lag]`.
#[inline(always)]
fn correlate<I: Isa>(own: &[f32], partner: &[Pack], lags: Lags, out: &mut [Pack]) {
    let area = lags.h * lags.w;
    out.fill(Pack::ZERO);
    for (own, partner) in own.chunks_exact(area).zip(partner.chunks_exact(area)) {
        for ny in 0..lags.h {
            for nx in 0..lags.w {
                let k = I::F64::splat(f64::from(own[ny * lags.w + nx]));
                for my in 0..lags.h {
                    let from = lags.between((ny, nx), (my, 0));
                    let row = &partner[my * lags.w..][..lags.w];
                    for (r, m) in out[from..from + lags.w].iter_mut().zip(row) {
                        k.mul_add(I::F64::load(m), I::F64::load(r)).store(r);
                    }
                }
            }
        }
    }
}

/// Adds `sum_lag R[lag] partner[n + lag]` to the gradient of `own`, a partner a lane.
#[inline(always)]
fn spread<I: Isa>(partner: &[Pack], lags: Lags, lag: &[Pack], out: &mut [Pack]) {
    let area = lags.h * lags.w;
    for (out, partner) in out.chunks_exact_mut(area).zip(partner.chunks_exact(area)) {
        for ny in 0..lags.h {
            for nx in 0..lags.w {
                let mut sum = I::F64::load(&out[ny * lags.w + nx]);
                for my in 0..lags.h {
                    let from = lags.between((ny, nx), (my, 0));
                    let row = &partner[my * lags.w..][..lags.w];
                    for (r, m) in lag[from..from + lags.w].iter().zip(row) {
                        sum = I::F64::load(r).mul_add(I::F64::load(m), sum);
                    }
                }
                sum.store(&mut out[ny * lags.w + nx]);
            }
        }
    }
}
