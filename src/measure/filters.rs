//! Convolutional Similarity of a layer's filters (arXiv 2411.03226; docs/definitions.md#convolutional-similarity): value, pairs,
//! gradient, and minimising it.
//!
//! Filters are compared as they are stored, `K[M, C, h, w]`. Those of a grouped convolution read different
//! input channels; they are compared all the same, the first channel of one with the first of the other:
//! what counts is the kernels, and files of weights do not say which layers are grouped. Zero filters add
//! nothing to the value and have no normalised similarity; a single filter has the value 0.

mod cosine;
mod minimize;
mod normalized;
mod regularizer;
mod study;

pub use minimize::{MinimizeOptions, Minimized, Optimizer, State, minimize};
pub use regularizer::{Regularized, Regularizer};
pub use study::{Padding, Relation, Study, StudyOptions, study};

use super::Context;
use super::setters::setters;
use crate::device::on_backend;
use crate::ops::filters::{FilterOps, FilterParams, FilterShape, Pairs};
use crate::{Error, Result};
use ndarray::Array2;

/// The filters of one convolution.
#[derive(Clone, Copy, Debug)]
pub struct FilterBank<'a> {
    /// Layer.
    pub name: &'a str,
    /// `[M, C, h, w]`.
    pub shape: FilterShape,
    /// Weights, C order.
    pub weights: &'a [f32],
}

/// Options of [`filters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FiltersOptions {
    /// Which similarity; [`FilterParams::pairs`] says which value the gradient is of.
    pub params: FilterParams,
    /// Whether `dL/dK` is wanted.
    pub gradient: bool,
    /// Whether the matrices of all pairs are wanted.
    pub matrices: bool,
}

setters!(FiltersOptions {
    with_params(params: FilterParams),
    with_gradient(gradient: bool),
    with_matrices(matrices: bool),
});

/// What was found of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Filters {
    /// `L` over all pairs.
    pub value: f64,
    /// `L` over adjacent pairs.
    pub value_adjacent: f64,
    /// Mean of `P_ij / sqrt(P_ii P_jj)` over pairs of different filters that are not zero; `None` where
    /// there is no such pair.
    pub normalized_mean: Option<f64>,
    /// Mean absolute cosine of different flattened filters that are not zero.
    pub cosine_mean: Option<f64>,
    /// Filters that are all zero.
    pub zero_filters: Vec<usize>,
    /// `P [M, M]`: what every pair contributes, the diagonal a filter with itself.
    pub pairs: Option<Array2<f64>>,
    /// Cosines of flattened filters `[M, M]`; NaN where one is zero.
    pub cosine: Option<Array2<f64>>,
    /// `dL/dK [M, C, h, w]`.
    pub gradient: Option<Vec<f32>>,
}

/// Bytes a pair of filters takes while both matrices are in memory.
const PAIR_BYTES: u64 = 24;

/// Measures the filters of one layer.
///
/// # Errors
/// [`Error::NonFinite`] on weights that are not finite or whose gradient is not; [`Error::Memory`] if the
/// matrices do not fit under the memory cap; [`Error::WrongLength`] where the weights do not fill their shape;
/// device errors; [`Error::Cancelled`].
pub fn filters(
    ctx: &Context<'_>,
    bank: &FilterBank<'_>,
    options: &FiltersOptions,
) -> Result<Filters> {
    ctx.run(|| on_backend!(ctx.device(), |backend| measure(backend, ctx, bank, options)))
}

fn measure<B: FilterOps>(
    backend: &B,
    ctx: &Context<'_>,
    bank: &FilterBank<'_>,
    options: &FiltersOptions,
) -> Result<Filters> {
    let control = ctx.control();
    let scratch = &mut B::FilterScratch::default();
    let FilterBank { shape, weights, .. } = *bank;
    bank.check()?;
    let needed = (shape.filters as u64).pow(2).saturating_mul(PAIR_BYTES);
    if options.matrices && needed > ctx.memory() {
        return Err(Error::Memory {
            what: format!("the pairs of {} filters of {}", shape.filters, bank.name),
            needed,
            cap: ctx.memory(),
        });
    }
    let mut values = [0.0; 2];
    let mut gradient = options.gradient.then(|| vec![0.0; weights.len()]);
    for (value, pairs) in values.iter_mut().zip([Pairs::All, Pairs::Adjacent]) {
        control.check()?;
        let params = FilterParams {
            pairs,
            ..options.params
        };
        let wanted = pairs == options.params.pairs;
        let gradient = gradient.as_deref_mut().filter(|_| wanted);
        *value = backend.similarity(weights, shape, params, gradient, scratch)?;
    }
    if gradient.iter().flatten().any(|g| !g.is_finite()) {
        return Err(Error::NonFinite {
            what: format!("values of the gradient of layer '{}' in f32", bank.name),
            at: vec![],
            advice: "scale the weights down",
        });
    }
    control.check()?;
    let normalized_mean = normalized::mean(backend, bank, options.params.input_channels, scratch)?;
    control.check()?;
    let pairs = options.matrices.then(|| {
        let pairs = backend.similarity_pairs(weights, shape, options.params.input_channels)?;
        let square = (shape.filters, shape.filters);
        Array2::from_shape_vec(square, pairs).map_err(|e| Error::network(e.to_string()))
    });
    let (cosine_mean, cosine) = cosine::cosines(backend, bank, options.matrices, control)?;
    Ok(Filters {
        value: values[0],
        value_adjacent: values[1],
        normalized_mean,
        cosine_mean,
        zero_filters: bank.zero(),
        pairs: pairs.transpose()?,
        cosine,
        gradient,
    })
}

impl<'a> FilterBank<'a> {
    /// # Errors
    /// [`Error::WrongLength`] where the weights do not fill the shape, [`Error::NonFinite`] where one is NaN or
    /// infinite.
    pub fn check(&self) -> Result<()> {
        self.shape.check("weights", self.weights.len())?;
        let Some(at) = self.weights.iter().position(|w| !w.is_finite()) else {
            return Ok(());
        };
        let FilterShape {
            channels,
            height,
            width,
            ..
        } = self.shape;
        Err(Error::NonFinite {
            what: format!("weight {} of layer '{}'", self.weights[at], self.name),
            at: vec![
                at / (channels * height * width),
                at / (height * width) % channels,
                at / width % height,
                at % width,
            ],
            advice: "train or export the model again",
        })
    }

    /// The weights filter by filter.
    fn each(&self) -> impl Iterator<Item = &'a [f32]> {
        self.weights
            .chunks_exact(self.shape.channels * self.shape.area())
    }

    /// Filters that are all zero.
    fn zero(&self) -> Vec<usize> {
        let zero = |k: &[f32]| k.iter().all(|&k| k == 0.0);
        (self.each().enumerate())
            .filter(|(_, k)| zero(k))
            .map(|(i, _)| i)
            .collect()
    }
}
