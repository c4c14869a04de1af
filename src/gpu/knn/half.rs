//! The search's filter on cooperative matrices: products of rows rounded to f16, summed in f32.
//!
//! For rows x and y, rounded to hx and hy, `x.y - hx.hy = x.(y - hy) + (x - hx).hy`. By Cauchy-Schwarz
//! the product is therefore off by at most `|x| |y - hy| + |x - hx| |hy|`. These norms are computed for
//! every row and rounded up. The filter subtracts this bound, and the bound of the device's rounding
//! errors in the sum ([`gamma`]), so a point that it rules out cannot be a candidate on any device. The
//! distances of the points that it notes are computed again in wide arithmetic, as after the f32 filter,
//! so the lists have the same bits.
//!
//! Where more points are noted than there is room for (tight clusters far from the centre), the f32
//! filter repeats that query's tile.
//!
//! Lower bounds of the cost for `g` groups of `Q` queries and `P` points of `d`: `2 g (Q + P) d` bytes
//! of packed rows, written once and read once; `2 g Q P d` operations on matrices; and `8 g Q P` bytes
//! through workgroup memory with five f32 operations per pair, because threads cannot read cooperative
//! matrices directly. On a card with 30 TB/s of workgroup memory the last bound dominates up to about d
//! = 64.

use super::kernels::{HALF, HalfParams, KnnParams, OVERFLOW, PACK, with_kernel};
use super::packing::pitch;
use super::rows::pack_params;
use super::{Candidates, Points};
use crate::Result;
use crate::gpu::context::Context;
use crate::gpu::cooperative::{Cooperative, SPEEDUP};
use crate::gpu::memory::{Buffer, Kind};
use crate::gpu::record::Recorder;
use std::ops::Range;

/// Rows packed for the filter.
pub(super) struct Packed {
    matrices: Cooperative,
    /// f16, `[groups, rows, 4 pitch]`.
    halves: Buffer,
    /// `[groups, rows, 4]`; `knn_pack.wgsl` describes the four numbers.
    bounds: Buffer,
}

/// Packs some rows of `of` in the frames of `frame`. `norms` are the norms of those rows.
pub(super) fn pack(
    context: &Context,
    matrices: Cooperative,
    of: &Points,
    frame: &Points,
    groups: Range<usize>,
    rows: Range<usize>,
    norms: &Buffer,
) -> Result<Packed> {
    let all = groups.len() as u64 * rows.len() as u64;
    let pitch = pitch(of.dim);
    let packed = Packed {
        matrices,
        halves: context.pool.get(Kind::Storage, all * pitch as u64 * 8)?,
        bounds: context.pool.get(Kind::Storage, all * 16)?,
    };
    let params = pack_params(of, &groups, &rows, pitch, all);
    let pipeline = context.pipeline(&PACK, &with_kernel(&[], of.kernel))?;
    let buffers = [
        of.raw.whole(),
        frame.frames.whole(),
        norms.whole(),
        packed.halves.whole(),
        packed.bounds.whole(),
    ];
    let work = of.dim as u64 * 12 + 512;
    let mut recorder = Recorder::new(context);
    recorder.dispatch(&pipeline, params, &buffers, all, work)?;
    recorder.submit()?;
    Ok(packed)
}

/// Operands and result of the filter of one pass.
pub(super) struct Half<'a> {
    pub(super) queries: &'a Packed,
    pub(super) points: &'a Packed,
    pub(super) survivors: &'a Buffer,
}

impl Half<'_> {
    /// Records the filter for one tile of points, and the marking of queries for which it noted too
    /// many.
    pub(super) fn filter(
        &self,
        context: &Context,
        recorder: &mut Recorder<'_>,
        params: &KnnParams,
        state: &Candidates,
    ) -> Result<()> {
        let dim = params.dim as usize;
        let mut half = HalfParams {
            pitch: pitch(dim) as u32,
            group_first: params.group_first,
            query_count: params.query_count,
            list_first: params.list_first,
            list_count: params.list_count,
            point_rows: params.point_rows,
            point_first: params.point_first,
            point_count: params.point_count,
            point_sample: params.point_sample,
            capacity: params.capacity,
            shrink: shrink(dim) as f32,
            gamma: gamma(dim) as f32,
            ..HalfParams::default()
        };
        let pipeline = context.pipeline(&HALF, &self.points.matrices.defines())?;
        let buffers = [
            self.queries.halves.whole(),
            self.points.halves.whole(),
            self.queries.bounds.whole(),
            self.points.bounds.whole(),
            state.progress.whole(),
            self.survivors.whole(),
        ];
        let block = self.points.matrices.block();
        let blocks = |n: u32| n.div_ceil(block as u32);
        let pairs = u64::from(blocks(params.query_count)) * u64::from(blocks(params.point_count));
        let all = u64::from(params.group_count) * pairs;
        let work = (block * block * (8 * pitch(dim) + 64)) as u64 / SPEEDUP;
        half.workgroups = u32::try_from(all).unwrap_or(u32::MAX);
        recorder.dispatch(&pipeline, half, &buffers, all, work)?;
        let pipeline = context.pipeline(&OVERFLOW, &[])?;
        let lists = params.group_count as usize * params.query_count as usize;
        half.workgroups = lists as u32;
        let buffers = [state.progress.whole()];
        recorder.dispatch(&pipeline, half, &buffers, OVERFLOW.workgroups(lists), 256)
    }
}

/// Bound of the rounding error of a device's sum of products of f16, relative to the product of both
/// norms.
///
/// Products of two f16 are exact in f32. Tensor cores add groups of `m` of them to the sum so far: all
/// terms are aligned to the largest one and truncated at the last bit that an f32 of its size has, and
/// the result is truncated again (Fasi, Higham, Mikaitis and Pranesh, "Numerical behavior of NVIDIA
/// tensor cores", 2021; the cards measured there keep one to three bits more). No partial sum exceeds
/// the product of both norms, so a step adds an error of at most `(m + 2) 2^-23` of that, and `dim / m`
/// steps add `dim (1 + 2 / m) 2^-23`. The bound here is `4 dim 2^-23`, which suffices for any `m`, and
/// for sums that are truncated term by term.
fn gamma(dim: usize) -> f64 {
    (dim as f64 + 24.0) * 2f64.powi(-21)
}

/// 1 minus the bound of the rounding errors of all other f32 operations (centring, norms, thresholds and
/// bounds), relative to the sum of both squared norms.
fn shrink(dim: usize) -> f64 {
    1.0 - (dim as f64 + 64.0) * 2f64.powi(-24)
}
