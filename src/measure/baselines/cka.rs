//! Linear CKA between layers, from unbiased estimates on mini-batches.

use super::gram::{self, FEWEST, mini_batches, unpack};
use super::pieces::ALIGNED;
use crate::control::Control;
use crate::device::on_backend;
use crate::error::LayerProblem;
use crate::io::layer::Layer;
use crate::measure::Context;
use crate::measure::setters::setters;
use crate::ops::Backend;
use crate::{Error, Result};
use ndarray::Array2;
use rayon::prelude::*;

/// Options of [`cka`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CkaOptions {
    /// Samples of a mini-batch, at least 4.
    pub batch: usize,
}

impl Default for CkaOptions {
    fn default() -> Self {
        Self { batch: ALIGNED }
    }
}

setters!(CkaOptions { with_batch(batch: usize) });

/// Linear CKA of all pairs of `L` layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Cka {
    /// Names of the layers, the order of rows and columns.
    pub layers: Vec<String>,
    /// `[L, L]`, 1 on the diagonal; NaN where a layer does not vary.
    pub values: Array2<f64>,
}

/// Linear CKA of all pairs of `layers`, each with the channels that count, `[L, L]`; a sample of a layer is
/// one vector. The unbiased HSIC (Song et al., 2012) is averaged over mini-batches of consecutive samples
/// (Nguyen et al., 2021); a last batch below 4, which has no estimate, is left out. NaN where a layer does
/// not vary, and everywhere below 4 samples. The values must be finite.
///
/// # Errors
/// [`Error::Argument`] for mini-batches below 4 samples; [`Error::Layer`] for layers of different numbers of
/// samples; what reading and the device report; [`Error::Cancelled`].
pub fn cka(
    ctx: &Context<'_>,
    layers: &[(&dyn Layer, &[usize])],
    options: &CkaOptions,
) -> Result<Cka> {
    if options.batch < FEWEST {
        let expected = format!("mini-batches of at least {FEWEST} samples");
        return Err(Error::argument("batch", options.batch, expected));
    }
    let samples = layers.first().map_or(0, |(l, _)| l.shape().samples);
    let differs = |l: &&(&dyn Layer, &[usize])| l.0.shape().samples != samples;
    if let Some((other, _)) = layers.iter().find(differs) {
        let problem = LayerProblem::SampleCount {
            got: other.shape().samples,
            other: layers[0].0.name().into(),
            expected: samples,
        };
        return Err(Error::layer(other.name(), other.path(), problem));
    }
    let sources: Vec<Source<'_>> = (layers.iter())
        .map(|&(layer, channels)| Source::Layer(layer, channels))
        .collect();
    let names = layers.iter().map(|(l, _)| l.name().to_string()).collect();
    let batches = Batches {
        samples,
        batch: options.batch,
    };
    ctx.run(|| {
        on_backend!(ctx.device(), |backend| compare(
            backend,
            names,
            &sources,
            &batches,
            ctx.control()
        ))
    })
}

/// As [`cka`] with mini-batches of [`ALIGNED`] samples, of layers of `samples` samples whose Gram matrices were found before: `get`
/// returns that of a layer and a mini-batch, by their numbers, as it is packed.
pub(crate) fn cka_of_packed(
    ctx: &Context<'_>,
    layers: Vec<String>,
    samples: usize,
    get: &(dyn Fn(usize, usize) -> Result<Vec<f64>> + Sync),
) -> Result<Cka> {
    let of_layer = (0..layers.len()).map(|layer| move |batch: usize| get(layer, batch));
    let of_layer: Vec<_> = of_layer.collect();
    let sources: Vec<Source<'_>> = of_layer.iter().map(|get| Source::Packed(get)).collect();
    let batches = Batches {
        samples,
        batch: ALIGNED,
    };
    ctx.run(|| {
        on_backend!(ctx.device(), |backend| compare(
            backend,
            layers,
            &sources,
            &batches,
            ctx.control()
        ))
    })
}

/// Where the Gram matrices of a layer come from.
pub(in crate::measure) enum Source<'a> {
    /// An earlier pass over the layer found them, by [`super::MiniBatches`]. Returns that of a mini-batch, by its number, as it is
    /// packed.
    Packed(&'a (dyn Fn(usize) -> Result<Vec<f64>> + Sync + 'a)),
    /// The layer is read for them: all its samples count, of these channels.
    Layer(&'a dyn Layer, &'a [usize]),
}

/// The mini-batches that all layers share.
pub(in crate::measure) struct Batches {
    /// Samples that count.
    pub(in crate::measure) samples: usize,
    /// Samples of a mini-batch.
    pub(in crate::measure) batch: usize,
}

/// CKA of all pairs of layers, one source each.
pub(in crate::measure) fn compare<B: Backend>(
    backend: &B,
    layers: Vec<String>,
    sources: &[Source<'_>],
    batches: &Batches,
    control: &Control<'_>,
) -> Result<Cka> {
    let count = sources.len();
    let pairs: Vec<(usize, usize)> = (0..count)
        .flat_map(|i| (0..=i).map(move |j| (i, j)))
        .collect();
    let mut sums = Array2::<f64>::zeros((count, count));
    let all = mini_batches(batches.samples, batches.batch);
    for (number, rows) in all.enumerate() {
        let n = rows.len();
        let mut centred = Vec::with_capacity(count);
        for source in sources {
            control.check()?;
            centred.push(match source {
                Source::Packed(get) => unpack(&get(number)?, n),
                Source::Layer(layer, channels) => gram::read(backend, *layer, channels, &rows)?,
            });
        }
        // A pair's sum runs in the order of the elements, so that pairs may be taken in any order.
        let products: Vec<f64> = (pairs.par_iter())
            .map(|&(i, j)| {
                let product = centred[i].iter().zip(&centred[j]).map(|(a, b)| a * b);
                product.sum::<f64>()
            })
            .collect();
        let n = n as f64;
        for (&(i, j), product) in pairs.iter().zip(products) {
            sums[[i, j]] += product / (n * (n - 3.0));
        }
        control.report_samples("CKA between layers", rows.end, batches.samples);
    }
    let values = Array2::from_shape_fn((count, count), |(i, j)| {
        let (i, j) = (i.max(j), i.min(j));
        let scale = sums[[i, i]].sqrt() * sums[[j, j]].sqrt();
        match i == j && scale > 0.0 {
            true => 1.0,
            false => sums[[i, j]] / scale,
        }
    });
    Ok(Cka { layers, values })
}
