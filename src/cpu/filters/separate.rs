//! Value and gradient for separate input channels, eight input channels at a time, one in each SIMD lane.
//!
//! For filter `i` let `rest_i` be the sum of the autocorrelations of its partners: of all other filters, or of its
//! neighbours. A pass from the last filter down has the sum over the later filters at hand, and gives the value. For
//! the gradient, a second pass from the first filter up has the sum over the earlier ones; the sums over the later ones
//! are computed again, one group of [`GROUP`] filters at a time, from what the first pass kept at the ends of groups.

use super::{FilterScratch, Job, Lags, autocorrelate, inner, reserve};
use crate::ops::filters::Pairs;
use crate::simd::{F64_LANES, F64x8, LineF64, Simd, SimdKernel};
use rayon::prelude::*;

/// Filters whose sums are kept at a time. With their weights they fit the L2 cache.
const GROUP: usize = 32;

/// Writes the contribution of each block of eight input channels to `scratch.values`, and fills the gradient if it is
/// wanted.
pub(super) fn similarity(job: &Job<'_>, scratch: &mut FilterScratch) {
    let shape = job.shape;
    let lags = Lags {
        h: shape.height,
        w: shape.width,
    };
    let blocks = shape.channels.div_ceil(F64_LANES);
    let threads = rayon::current_num_threads().min(blocks);
    let kept = match job.gradient {
        Some(_) => {
            let groups = shape.filters.div_ceil(GROUP);
            groups * lags.half() + GROUP * (2 * lags.half() + shape.area())
        }
        None => 0,
    };
    let room = kept + 2 * lags.half() + lags.all() + shape.area();
    reserve(&mut scratch.work, threads * room);
    scratch.values.clear();
    scratch.values.resize(blocks, 0.0);
    let share = blocks.div_ceil(threads);
    let values = scratch.values.par_chunks_mut(share);
    let works = scratch.work.par_chunks_mut(room);
    values
        .zip(works)
        .enumerate()
        .for_each(|(t, (values, work))| {
            for (i, value) in values.iter_mut().enumerate() {
                let block = Block {
                    job,
                    lags,
                    first: (t * share + i) * F64_LANES,
                    work,
                };
                *value = job.set.run(block);
            }
        });
}

/// Kernel: the eight input channels from `first` on. Returns their contribution.
struct Block<'a> {
    job: &'a Job<'a>,
    lags: Lags,
    first: usize,
    work: &'a mut [LineF64],
}

impl SimdKernel for Block<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<I: Simd, const R: usize, const V: usize>(self) -> f64 {
        // Constant sizes let the compiler unroll the loops of common kernels.
        match (self.lags.h, self.lags.w) {
            (1, 1) => run::<I>(self, Lags { h: 1, w: 1 }),
            (3, 3) => run::<I>(self, Lags { h: 3, w: 3 }),
            (5, 5) => run::<I>(self, Lags { h: 5, w: 5 }),
            _ => {
                let lags = self.lags;
                run::<I>(self, lags)
            }
        }
    }
}

#[inline(always)]
fn run<I: Simd>(block: Block<'_>, lags: Lags) -> f64 {
    let Block {
        job, first, work, ..
    } = block;
    let (filters, half, area) = (job.shape.filters, lags.half(), lags.h * lags.w);
    let (map, work) = work.split_at_mut(area);
    let (own, work) = work.split_at_mut(half);
    let (rest, work) = work.split_at_mut(half);
    let (all, kept) = work.split_at_mut(lags.all());
    let groups = filters.div_ceil(GROUP);
    let (later, kept) = kept.split_at_mut(match job.gradient {
        Some(_) => groups * half,
        None => 0,
    });
    rest.fill(LineF64::ZERO);
    let mut value = I::F64x8::splat(0.0);
    // From the last filter down. `rest` is the sum over the later filters, and is kept where a group ends.
    for i in (0..filters).rev() {
        if job.gradient.is_some() && (i + 1 == filters || (i + 1) % GROUP == 0) {
            later[i / GROUP * half..][..half].copy_from_slice(rest);
        }
        load(job, i, first, map);
        autocorrelate::<I>(map, lags, own);
        value = value + inner::<I>(own, rest);
        join::<I>(job, own, rest);
    }
    if job.gradient.is_some() {
        // From the first group up. `rest` is now the sum over the earlier filters; both sums give the gradient.
        rest.fill(LineF64::ZERO);
        let (maps, kept) = kept.split_at_mut(GROUP * area);
        let (owns, rests) = kept.split_at_mut(GROUP * half);
        for (group, later) in later.chunks_exact_mut(half).enumerate() {
            let members = group * GROUP..(group * GROUP + GROUP).min(filters);
            for (at, i) in members.clone().enumerate().rev() {
                let (map, own) = (
                    &mut maps[at * area..][..area],
                    &mut owns[at * half..][..half],
                );
                load(job, i, first, map);
                autocorrelate::<I>(map, lags, own);
                rests[at * half..][..half].copy_from_slice(later);
                join::<I>(job, own, later);
            }
            for (at, i) in members.enumerate() {
                let (map, own) = (&maps[at * area..][..area], &owns[at * half..][..half]);
                let rests = &mut rests[at * half..][..half];
                for (a, b) in rests.iter_mut().zip(rest.iter()) {
                    (I::F64x8::load(a) + I::F64x8::load(b)).store(a);
                }
                mirror(rests, all);
                correlate::<I>(job, i, first, lags, map, all);
                join::<I>(job, own, rest);
            }
        }
    }
    value.sum()
}

/// Adds the autocorrelations of a filter to those that the next filter's partners add up to.
#[inline(always)]
fn join<I: Simd>(job: &Job<'_>, own: &[LineF64], rest: &mut [LineF64]) {
    match job.params.pairs {
        Pairs::All => {
            for (rest, own) in rest.iter_mut().zip(own) {
                (I::F64x8::load(rest) + I::F64x8::load(own)).store(rest);
            }
        }
        Pairs::Adjacent => rest.copy_from_slice(own),
    }
}

/// Loads filter `i` at the eight input channels from `first` on, one in each lane; 0 past the last channel.
#[inline(always)]
fn load(job: &Job<'_>, i: usize, first: usize, map: &mut [LineF64]) {
    let (channels, area) = (job.shape.channels, map.len());
    let lanes = F64_LANES.min(channels - first);
    let weights = &job.weights[(i * channels + first) * area..][..lanes * area];
    if lanes < F64_LANES {
        map.fill(LineF64::ZERO);
    }
    for (lane, weights) in weights.chunks_exact(area).enumerate() {
        for (map, &k) in map.iter_mut().zip(weights) {
            map.0[lane] = f64::from(k);
        }
    }
}

/// Expands the lags from `(0, 0)` on to all lags.
#[inline(always)]
fn mirror(half: &[LineF64], all: &mut [LineF64]) {
    let middle = half.len() - 1;
    for (l, &a) in half.iter().enumerate() {
        all[middle + l] = a;
        all[middle - l] = a;
    }
}

/// Writes the gradient `dL/dK_i[n] = 2 sum_m rest[m - n] K_i[m]` of eight input channels. `all` holds all lags of
/// `rest`.
#[inline(always)]
fn correlate<I: Simd>(
    job: &Job<'_>,
    i: usize,
    first: usize,
    lags: Lags,
    map: &[LineF64],
    all: &[LineF64],
) {
    let Some(gradient) = job.gradient else { return };
    let (channels, area) = (job.shape.channels, lags.h * lags.w);
    let lanes = F64_LANES.min(channels - first);
    // SAFETY: only this block writes the gradient of these input channels.
    let out = unsafe { gradient.part((i * channels + first) * area, lanes * area) };
    for ny in 0..lags.h {
        for nx in 0..lags.w {
            let mut sum = I::F64x8::splat(0.0);
            for my in 0..lags.h {
                let from = lags.between((ny, nx), (my, 0));
                for (mx, rest) in all[from..from + lags.w].iter().enumerate() {
                    let k = I::F64x8::load(&map[my * lags.w + mx]);
                    sum = k.mul_add(I::F64x8::load(rest), sum);
                }
            }
            let mut lane = LineF64::ZERO;
            (sum + sum).store(&mut lane);
            for (l, &g) in lane.0[..lanes].iter().enumerate() {
                out[l * area + ny * lags.w + nx] = g as f32;
            }
        }
    }
}
