//! U-centred Gram matrices of mini-batches: what linear CKA needs of a layer.

use crate::Result;
use crate::io::layer::Layer;
use crate::io::spill::FloatStore;
use crate::ops::{Backend, DotRows};
use std::ops::Range;

/// The estimate divides by `n (n - 3)`: fewer samples have none.
pub(super) const FEWEST: usize = 4;
/// Numbers of a sample that are multiplied at a time. Fixed, because it decides the order of the sums.
const CHUNK: usize = 8192;

/// Channels that are multiplied at a time, for maps of `dim` numbers.
fn channels_at_a_time(dim: usize) -> usize {
    (CHUNK / dim).max(1)
}

/// Collects the samples of one layer into mini-batches and stores the matrix of each.
pub(in crate::measure) struct MiniBatches {
    batch: usize,
    channels: usize,
    dim: usize,
    /// The samples of a mini-batch that has begun, `[samples, C, d]`. Not used while blocks and
    /// mini-batches begin and end together.
    begun: Vec<f32>,
    places: Vec<Range<u64>>,
}

impl MiniBatches {
    /// For mini-batches of `batch` samples of `channels` maps of `dim` numbers.
    pub(in crate::measure) fn new(batch: usize, channels: usize, dim: usize) -> Self {
        Self {
            batch,
            channels,
            dim,
            begun: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Adds the next samples, `block [samples, C, d]`.
    pub(in crate::measure) fn add<B: Backend>(
        &mut self,
        backend: &B,
        mut block: &[f32],
        store: &mut FloatStore,
    ) -> Result<()> {
        let row = self.channels * self.dim;
        while !block.is_empty() {
            if self.begun.is_empty() && block.len() >= self.batch * row {
                let (whole, rest) = block.split_at(self.batch * row);
                self.put(backend, whole, store)?;
                block = rest;
                continue;
            }
            let room = self.batch * row - self.begun.len();
            let (some, rest) = block.split_at(room.min(block.len()));
            self.begun.extend_from_slice(some);
            block = rest;
            if self.begun.len() == self.batch * row {
                self.flush(backend, store)?;
            }
        }
        Ok(())
    }

    /// Stores what is left, and returns where the matrices of all mini-batches lie, in their order.
    pub(in crate::measure) fn finish<B: Backend>(
        mut self,
        backend: &B,
        store: &mut FloatStore,
    ) -> Result<Vec<Range<u64>>> {
        if self.begun.len() >= FEWEST * self.channels * self.dim {
            self.flush(backend, store)?;
        }
        Ok(self.places)
    }

    fn flush<B: Backend>(&mut self, backend: &B, store: &mut FloatStore) -> Result<()> {
        let mut begun = std::mem::take(&mut self.begun);
        self.put(backend, &begun, store)?;
        begun.clear();
        self.begun = begun;
        Ok(())
    }

    fn put<B: Backend>(&mut self, backend: &B, rows: &[f32], store: &mut FloatStore) -> Result<()> {
        let row = self.channels * self.dim;
        let n = rows.len() / row;
        let mut gram = vec![0.0; n * n];
        let step = channels_at_a_time(self.dim) * self.dim;
        for first in (0..row).step_by(step) {
            let x = DotRows {
                data: &rows[first..],
                groups: 1,
                rows: n,
                dim: step.min(row - first),
                stride: row,
            };
            backend.add_dots(x, &mut gram)?;
        }
        centre(&mut gram, n);
        self.places.push(store.put(&pack(&gram, n))?);
        Ok(())
    }
}

/// Reads a mini-batch from a layer, some channels at a time; its U-centred Gram matrix `[n, n]`.
pub(super) fn read<B: Backend>(
    backend: &B,
    layer: &dyn Layer,
    channels: &[usize],
    rows: &Range<usize>,
) -> Result<Vec<f64>> {
    let (n, d) = (rows.len(), layer.shape().dim());
    let mut gram = vec![0.0; n * n];
    let mut x = Vec::new();
    for channels in channels.chunks(channels_at_a_time(d)) {
        x.resize(n * channels.len() * d, 0.0);
        layer.read_rows(rows.clone(), channels, &mut x)?;
        backend.add_dots(DotRows::dense(&x, 1, n, channels.len() * d), &mut gram)?;
    }
    centre(&mut gram, n);
    Ok(gram)
}

/// Makes a U-centred Gram matrix of the upper triangle of a Gram matrix `[n, n]`: zeros on the diagonal and
/// in all sums of rows. Zero throughout where nothing but rounding is left of it.
fn centre(gram: &mut [f64], n: usize) {
    for i in 0..n {
        gram[i * n + i] = 0.0;
        for j in 0..i {
            gram[i * n + j] = gram[j * n + i];
        }
    }
    let largest = gram.iter().fold(0.0f64, |m, v| m.max(v.abs()));
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
    // Products of f32 values cannot be told apart below this.
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
