//! Cross-correlation of all pairs of maps at all lags on the device. Each lag is summed directly.

use super::context::Context;
use super::each::{each, number};
use super::shader::{Shader, Threads, file, reads, shader_params, writes};
use super::tensor::Tensor;
use crate::Result;
use crate::ops::check_correlate;
use crate::ops::net::Correlation;

static CORRELATE: Shader = Shader::new::<CorrelateParams>(
    "correlate",
    file!("correlate"),
    Threads::Fixed(256),
    &[reads("x", "f32"), reads("z", "f32"), writes("y", "f32")],
);

/// Shaders of this module.
pub(super) static SHADERS: &[&Shader] = &[&CORRELATE];

shader_params! {
    /// Parameters; the shader explains the fields.
    struct CorrelateParams {
        len: u32,
        first: u32,
        right_maps: u32,
        inputs: u32,
        height: u32,
        width: u32,
        right_height: u32,
        right_width: u32,
        symmetric: u32,
    }
}

pub(super) fn correlate(context: &Context, x: &Tensor, y: Option<&Tensor>) -> Result<Correlation> {
    let right = y.unwrap_or(x);
    let [[p, inputs, h, w], [q, _, h2, w2]] = check_correlate(x.shape(), right.shape())?;
    let mut out = Correlation::zeros(p, q);
    let found = context.empty(&[p * q, 3])?;
    let size = |v: usize| number(context, v);
    let params = CorrelateParams {
        len: size(p * q)?,
        first: 0,
        right_maps: size(q)?,
        inputs: size(inputs)?,
        height: size(h)?,
        width: size(w)?,
        right_height: size(h2)?,
        right_width: size(w2)?,
        symmetric: u32::from(y.is_none()),
    };
    // A thread has every 256th four of lags, and goes through where maps overlap.
    let fours = (w + w2 - 1).div_ceil(4) * (h + h2 - 1);
    let loops = fours.div_ceil(256) * inputs * h.min(h2) * w.min(w2);
    context.check_loops("a correlation of maps of this size", loops)?;
    let buffers = [x.buffer.whole(), right.buffer.whole(), found.buffer.whole()];
    let work = 4 * (inputs * h * w) as u64 * (h2 * w2) as u64;
    each(
        context,
        &CORRELATE,
        params,
        &buffers,
        (p * q) as u64,
        work.max(4096),
    )?;
    let found = context.download(&found)?;
    let columns = (w + w2 - 1) as i32;
    for (pair, values) in found.as_chunks::<3>().0.iter().enumerate() {
        let (i, j) = (pair / q, pair % q);
        if y.is_none() && i > j {
            continue;
        }
        let &[max, min, place] = values;
        let place = place.to_bits() as i32;
        let lag = [
            place / columns - h as i32 + 1,
            place % columns - w as i32 + 1,
        ];
        out.set(i, j, max, max.max(-min), lag);
        if y.is_none() && i < j {
            out.set(j, i, max, max.max(-min), [-lag[0], -lag[1]]);
        }
    }
    Ok(out)
}
