//! Linear CKA between layers, from unbiased estimates on mini-batches.

use crate::control::{Control, Progress};
use crate::cpu::add_dots;
use crate::io::layer::Layer;
use crate::stream::run::ranges;
use crate::{Error, Result};
use ndarray::Array2;
use std::ops::Range;

/// Samples of a mini-batch.
const BATCH: usize = 256;
/// The estimate divides by `n (n - 3)`: fewer samples have none.
const FEWEST: usize = 4;
/// Numbers of a sample read at a time. Fixed: it decides the order of the sums.
const CHUNK: usize = 8192;

/// Linear CKA of all pairs of `layers`, each with the channels that count, `[L, L]`; a sample of a layer is
/// one vector. The unbiased HSIC (Song et al., 2012) is averaged over mini-batches of 256 consecutive
/// samples (Nguyen et al., 2021); a last batch below 4, which has no estimate, is left out. NaN where a layer does not vary, and
/// everywhere below 4 samples. The values must be finite.
///
/// # Errors
/// [`Error::Shape`] for layers of different numbers of samples; what reading reports;
/// [`Error::Cancelled`].
pub fn cka(layers: &[(&dyn Layer, &[usize])], control: &Control<'_>) -> Result<Array2<f64>> {
    let count = layers.len();
    let samples = layers.first().map_or(0, |(l, _)| l.shape().samples);
    let differs = |l: &&(&dyn Layer, &[usize])| l.0.shape().samples != samples;
    if let Some((other, _)) = layers.iter().find(differs) {
        return Err(Error::Shape(format!(
            "{} has {} samples, {} has {samples}; CKA compares the same samples",
            other.name(),
            other.shape().samples,
            layers[0].0.name()
        )));
    }
    let mut sums = Array2::<f64>::zeros((count, count));
    for rows in ranges(samples, BATCH).filter(|r| r.len() >= FEWEST) {
        let mut centred = Vec::with_capacity(count);
        for &(layer, channels) in layers {
            control.check()?;
            centred.push(batch(layer, channels, &rows)?);
        }
        for i in 0..count {
            for j in 0..=i {
                let product = centred[i].iter().zip(&centred[j]).map(|(a, b)| a * b);
                let n = rows.len() as f64;
                sums[[i, j]] += product.sum::<f64>() / (n * (n - 3.0));
            }
        }
        control.report(Progress {
            stage: "CKA between layers",
            done: rows.end as u64,
            total: samples as u64,
            unit: "samples",
        });
    }
    Ok(Array2::from_shape_fn((count, count), |(i, j)| {
        let (i, j) = (i.max(j), i.min(j));
        let scale = sums[[i, i]].sqrt() * sums[[j, j]].sqrt();
        match i == j && scale > 0.0 {
            true => 1.0,
            false => sums[[i, j]] / scale,
        }
    }))
}

/// U-centred Gram matrix of a mini-batch, `[n, n]`: zeros on the diagonal and in all sums of rows. Zero
/// throughout where nothing but rounding is left of it.
fn batch(layer: &dyn Layer, channels: &[usize], rows: &Range<usize>) -> Result<Vec<f64>> {
    let (n, d) = (rows.len(), layer.shape().dim());
    let mut gram = vec![0.0; n * n];
    for channels in channels.chunks((CHUNK / d).max(1)) {
        let mut x = vec![0.0; n * channels.len() * d];
        layer.read_rows(rows.clone(), channels, &mut x)?;
        add_dots(&x, n, &mut gram);
    }
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
    Ok(gram)
}
