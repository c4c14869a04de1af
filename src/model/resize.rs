//! Resizing images on the host, before they enter a network.

use crate::{Error, Result};

/// Weights of one output position: two source positions and the share of the second.
struct Mix {
    low: usize,
    high: usize,
    share: f64,
}

/// Bilinear resizing of maps `[maps, h, w]` to `[maps, H, W]`, half-pixel centres, edges repeated:
/// output `o` reads the source position `s = max((o + 1/2) h/H - 1/2, 0)` between `floor(s)` and the
/// next position. The same as PyTorch's `interpolate(mode="bilinear", align_corners=False)`.
///
/// # Errors
/// [`Error::Argument`] on a zero size or a length that does not fit.
pub fn bilinear(maps: &[f32], from: [usize; 2], to: [usize; 2]) -> Result<Vec<f32>> {
    let size = from[0] * from[1];
    if size == 0 || to[0] * to[1] == 0 || !maps.len().is_multiple_of(size) {
        return Err(Error::argument(
            "maps",
            format!("{} values", maps.len()),
            format!("a multiple of {from:?}, and sizes of at least 1 to resize from it to {to:?}"),
        ));
    }
    let rows = mixes(from[0], to[0]);
    let columns = mixes(from[1], to[1]);
    let mut out = Vec::with_capacity(maps.len() / size * to[0] * to[1]);
    for map in maps.chunks(size) {
        for y in &rows {
            let row = |at: usize| &map[at * from[1]..(at + 1) * from[1]];
            let (low, high) = (row(y.low), row(y.high));
            for x in &columns {
                let upper = lerp(low[x.low], low[x.high], x.share);
                let lower = lerp(high[x.low], high[x.high], x.share);
                out.push((upper * (1.0 - y.share) + lower * y.share) as f32);
            }
        }
    }
    Ok(out)
}

fn lerp(a: f32, b: f32, share: f64) -> f64 {
    f64::from(a) * (1.0 - share) + f64::from(b) * share
}

fn mixes(from: usize, to: usize) -> Vec<Mix> {
    (0..to)
        .map(|o| {
            let s = ((o as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0);
            let low = (s as usize).min(from - 1);
            Mix {
                low,
                high: (low + 1).min(from - 1),
                share: s - low as f64,
            }
        })
        .collect()
}
