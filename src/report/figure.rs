//! Arrays on their way into the page: few bytes, nothing lost that an eye or a pointer could tell.
//!
//! A matrix becomes 16-bit steps between its extremes, base64, the upper triangle alone when it is
//! symmetric: 1024 channels take 1.4 MB. Larger ones are averaged over blocks of channels.

use ndarray::ArrayView2;
use serde::Serialize;

/// Code of a value that does not exist (dead channel).
const NONE: u16 = u16::MAX;
/// Code of the largest value.
const TOP: f64 = 65534.0;

/// A matrix as the page's script reads it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Matrix {
    /// Rows of cells.
    pub rows: usize,
    /// Columns of cells.
    pub cols: usize,
    /// Rows and columns of the array that one cell averages.
    pub block: usize,
    /// Only `j >= i` is stored, row by row.
    pub symmetric: bool,
    /// Value of code 0.
    pub lo: f64,
    /// Value of code 65534.
    pub hi: f64,
    /// Largest value off the diagonal (anywhere, for a matrix that is not symmetric).
    pub peak: f64,
    /// Smallest positive value off the diagonal: where a logarithmic scale may start.
    pub least: f64,
    /// Little-endian u16 codes in base64; 65535 is none.
    #[serde(skip)]
    pub data: String,
}

/// Encodes `values`, averaged over square blocks when it has more than `limit` rows or columns. Diagonal
/// entries of a symmetric matrix do not enter block means: they would hide the pairs.
pub fn matrix(values: ArrayView2<'_, f64>, symmetric: bool, limit: usize) -> Matrix {
    let longest = values.nrows().max(values.ncols());
    let block = longest.div_ceil(limit.max(1)).max(1);
    let (rows, cols) = (
        values.nrows().div_ceil(block),
        values.ncols().div_ceil(block),
    );
    let mut cells = Vec::new();
    let (mut lo, mut hi) = (f64::INFINITY, f64::NEG_INFINITY);
    let (mut peak, mut least) = (f64::NEG_INFINITY, f64::INFINITY);
    for i in 0..rows {
        for j in if symmetric { i } else { 0 }..cols {
            let cell = cell(&values, i, j, block, symmetric);
            if let Some(v) = cell {
                (lo, hi) = (lo.min(v), hi.max(v));
                if !symmetric || i != j || block > 1 {
                    peak = peak.max(v);
                    least = if v > 0.0 { least.min(v) } else { least };
                }
            }
            cells.push(cell);
        }
    }
    let (lo, hi) = if lo <= hi { (lo, hi) } else { (0.0, 0.0) };
    let finite_or = |x: f64, other| if x.is_finite() { x } else { other };
    Matrix {
        rows,
        cols,
        block,
        symmetric,
        lo,
        hi,
        peak: finite_or(peak, hi),
        least: finite_or(least, 0.0),
        data: base64(&codes(&cells, lo, hi)),
    }
}

/// Mean of the finite values under a cell.
fn cell(
    values: &ArrayView2<'_, f64>,
    i: usize,
    j: usize,
    block: usize,
    symmetric: bool,
) -> Option<f64> {
    if block == 1 {
        return Some(values[[i, j]]).filter(|v| v.is_finite());
    }
    let (mut sum, mut n) = (0.0, 0u32);
    for r in i * block..((i + 1) * block).min(values.nrows()) {
        for c in j * block..((j + 1) * block).min(values.ncols()) {
            let v = values[[r, c]];
            if v.is_finite() && !(symmetric && r == c) {
                sum += v;
                n += 1;
            }
        }
    }
    (n > 0).then(|| sum / f64::from(n))
}

fn codes(cells: &[Option<f64>], lo: f64, hi: f64) -> Vec<u8> {
    let step = if hi > lo { TOP / (hi - lo) } else { 0.0 };
    cells
        .iter()
        .map(|cell| cell.map_or(NONE, |v| ((v - lo) * step).round().clamp(0.0, TOP) as u16))
        .flat_map(u16::to_le_bytes)
        .collect()
}

/// Small pictures (filters, responses), each with its own scale: one signed byte a pixel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tiles {
    /// Pictures.
    pub count: usize,
    /// Rows of a picture.
    pub height: usize,
    /// Columns of a picture.
    pub width: usize,
    /// Largest magnitude in each picture, the value of byte 127.
    pub peaks: Vec<f64>,
    /// Bytes in base64, picture after picture.
    #[serde(skip)]
    pub data: String,
}

/// Encodes `values [count, height, width]` in C order; what is not finite shows as 0.
pub fn tiles(values: &[f64], height: usize, width: usize) -> Tiles {
    let size = (height * width).max(1);
    let mut peaks = Vec::new();
    let mut bytes = Vec::with_capacity(values.len());
    for picture in values.chunks_exact(size) {
        let known = picture.iter().filter(|v| v.is_finite());
        let peak = known.fold(0.0f64, |m, v| m.max(v.abs()));
        let scale = if peak > 0.0 { 127.0 / peak } else { 0.0 };
        let code = |v: &f64| {
            if v.is_finite() {
                (v * scale).round() as i8 as u8
            } else {
                0
            }
        };
        bytes.extend(picture.iter().map(code));
        peaks.push(peak);
    }
    Tiles {
        count: peaks.len(),
        height,
        width,
        peaks,
        data: base64(&bytes),
    }
}

/// Standard base64 with padding (RFC 4648, section 4).
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |g, &b| g << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let six = (group >> (18 - 6 * i)) as usize & 63;
            out.push(if i <= chunk.len() {
                ALPHABET[six] as char
            } else {
                '='
            });
        }
    }
    out
}
