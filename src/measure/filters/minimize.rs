//! Minimising Convolutional Similarity: the paper's iterative initialisation.

use super::{FilterBank, cosine};
use crate::control::Step;
use crate::device::on_backend;
use crate::measure::Context;
use crate::measure::setters::setters;
use crate::ops::filters::{FilterOps, FilterParams};
use crate::{Error, Result};
use rayon::prelude::*;

/// A rule that turns gradients into steps, as PyTorch defines it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Adam (arXiv 1412.6980), bias corrected, without weight decay.
    Adam {
        /// Learning rate.
        lr: f64,
        /// Decay of the means of gradients and of their squares.
        betas: [f64; 2],
        /// Added to the root of the mean square.
        epsilon: f64,
    },
    /// Stochastic gradient descent without dampening or weight decay.
    Sgd {
        /// Learning rate.
        lr: f64,
        /// Share of the step before that is kept; the first step has none before it.
        momentum: f64,
        /// Nesterov's form: the gradient plus momentum times the new step.
        nesterov: bool,
    },
}

impl Optimizer {
    /// Adam with PyTorch's other defaults. The paper's code uses a rate of 0.002.
    pub const fn adam(lr: f64) -> Self {
        Self::Adam {
            lr,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
        }
    }

    /// # Errors
    /// [`Error::Argument`] on a parameter out of its range.
    pub fn check(&self) -> Result<()> {
        let (Self::Adam { lr, .. } | Self::Sgd { lr, .. }) = *self;
        if !(lr > 0.0 && lr.is_finite()) {
            return Err(Error::argument("learning_rate", lr, "a positive number"));
        }
        match *self {
            Self::Adam { betas, epsilon, .. } => {
                let sound = betas.iter().all(|b| (0.0..1.0).contains(b)) && epsilon >= 0.0;
                sound.then_some(()).ok_or_else(|| {
                    let got = format!("{betas:?} with an epsilon of {epsilon}");
                    Error::argument(
                        "betas",
                        got,
                        "at least 0 and below 1, with an epsilon of at least 0",
                    )
                })
            }
            Self::Sgd { momentum, .. } if !(0.0..1.0).contains(&momentum) => Err(Error::argument(
                "momentum",
                momentum,
                "a number of at least 0 and below 1",
            )),
            Self::Sgd {
                momentum, nesterov, ..
            } if nesterov && momentum == 0.0 => Err(Error::argument(
                "nesterov",
                "true without momentum",
                "a momentum above 0, such as 0.9",
            )),
            Self::Sgd { .. } => Ok(()),
        }
    }
}

/// Weights of a task.
const CHUNK: usize = 1 << 14;

/// What an [`Optimizer`] remembers about one array of weights.
#[derive(Clone, Debug)]
pub struct State {
    optimizer: Optimizer,
    steps: i32,
    /// Mean gradient, or the step before.
    first: Vec<f64>,
    /// Mean squared gradient.
    second: Vec<f64>,
}

impl State {
    /// Before the first step on `len` weights.
    ///
    /// # Errors
    /// As [`Optimizer::check`].
    pub fn new(optimizer: Optimizer, len: usize) -> Result<Self> {
        optimizer.check()?;
        let adam = matches!(optimizer, Optimizer::Adam { .. });
        Ok(Self {
            optimizer,
            steps: 0,
            first: vec![0.0; len],
            second: vec![0.0; if adam { len } else { 0 }],
        })
    }

    /// Moves `weights` one step against `gradient`. Computed in float64, rounded once.
    ///
    /// # Panics
    /// If the arrays differ in length from that of [`State::new`].
    pub fn step(&mut self, weights: &mut [f32], gradient: &[f32]) {
        assert!(weights.len() == self.first.len() && gradient.len() == self.first.len());
        self.steps += 1;
        let first_step = self.steps == 1;
        let jobs = (weights.par_chunks_mut(CHUNK))
            .zip(gradient.par_chunks(CHUNK))
            .zip(self.first.par_chunks_mut(CHUNK));
        match self.optimizer {
            Optimizer::Adam { lr, betas, epsilon } => {
                let [b1, b2] = betas;
                let rate = lr / (1.0 - b1.powi(self.steps));
                let root = (1.0 - b2.powi(self.steps)).sqrt();
                let jobs = jobs.zip(self.second.par_chunks_mut(CHUNK));
                jobs.for_each(|(((k, g), m), v)| {
                    for (((k, &g), m), v) in k.iter_mut().zip(g).zip(m).zip(v) {
                        let g = f64::from(g);
                        *m = b1 * *m + (1.0 - b1) * g;
                        *v = b2 * *v + (1.0 - b2) * g * g;
                        *k = (f64::from(*k) - rate * *m / (v.sqrt() / root + epsilon)) as f32;
                    }
                });
            }
            Optimizer::Sgd {
                lr,
                momentum,
                nesterov,
            } => jobs.for_each(|((k, g), buffer)| {
                for ((k, &g), buffer) in k.iter_mut().zip(g).zip(buffer) {
                    let g = f64::from(g);
                    *buffer = if first_step {
                        g
                    } else {
                        momentum * *buffer + g
                    };
                    let step = if nesterov {
                        g + momentum * *buffer
                    } else {
                        *buffer
                    };
                    *k = (f64::from(*k) - lr * step) as f32;
                }
            }),
        }
    }
}

/// Options of [`minimize`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct MinimizeOptions {
    /// Steps.
    pub steps: usize,
    /// Rule of a step.
    pub optimizer: Optimizer,
    /// Which similarity.
    pub params: FilterParams,
    /// Whether each filter keeps its norm: the part of the gradient along it is taken out before a step, and
    /// it is scaled back after. Without this filters shrink, as zeros are the trivial minimum.
    pub keep_norm: bool,
}

impl Default for MinimizeOptions {
    /// 200 steps of Adam at the rate of the paper's code.
    fn default() -> Self {
        Self {
            steps: 200,
            optimizer: Optimizer::adam(0.002),
            params: FilterParams::default(),
            keep_norm: false,
        }
    }
}

setters!(MinimizeOptions {
    with_steps(steps: usize),
    with_optimizer(optimizer: Optimizer),
    with_params(params: FilterParams),
    with_keep_norm(keep_norm: bool),
});

/// What minimising a layer gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Minimized {
    /// Weights after the last step; `None` where they grew beyond all bounds.
    pub weights: Option<Vec<f32>>,
    /// `L` before the first and after every step; where it diverged it ends early, with NaN.
    pub history: Vec<f64>,
}

/// Minimises the similarity of one layer. Layers do not depend on each other: doing one after the other is
/// the same as minimising their sum.
///
/// # Errors
/// As [`FilterBank::check`] and [`Optimizer::check`]; device errors; [`Error::Cancelled`].
pub fn minimize(
    ctx: &Context<'_>,
    bank: &FilterBank<'_>,
    options: &MinimizeOptions,
) -> Result<Minimized> {
    ctx.run(|| {
        on_backend!(ctx.device(), |backend| minimize_on(
            backend, ctx, bank, options
        ))
    })
}

fn minimize_on<B: FilterOps>(
    backend: &B,
    ctx: &Context<'_>,
    bank: &FilterBank<'_>,
    options: &MinimizeOptions,
) -> Result<Minimized> {
    let control = ctx.control();
    let scratch = &mut B::FilterScratch::default();
    bank.check()?;
    let mut state = State::new(options.optimizer, bank.weights.len())?;
    let norms: Vec<f64> = bank.each().map(cosine::norm).collect();
    let mut weights = bank.weights.to_vec();
    let mut gradient = vec![0.0; weights.len()];
    let mut history = Vec::with_capacity(options.steps + 1);
    let stage = format!("{}: minimising", bank.name);
    for step in 0..=options.steps {
        control.check()?;
        let last = step == options.steps;
        let wanted = (!last).then_some(gradient.as_mut_slice());
        let value = match weights.iter().all(|k| k.is_finite()) {
            true => backend.similarity(&weights, bank.shape, options.params, wanted, scratch)?,
            false => f64::NAN,
        };
        history.push(value);
        if !value.is_finite() {
            return Ok(Minimized {
                weights: None,
                history,
            });
        }
        if last {
            break;
        }
        if options.keep_norm {
            flatten(&mut gradient, &weights, norms.len());
        }
        state.step(&mut weights, &gradient);
        if options.keep_norm {
            rescale(&mut weights, &norms);
        }
        control.report(Step {
            stage: &stage,
            done: step as u64 + 1,
            total: options.steps as u64,
            unit: "steps",
        });
    }
    Ok(Minimized {
        weights: Some(weights),
        history,
    })
}

/// Takes the part along each filter out of its gradient: it would only change the norm. Left in, it is most
/// of the gradient, and Adam, which looks at the sign of single weights, would turn filters by it.
fn flatten(gradient: &mut [f32], weights: &[f32], filters: usize) {
    let size = weights.len() / filters;
    for (g, k) in gradient
        .chunks_exact_mut(size)
        .zip(weights.chunks_exact(size))
    {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            let products = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b));
            products.sum()
        };
        let along = dot(g, k) / dot(k, k);
        if along.is_finite() {
            for (g, &k) in g.iter_mut().zip(k) {
                *g = (f64::from(*g) - along * f64::from(k)) as f32;
            }
        }
    }
}

/// Scales each filter to its norm; one that has become zero stays.
fn rescale(weights: &mut [f32], norms: &[f64]) {
    let size = weights.len() / norms.len();
    for (filter, wanted) in weights.chunks_exact_mut(size).zip(norms) {
        let norm = cosine::norm(filter);
        if norm > 0.0 {
            let scale = wanted / norm;
            for k in filter {
                *k = (f64::from(*k) * scale) as f32;
            }
        }
    }
}
