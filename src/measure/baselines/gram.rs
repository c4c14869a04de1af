//! U-centred Gram matrices of mini-batches: what linear CKA needs of a layer.
//!
//! The estimate does not depend on what all samples of a mini-batch have in common, so the mean sample is taken off
//! before anything is multiplied: the products of a layer with a large common offset would cancel otherwise.

use crate::Result;
use crate::io::layer::Layer;
use crate::ops::{Backend, DotRows};
use crate::stream::run::ranges;
use std::ops::Range;

/// The estimate divides by `n (n - 3)`: fewer samples have none.
pub(super) const FEWEST: usize = 4;
/// Numbers of a sample that are multiplied at a time. Fixed, because it decides the order of the sums.
const CHUNK: usize = 8192;
/// Numbers of a sample in a piece of the operand.
const PIECE: usize = 512;

/// Channels that are multiplied at a time, for maps of `dim` numbers.
fn channels_at_a_time(dim: usize) -> usize {
    (CHUNK / dim).max(1)
}

/// Takes the matrix of a mini-batch as it is packed, in the order of the mini-batches.
pub(crate) type PutGram<'a> = dyn FnMut(&[f64]) -> Result<()> + Send + 'a;

/// Numbers of the packed matrix of a mini-batch of `n` samples.
pub(crate) const fn packed_len(n: usize) -> usize {
    n * n.saturating_sub(1) / 2
}

/// Mini-batches of `samples` samples that have a matrix.
pub(crate) fn mini_batches(samples: usize, batch: usize) -> impl Iterator<Item = Range<usize>> {
    ranges(samples, batch).filter(|rows| rows.len() >= FEWEST)
}

/// Collects the samples of one layer into mini-batches and hands out the matrix of each.
pub(in crate::measure) struct MiniBatches {
    batch: usize,
    channels: usize,
    dim: usize,
    /// The samples of a mini-batch that has begun, `[samples, C, d]`. Not used while blocks and
    /// mini-batches begin and end together.
    begun: Vec<f32>,
}

impl MiniBatches {
    /// For mini-batches of `batch` samples of `channels` maps of `dim` numbers.
    pub(in crate::measure) fn new(batch: usize, channels: usize, dim: usize) -> Self {
        Self {
            batch,
            channels,
            dim,
            begun: Vec::new(),
        }
    }

    /// Adds the next samples, `block [samples, C, d]`.
    pub(in crate::measure) fn add<B: Backend>(
        &mut self,
        backend: &B,
        mut block: &[f32],
        put: &mut PutGram<'_>,
    ) -> Result<()> {
        let row = self.channels * self.dim;
        while !block.is_empty() {
            if self.begun.is_empty() && block.len() >= self.batch * row {
                let (whole, rest) = block.split_at(self.batch * row);
                self.put(backend, whole, put)?;
                block = rest;
                continue;
            }
            let room = self.batch * row - self.begun.len();
            let (some, rest) = block.split_at(room.min(block.len()));
            self.begun.extend_from_slice(some);
            block = rest;
            if self.begun.len() == self.batch * row {
                self.flush(backend, put)?;
            }
        }
        Ok(())
    }

    /// Hands out the matrix of the mini-batch that has begun, if it has one.
    pub(in crate::measure) fn finish<B: Backend>(
        mut self,
        backend: &B,
        put: &mut PutGram<'_>,
    ) -> Result<()> {
        match self.begun.len() >= FEWEST * self.channels * self.dim {
            true => self.flush(backend, put),
            false => Ok(()),
        }
    }

    fn flush<B: Backend>(&mut self, backend: &B, put: &mut PutGram<'_>) -> Result<()> {
        let mut begun = std::mem::take(&mut self.begun);
        self.put(backend, &begun, put)?;
        begun.clear();
        self.begun = begun;
        Ok(())
    }

    fn put<B: Backend>(&self, backend: &B, rows: &[f32], put: &mut PutGram<'_>) -> Result<()> {
        let row = self.channels * self.dim;
        let n = rows.len() / row;
        let mut products = Products::new(n, row);
        let step = channels_at_a_time(self.dim) * self.dim;
        for first in (0..row).step_by(step) {
            products.add(backend, &rows[first..], step.min(row - first), row)?;
        }
        put(&pack(&products.centred(), n))
    }
}

/// Reads the mini-batches of a layer one by one, where [`MiniBatches`] would take too much memory.
pub(in crate::measure) fn read_grams<B: Backend>(
    backend: &B,
    layer: &dyn Layer,
    channels: &[usize],
    batch: usize,
    put: &mut PutGram<'_>,
) -> Result<()> {
    for rows in mini_batches(layer.shape().samples, batch) {
        let gram = read(backend, layer, channels, &rows)?;
        put(&pack(&gram, rows.len()))?;
    }
    Ok(())
}

/// Reads a mini-batch from a layer, some channels at a time; its U-centred Gram matrix `[n, n]`.
pub(super) fn read<B: Backend>(
    backend: &B,
    layer: &dyn Layer,
    channels: &[usize],
    rows: &Range<usize>,
) -> Result<Vec<f64>> {
    let (n, d) = (rows.len(), layer.shape().dim());
    let mut products = Products::new(n, channels.len() * d);
    let mut x = Vec::new();
    for channels in channels.chunks(channels_at_a_time(d)) {
        let width = channels.len() * d;
        x.resize(n * width, 0.0);
        layer.read_rows(rows.clone(), channels, &mut x)?;
        products.add(backend, &x, width, width)?;
    }
    Ok(products.centred())
}

/// Running inner products of the samples of a mini-batch about their mean.
struct Products {
    /// `[n, n]`, upper triangle.
    gram: Vec<f64>,
    rows: DotRows,
    /// Numbers of a sample in a piece.
    piece: usize,
    /// Of the numbers being added.
    means: Vec<f64>,
}

impl Products {
    /// For `n` samples of `numbers` numbers.
    fn new(n: usize, numbers: usize) -> Self {
        let piece = numbers.min(PIECE);
        Self {
            gram: vec![0.0; n * n],
            rows: DotRows::new(n, piece),
            piece,
            means: Vec::new(),
        }
    }

    /// Adds the next `width` numbers of every sample. Sample `i` begins at `values[i * stride]`.
    fn add<B: Backend>(
        &mut self,
        backend: &B,
        values: &[f32],
        width: usize,
        stride: usize,
    ) -> Result<()> {
        let n = self.rows.rows();
        let sample = |i: usize| &values[i * stride..][..width];
        // As differences from the first sample, which are exact where all samples are nearly equal.
        self.means.clear();
        self.means.resize(width, 0.0);
        for i in 1..n {
            for ((mean, &v), &first) in self.means.iter_mut().zip(sample(i)).zip(sample(0)) {
                *mean += f64::from(v) - f64::from(first);
            }
        }
        for (mean, &first) in self.means.iter_mut().zip(sample(0)) {
            *mean = f64::from(first) + *mean / n as f64;
        }
        let (piece, means) = (self.piece, &self.means);
        self.rows.fill(width.div_ceil(piece), |number, i, out| {
            let numbers = number * piece..width.min((number + 1) * piece);
            let parts = sample(i)[numbers.clone()].iter().zip(&means[numbers]);
            for (out, (&v, mean)) in out.iter_mut().zip(parts) {
                *out = f64::from(v) - mean;
            }
        });
        backend.add_dots(&self.rows, &mut self.gram)
    }

    /// The U-centred matrix `[n, n]` of what was added.
    fn centred(mut self) -> Vec<f64> {
        centre(&mut self.gram, self.rows.rows());
        self.gram
    }
}

/// Makes a U-centred Gram matrix of the upper triangle of a Gram matrix `[n, n]` of samples about their mean: zeros on
/// the diagonal and in all sums of rows. Zero throughout where nothing but rounding is left of it, which happens where
/// all samples are equally far from each other.
fn centre(gram: &mut [f64], n: usize) {
    let largest = (0..n).fold(0.0f64, |m, i| m.max(gram[i * n + i]));
    for i in 0..n {
        gram[i * n + i] = 0.0;
        for j in 0..i {
            gram[i * n + j] = gram[j * n + i];
        }
    }
    let sums: Vec<f64> = gram.chunks(n).map(|row| row.iter().sum()).collect();
    let all: f64 = sums.iter().sum();
    let (one, two) = ((n - 1) as f64, (n - 2) as f64);
    let mut left = 0.0f64;
    for i in 0..n {
        for j in (0..n).filter(|&j| j != i) {
            let value = gram[i * n + j] - (sums[i] + sums[j]) / two + all / (one * two);
            gram[i * n + j] = value;
            left = left.max(value.abs());
        }
    }
    // The squared lengths of the samples bound the rounding of their products.
    if left <= 1e-13 * largest {
        gram.fill(0.0);
    }
}

/// What lies above the diagonal: a centred matrix is symmetric, with zeros on the diagonal.
fn pack(gram: &[f64], n: usize) -> Vec<f64> {
    (0..n)
        .flat_map(|i| gram[i * n + i + 1..(i + 1) * n].iter().copied())
        .collect()
}

/// The matrix `[n, n]` that was packed.
pub(super) fn unpack(packed: &[f64], n: usize) -> Vec<f64> {
    let mut gram = vec![0.0; n * n];
    let mut values = packed.iter();
    for i in 0..n {
        for (j, &value) in (i + 1..n).zip(&mut values) {
            gram[i * n + j] = value;
            gram[j * n + i] = value;
        }
    }
    gram
}
