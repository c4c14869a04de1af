//! Input channels separate: linear in the number of filters, eight input channels at a time.

use super::{FilterScratch, Job, Lags, autocorrelate, inner, reserve};
use crate::cpu::f64x8::{self, F64x8, Isa, LANES, Pack, Work};
use crate::ops::filters::Pairs;
use rayon::prelude::*;
#[allow(unused_imports, reason = "methods until they are operators")]
use std::ops::{Add as _, Div as _, Mul as _, Sub as _};

/// Filters whose sums are kept at a time: with their weights they fit a second-level cache.
const GROUP: usize = 32;

/// Leaves in `scratch.values` what each block of input channels adds; fills the gradient.
pub(super) fn similarity(job: &Job<'_>, scratch: &mut FilterScratch) {
    let shape = job.shape;
    let lags = Lags {
        h: shape.height,
        w: shape.width,
    };
    let blocks = shape.channels.div_ceil(LANES);
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
                    first: (t * share + i) * LANES,
                    work,
                };
                *value = f64x8::dispatch(job.set, block);
            }
        });
}

/// Eight input channels from `first` on.
struct Block<'a> {
    job: &'a Job<'a>,
    lags: Lags,
    first: usize,
    work: &'a mut [Pack],
}

impl Work for Block<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<I: Isa>(self) -> f64 {
        // Constants unroll the loops of the common sizes.
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
fn run<I: Isa>(block: Block<'_>, lags: Lags) -> f64 {
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
    rest.fill(Pack::ZERO);
    let mut value = I::F64::splat(0.0);
    // From the last filter down: what the later ones add up to, kept where a group ends.
    for i in (0..filters).rev() {
        if job.gradient.is_some() && (i + 1 == filters || (i + 1) % GROUP == 0) {
            later[i / GROUP * half..][..half].copy_from_slice(rest);
        }
        load(job, i, first, map);
        autocorrelate::<I>(map, lags, own);
        value = value.add(inner::<I>(own, rest));
        join::<I>(job, own, rest);
    }
    if job.gradient.is_some() {
        // From the first group up: the earlier filters, and with both sums the gradient.
        rest.fill(Pack::ZERO);
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
                    I::F64::load(a).add(I::F64::load(b)).store(a);
                }
                mirror(rests, all);
                correlate::<I>(job, i, first, lags, map, all);
                join::<I>(job, own, rest);
            }
        }
    }
    value.sum()
}

/// Adds a filter to those its neighbours meet.
#[inline(always)]
fn join<I: Isa>(job: &Job<'_>, own: &[Pack], rest: &mut [Pack]) {
    match job.params.pairs {
        Pairs::All => {
            for (rest, own) in rest.iter_mut().zip(own) {
                I::F64::load(rest).add(I::F64::load(own)).store(rest);
            }
        }
        Pairs::Adjacent => rest.copy_from_slice(own),
    }
}

/// Filter `i` at eight input channels, a channel a lane; 0 past the last.
#[inline(always)]
fn load(job: &Job<'_>, i: usize, first: usize, map: &mut [Pack]) {
    let (channels, area) = (job.shape.channels, map.len());
    let lanes = LANES.min(channels - first);
    let weights = &job.weights[(i * channels + first) * area..][..lanes * area];
    if lanes < LANES {
        map.fill(Pack::ZERO);
    }
    for (lane, weights) in weights.chunks_exact(area).enumerate() {
        for (map, &k) in map.iter_mut().zip(weights) {
            map.0[lane] = f64::from(k);
        }
    }
}

/// All lags from the half that is kept.
#[inline(always)]
fn mirror(half: &[Pack], all: &mut [Pack]) {
    let middle = half.len() - 1;
    for (l, &a) in half.iter().enumerate() {
        all[middle + l] = a;
        all[middle - l] = a;
    }
}

/// `dL/dK_i[n] = 2 sum_m rest[m - n] K_i[m]` of eight input channels.
#[inline(always)]
fn correlate<I: Isa>(
    job: &Job<'_>,
    i: usize,
    first: usize,
    lags: Lags,
    map: &[Pack],
    all: &[Pack],
) {
    let Some(gradient) = job.gradient else { return };
    let (channels, area) = (job.shape.channels, lags.h * lags.w);
    let lanes = LANES.min(channels - first);
    // SAFETY: filter i at these channels belongs to this block alone.
    let out = unsafe { gradient.part((i * channels + first) * area, lanes * area) };
    for ny in 0..lags.h {
        for nx in 0..lags.w {
            let mut sum = I::F64::splat(0.0);
            for my in 0..lags.h {
                let from = lags.between((ny, nx), (my, 0));
                for (mx, rest) in all[from..from + lags.w].iter().enumerate() {
                    let k = I::F64::load(&map[my * lags.w + mx]);
                    sum = k.mul_add(I::F64::load(rest), sum);
                }
            }
            let mut lane = Pack::ZERO;
            sum.add(sum).store(&mut lane);
            for (l, &g) in lane.0[..lanes].iter().enumerate() {
                out[l * area + ny * lags.w + nx] = g as f32;
            }
        }
    }
}
