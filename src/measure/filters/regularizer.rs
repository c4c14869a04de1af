//! Convolutional Similarity as a regulariser: what a trainer calls at every step.

use crate::ops::filters::{FilterOps, FilterParams, FilterShape};
use crate::{Error, Result};

/// One convolution of a network in training.
#[derive(Debug)]
pub struct Regularized<'a> {
    /// `[M, C, h, w]`.
    pub shape: FilterShape,
    /// Weights, C order, finite.
    pub weights: &'a [f32],
    /// Receives `dL/dK`, of the same size.
    pub gradient: &'a mut [f32],
}

/// Evaluates the sum over layers of `L`, to be added to a loss times some beta.
///
/// Working memory grows to the largest layer at the first call and is kept: on the CPU, later calls on layers
/// of the same shapes allocate nothing (but for the thread pool's queue: a kilobyte or two every 63 layers).
///
/// ```
/// use chanscope::cpu::Cpu;
/// use chanscope::ops::filters::{FilterParams, FilterShape};
/// use chanscope::measure::filters::{Regularized, Regularizer};
///
/// let cpu = Cpu::new(0)?;
/// let shape = FilterShape::new(&[4, 2, 3, 3])?;
/// let mut weights: Vec<f32> = (0..shape.len()).map(|i| (i as f32).sin()).collect();
/// let mut gradient = vec![0.0; weights.len()];
/// let mut regularizer = Regularizer::new(FilterParams::default());
/// let (beta, mut before) = (1e-3, f64::INFINITY);
/// for _ in 0..10 {
///     // Your loss and its gradient come first; then, with all convolutions in one call:
///     let mut layers = [Regularized { shape, weights: &weights, gradient: &mut gradient }];
///     let similarity = regularizer.evaluate(&cpu, &mut layers)?;
///     assert!(similarity < before);
///     before = similarity;
///     for (k, g) in weights.iter_mut().zip(&gradient) {
///         *k -= beta * g;
///     }
/// }
/// # Ok::<(), chanscope::Error>(())
/// ```
#[derive(Debug)]
pub struct Regularizer<B: FilterOps> {
    params: FilterParams,
    scratch: B::FilterScratch,
    values: Vec<f64>,
}

impl<B: FilterOps> Regularizer<B> {
    /// For one kind of similarity.
    pub fn new(params: FilterParams) -> Self {
        Self {
            params,
            scratch: B::FilterScratch::default(),
            values: Vec::new(),
        }
    }

    /// Fills the gradients of all layers and returns the sum of their values.
    ///
    /// # Errors
    /// [`Error::WrongLength`] where arrays do not fill their layer's shape; [`Error::NonFinite`] where a value is not
    /// finite, because weights are not or are too large; device errors.
    pub fn evaluate(&mut self, backend: &B, layers: &mut [Regularized<'_>]) -> Result<f64> {
        self.values.clear();
        for (i, layer) in layers.iter_mut().enumerate() {
            let gradient = Some(&mut *layer.gradient);
            let value = backend.similarity(
                layer.weights,
                layer.shape,
                self.params,
                gradient,
                &mut self.scratch,
            )?;
            if !value.is_finite() {
                return Err(Error::NonFinite {
                    what: format!("values of the similarity of the filters of layer {i}"),
                    at: vec![],
                    advice: "training has diverged: use a smaller learning rate",
                });
            }
            self.values.push(value);
        }
        Ok(self.values.iter().sum())
    }

    /// Values of the layers at the last call.
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}
