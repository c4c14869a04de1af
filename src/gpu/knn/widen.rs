//! Halves on their way to the device: two in a word, so that half the bytes of `f32` are copied, and widened there.
//!
//! The device holds rows as `f32`. Halves would save 2 of the 8 to 10 bytes that a number of a prepared block takes: the
//! filter's rows are differences from a centre, which are no halves. They would cost integer arithmetic wherever a row is
//! read, as unpacking by the device's own instruction may take subnormal halves for 0; and the merge and the solver read a
//! row once for every query that it is a candidate of, a number at a time.

use super::kernels::{WIDEN, WidenParams};
use crate::Result;
use crate::gpu::context::Context;
use crate::gpu::memory::{Buffer, Kind};
use crate::gpu::record::{Recorder, number};
use half::f16;

/// Halves that are copied at a time. It bounds the memory that they take beside the rows.
const CHUNK: usize = 8 << 20;

/// Device bytes that widening so many halves takes for a while.
pub(super) fn widen_bytes(halves: u64) -> u64 {
    2 * halves.min(CHUNK as u64)
}

/// Finite halves on the device, as `f32`.
pub(super) fn upload_halves(context: &Context, halves: &[f16]) -> Result<Buffer> {
    // The last word may hold a half too many, which is written and never read.
    let even = halves.len().next_multiple_of(2) as u64;
    let rows = context.pool.get(Kind::Storage, 4 * even)?;
    if halves.is_empty() {
        return Ok(rows);
    }
    let words = halves.len().min(CHUNK).div_ceil(2);
    let staged = context.pool.get(Kind::Storage, 4 * words as u64)?;
    let pipeline = context.pipeline(&WIDEN, &[])?;
    for (i, part) in halves.chunks(CHUNK).enumerate() {
        let (pairs, last) = part.as_chunks::<2>();
        context.write(&staged, pairs)?;
        if let [last] = last {
            let word = [*last, f16::ZERO];
            let at = size_of_val(pairs) as u64;
            context.copy_in(&staged, at, bytemuck::bytes_of(&word));
        }
        let words = part.len().div_ceil(2);
        let workgroups = WIDEN.workgroups(words);
        let params = WidenParams {
            words: number(context, words)?,
            to: number(context, i * CHUNK)?,
            workgroups: number(context, workgroups as usize)?,
            ..WidenParams::default()
        };
        let mut recorder = Recorder::new(context);
        let buffers = [staged.whole(), rows.whole()];
        recorder.dispatch(&pipeline, params, &buffers, workgroups, 64 * 16)?;
        recorder.submit()?;
    }
    Ok(rows)
}
