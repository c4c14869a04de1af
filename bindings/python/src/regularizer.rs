//! Convolutional Similarity for PyTorch: value, gradient and minimisation of filters that lie in its tensors.
//!
//! Tensors come as addresses, because the stable ABI of the oldest supported Python has no buffers. The Python side
//! (`chanscope/torch.py`) makes sure that they are contiguous float32 on the CPU, and keeps them alive.

use crate::call::{Settings, long};
use crate::engine;
use crate::error::{raised, usage};
use chanscope::Error;
use chanscope::cpu::Cpu;
use chanscope::device::Device;
use chanscope::measure::filters::{self, FilterBank, MinimizeOptions, Optimizer, Regularized};
use chanscope::ops::filters::{FilterParams, FilterShape, InputChannels, Pairs};
use pyo3::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Filters in memory: the address of the weights, `[M, C, h, w]`, and the address of the gradient.
type Layer = (usize, Vec<usize>, usize);

/// Evaluates the sum over layers of the similarity. It keeps its working memory from call to call.
#[pyclass(frozen, module = "chanscope._chanscope")]
pub struct Regularizer(Mutex<filters::Regularizer<Cpu>>);

#[pymethods]
impl Regularizer {
    #[new]
    fn new(py: Python<'_>, pairs: &str, input_channels: &str) -> PyResult<Self> {
        let params = params(py, pairs, input_channels)?;
        Ok(Self(Mutex::new(filters::Regularizer::new(params))))
    }

    /// Returns the value, and fills the gradients. The value is not finite where weights are not, or are too large.
    fn evaluate(&self, py: Python<'_>, layers: Vec<Layer>) -> PyResult<f64> {
        let work = || {
            let engine = engine::open("cpu", 0)?;
            let Device::Cpu(cpu) = &engine.device else {
                return Err(Error::argument("device", "not a CPU", "a CPU"));
            };
            let mut banks = Vec::with_capacity(layers.len());
            for (weights, shape, gradient) in &layers {
                let shape = FilterShape::new(shape)?;
                // SAFETY: both are contiguous tensors of this shape that the caller keeps alive, and the gradient is a
                // fresh one that nobody else has seen.
                let (weights, gradient) = unsafe {
                    (
                        std::slice::from_raw_parts(*weights as *const f32, shape.len()),
                        std::slice::from_raw_parts_mut(*gradient as *mut f32, shape.len()),
                    )
                };
                banks.push(Regularized {
                    shape,
                    weights,
                    gradient,
                });
            }
            let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match inner.evaluate(cpu, &mut banks) {
                Err(Error::NonFinite { .. }) => Ok(f64::NAN),
                other => other,
            }
        };
        py.detach(work).map_err(|e| raised(py, &e))
    }
}

/// Steps, optimizer, its learning rate and momentum, whether norms are kept, pairs, input channels.
type Minimization = (usize, String, f64, f64, bool, String, String);

/// Minimises the similarity of one layer in place. Returns the values before the first and after every step, fewer where
/// they grew beyond all bounds; the weights are then as they were.
#[pyfunction]
pub fn minimize_filters(
    py: Python<'_>,
    name: String,
    weights: usize,
    shape: Vec<usize>,
    options: Minimization,
    settings: Settings,
) -> PyResult<Vec<f64>> {
    let (steps, optimizer, lr, momentum, keep_norm, pairs, input_channels) = options;
    let optimizer = match optimizer.as_str() {
        "adam" => Optimizer::adam(lr),
        _ => Optimizer::Sgd {
            lr,
            momentum,
            nesterov: false,
        },
    };
    let options = MinimizeOptions::default()
        .with_steps(steps)
        .with_optimizer(optimizer)
        .with_params(params(py, &pairs, &input_channels)?)
        .with_keep_norm(keep_norm);
    let shape = FilterShape::new(&shape).map_err(|e| raised(py, &e))?;
    // SAFETY: a contiguous tensor of this shape that the caller has made for this call and keeps alive.
    let weights = unsafe { std::slice::from_raw_parts_mut(weights as *mut f32, shape.len()) };
    let before = weights.to_vec();
    let found = long(py, settings, move |ctx| {
        let bank = FilterBank {
            name: &name,
            shape,
            weights: &before,
        };
        Ok(filters::minimize(ctx, &bank, &options)?)
    })?;
    if let Some(new) = found.weights {
        weights.copy_from_slice(&new);
    }
    Ok(found.history)
}

/// Names as the command line has them.
fn params(py: Python<'_>, pairs: &str, input_channels: &str) -> PyResult<FilterParams> {
    let pairs = match pairs {
        "all" => Pairs::All,
        "adjacent" => Pairs::Adjacent,
        _ => return Err(usage(py, format!("pairs={pairs:?} is not all or adjacent"))),
    };
    let input_channels = match input_channels {
        "separate" => InputChannels::Separate,
        "summed" => InputChannels::Summed,
        _ => {
            let text = format!("input_channels={input_channels:?} is not separate or summed");
            return Err(usage(py, text));
        }
    };
    Ok(FilterParams {
        pairs,
        input_channels,
    })
}
