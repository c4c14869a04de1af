//! Normalised cross-correlation of responses, within a layer and across depth.

use super::Response;
use crate::Result;
use crate::ops::net::NetOps;
use rayon::prelude::*;

/// Largest normalised cross-correlation of every pair of channels of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Ncc {
    /// Channels `C`.
    pub channels: usize,
    /// `[C, C]` signed maximum over all lags; 0 where a response is zero.
    pub ncc: Vec<f64>,
    /// `[C, C]` maximum of the absolute value.
    pub ncc_abs: Vec<f64>,
    /// `[C, C]` lag (y, x) of the signed maximum.
    pub lag: Vec<[i32; 2]>,
}

impl Ncc {
    /// Mean over pairs of different channels that both respond, if there are any.
    pub fn mean(&self, norms: &[f64]) -> Option<f64> {
        let live: Vec<usize> = (0..self.channels).filter(|&c| norms[c] > 0.0).collect();
        let pairs = live.len() * live.len().saturating_sub(1);
        let sum: f64 = (live.iter())
            .flat_map(|&i| live.iter().filter(move |&&j| j != i).map(move |&j| (i, j)))
            .map(|(i, j)| self.ncc[i * self.channels + j])
            .sum();
        (pairs > 0).then(|| sum / pairs as f64)
    }
}

/// A channel: index of its layer, and its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Similar {
    /// Layer, among the responses.
    pub layer: usize,
    /// Channel.
    pub channel: usize,
}

/// Two channels of different layers whose responses are alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// The shallower one.
    pub a: Similar,
    /// The deeper one.
    pub b: Similar,
    /// Signed maximum over all lags.
    pub ncc: f64,
    /// Its lag (y, x).
    pub lag: [i32; 2],
}

/// Euclidean norm of `x` less `centre`, summed in float64.
pub(super) fn norm(x: &[f32], centre: f64) -> f64 {
    let squares = x.iter().map(|&v| (f64::from(v) - centre).powi(2));
    squares.sum::<f64>().sqrt()
}

/// Responses of one layer made ready: those that are not zero, with unit norm, cut to the rectangle outside of which
/// all are zero.
pub(super) struct Ready {
    /// Live channels, input channels, height and width.
    pub(super) shape: [usize; 4],
    values: Vec<f32>,
    /// Channels that respond, in order.
    live: Vec<usize>,
    /// All channels.
    channels: usize,
    /// First row and column of the rectangle.
    corner: [usize; 2],
    /// Height and width before cutting.
    full: [usize; 2],
}

/// `centred`: each channel's mean over input channels and pixels is taken off first.
pub(super) fn ready(r: &Response, centred: bool) -> Ready {
    let [m, inputs, h, w] = r.shape;
    let row = inputs * h * w;
    let (mut values, mut live) = (vec![], vec![]);
    for (channel, map) in r.values.chunks(row).enumerate() {
        if r.norms[channel] == 0.0 {
            continue;
        }
        let mean = match centred {
            true => map.iter().map(|&v| f64::from(v)).sum::<f64>() / row as f64,
            false => 0.0,
        };
        let norm = norm(map, mean);
        // A constant response has nothing left once it is centred.
        if norm > 1e-6 * r.norms[channel] {
            live.push(channel);
            values.extend(map.iter().map(|&v| ((f64::from(v) - mean) / norm) as f32));
        }
    }
    cut(&values, [m, inputs, h, w], live)
}

fn cut(values: &[f32], [channels, inputs, h, w]: [usize; 4], live: Vec<usize>) -> Ready {
    let (mut rows, mut columns) = ((h, 0), (w, 0));
    for map in values.chunks(h * w) {
        for (y, row) in map.chunks(w).enumerate() {
            if let Some(first) = row.iter().position(|&v| v != 0.0) {
                let last = row.iter().rposition(|&v| v != 0.0).unwrap_or(first);
                rows = (rows.0.min(y), rows.1.max(y + 1));
                columns = (columns.0.min(first), columns.1.max(last + 1));
            }
        }
    }
    if rows.0 >= rows.1 {
        (rows, columns) = ((0, 1), (0, 1)); // all zero
    }
    let (ch, cw) = (rows.1 - rows.0, columns.1 - columns.0);
    let mut out = Vec::with_capacity(live.len() * inputs * ch * cw);
    for map in values.chunks(h * w) {
        for row in map.chunks(w).take(rows.1).skip(rows.0) {
            out.extend_from_slice(&row[columns.0..columns.1]);
        }
    }
    Ready {
        shape: [live.len(), inputs, ch, cw],
        values: out,
        live,
        channels,
        corner: [rows.0, columns.0],
        full: [h, w],
    }
}

/// Values of one pair as the definition has them.
struct Pair {
    ncc: f64,
    abs: f64,
    lag: [i32; 2],
}

/// Puts back what cutting took: lags are those of the whole maps, and where the rectangles do not meet
/// the correlation is 0, which beats a negative maximum.
fn restore(a: &Ready, b: &Ready, max: f32, abs: f32, lag: [i32; 2]) -> Pair {
    let first = [1 - a.full[0] as i32, 1 - a.full[1] as i32];
    let first_cut =
        [0, 1].map(|i| 1 - a.shape[i + 2] as i32 + b.corner[i] as i32 - a.corner[i] as i32);
    let last = [0, 1].map(|i| b.full[i] as i32 - 1);
    let last_cut =
        [0, 1].map(|i| b.shape[i + 2] as i32 - 1 + b.corner[i] as i32 - a.corner[i] as i32);
    let apart = first_cut != first || last_cut != last;
    let ncc = f64::from(max).clamp(-1.0, 1.0);
    let abs = f64::from(abs).clamp(0.0, 1.0);
    if apart && ncc < 0.0 {
        // The first lag at which they are apart: the very first, or the first beyond the rectangle.
        let lag = if first_cut == first {
            [first[0], last_cut[1] + 1]
        } else {
            first
        };
        let lag = if lag[1] > last[1] {
            [last_cut[0] + 1, first[1]]
        } else {
            lag
        };
        return Pair { ncc: 0.0, abs, lag };
    }
    let lag = [0, 1].map(|i| lag[i] + b.corner[i] as i32 - a.corner[i] as i32);
    Pair { ncc, abs, lag }
}

/// NCC of all pairs of channels of one layer.
pub(super) fn within<B: NetOps>(backend: &B, r: &Ready) -> Result<Ncc> {
    let c = r.channels;
    let mut out = Ncc {
        channels: c,
        ncc: vec![0.0; c * c],
        ncc_abs: vec![0.0; c * c],
        lag: vec![[0; 2]; c * c],
    };
    if r.live.is_empty() {
        return Ok(out);
    }
    let found = backend.correlate(&backend.upload(&r.shape, &r.values)?, None)?;
    let width = r.live.len();
    let mut place = vec![None; c];
    for (at, &channel) in r.live.iter().enumerate() {
        place[channel] = Some(at);
    }
    // Of every pair the one with the lower channel first; the other has minus its lag.
    let pair = |a: usize, b: usize| {
        if a == b {
            // By definition, whatever the rounding.
            return Pair {
                ncc: 1.0,
                abs: 1.0,
                lag: [0, 0],
            };
        }
        let at = a.min(b) * width + a.max(b);
        let sign = if a < b { 1 } else { -1 };
        let pair = restore(r, r, found.max[at], found.max_abs[at], found.lag[at]);
        Pair {
            lag: pair.lag.map(|v| sign * v),
            ..pair
        }
    };
    let rows = (out.ncc.par_chunks_mut(c))
        .zip(out.ncc_abs.par_chunks_mut(c))
        .zip(out.lag.par_chunks_mut(c))
        .zip(&place);
    rows.for_each(|(((ncc, abs), lag), a)| {
        let Some(a) = *a else { return };
        for (b, &j) in r.live.iter().enumerate() {
            let pair = pair(a, b);
            (ncc[j], abs[j], lag[j]) = (pair.ncc, pair.abs, pair.lag);
        }
    });
    Ok(out)
}

/// Pairs of channels of two layers, `a` the shallower, with an NCC of at least `threshold`.
pub(super) fn across<B: NetOps>(
    backend: &B,
    (a, b): (&Ready, &Ready),
    layers: [usize; 2],
    threshold: f64,
) -> Result<Vec<Match>> {
    if a.live.is_empty() || b.live.is_empty() {
        return Ok(vec![]);
    }
    let found = backend.correlate_above(
        &backend.upload(&a.shape, &a.values)?,
        &backend.upload(&b.shape, &b.values)?,
        threshold as f32,
    )?;
    let similar = |layer: usize, channel: usize| Similar {
        layer: layers[layer],
        channel,
    };
    let mut matches = vec![];
    for (at_a, &i) in a.live.iter().enumerate() {
        for (at_b, &j) in b.live.iter().enumerate() {
            let at = at_a * b.live.len() + at_b;
            if f64::from(found.max[at]) < threshold {
                continue;
            }
            let pair = restore(a, b, found.max[at], found.max_abs[at], found.lag[at]);
            if pair.ncc >= threshold {
                matches.push(Match {
                    a: similar(0, i),
                    b: similar(1, j),
                    ncc: pair.ncc,
                    lag: pair.lag,
                });
            }
        }
    }
    Ok(matches)
}
