//! The paper's first experiments in one dimension: what minimising does to feature maps, and where its
//! relation between feature maps and kernels holds.
//!
//! Two kernels read one input `X`, their feature maps are `F_i[p] = sum_n K_i[n] X[p + n]`. With full padding
//! `<F_1, F_2> = sum_b R_12[b] R_XX[b]`, `R` the correlations at lag `b`: whatever makes `R_12` small makes
//! feature maps orthogonal on any input. The cosine of the kernels is `R_12[0]` alone.

use super::{Optimizer, State};
use crate::device::on_backend;
use crate::measure::Context;
use crate::measure::setters::setters;
use crate::ops::filters::{FilterOps, FilterParams, FilterShape};
use crate::{Error, Result};

/// Size of the experiment. The default is the one whose figures the documentation quotes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct StudyOptions {
    /// Pairs of kernels, each with its input.
    pub repetitions: usize,
    /// Weights of a kernel, normally distributed.
    pub kernel: usize,
    /// Elements of an input, uniform in `[0, 1)` as pixels are.
    pub input: usize,
    /// Steps of each minimisation.
    pub steps: usize,
    /// Rule of a step.
    pub optimizer: Optimizer,
    /// Of everything random.
    pub seed: u64,
}

setters!(StudyOptions {
    with_repetitions(repetitions: usize),
    with_kernel(kernel: usize),
    with_input(input: usize),
    with_steps(steps: usize),
    with_optimizer(optimizer: Optimizer),
    with_seed(seed: u64),
});

impl Default for StudyOptions {
    fn default() -> Self {
        Self {
            repetitions: 100,
            kernel: 9,
            input: 64,
            steps: 1000,
            optimizer: Optimizer::adam(0.01),
            seed: 0,
        }
    }
}

/// What was found. Similarities are absolute cosines of the two feature maps under full padding, means over
/// the repetitions.
#[derive(Clone, Debug, PartialEq)]
pub struct Study {
    /// Before any minimisation.
    pub similarity: f64,
    /// After minimising the squared cosine of the kernels.
    pub after_cosine: f64,
    /// After minimising their Convolutional Similarity.
    pub after_similarity: f64,
    /// Mean absolute cosine of the kernels after minimising it.
    pub cosine_left: f64,
    /// How far the relation holds, by padding.
    pub relations: [Relation; 3],
}

impl Study {
    /// Share of the feature maps' similarity that is gone: by minimising the kernels' cosine, and by
    /// minimising their Convolutional Similarity.
    pub fn reductions(&self) -> [f64; 2] {
        [self.after_cosine, self.after_similarity].map(|after| 1.0 - after / self.similarity)
    }
}

/// Zeros around the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// A map of `input + kernel - 1`.
    Full,
    /// A map of `input`.
    Same,
    /// None: a map of `input - kernel + 1`.
    Valid,
}

impl Padding {
    /// Name as in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Same => "same",
            Self::Valid => "valid",
        }
    }
}

/// Error of `sum_b R_12[b] R_XX[b]` as the inner product of feature maps, relative to the product of their
/// norms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Relation {
    /// Of the convolution.
    pub padding: Padding,
    /// Mean over the repetitions.
    pub mean_error: f64,
    /// Largest.
    pub max_error: f64,
}

/// Runs the experiment.
///
/// # Errors
/// [`Error::Argument`] on sizes that leave nothing to measure; as [`Optimizer::check`]; device errors;
/// [`Error::Cancelled`].
pub fn study(ctx: &Context<'_>, options: &StudyOptions) -> Result<Study> {
    ctx.run(|| on_backend!(ctx.device(), |backend| study_on(backend, ctx, options)))
}

fn study_on<B: FilterOps>(backend: &B, ctx: &Context<'_>, options: &StudyOptions) -> Result<Study> {
    let (n, len) = (options.kernel, options.input);
    if n < 2 || len < n || options.repetitions == 0 {
        let got = format!(
            "kernels of {n} weights, inputs of {len} and {} repetitions",
            options.repetitions
        );
        let expected = "kernels of at least 2 weights, no longer than the input, and a repetition";
        return Err(Error::argument("study", got, expected));
    }
    let shape = FilterShape::new(&[2, 1, 1, n])?;
    let mut random = Random::new(options.seed);
    let mut scratch = B::FilterScratch::default();
    let mut sums = [0.0; 4];
    let mut errors = [[0.0f64; 2]; 3];
    for _ in 0..options.repetitions {
        ctx.control().check()?;
        let x: Vec<f64> = (0..len).map(|_| random.uniform()).collect();
        let kernels: Vec<f32> = (0..2 * n).map(|_| random.normal() as f32).collect();
        let orthogonal = descend(&kernels, options, |k, gradient| {
            cosine_gradient(k, gradient);
            Ok(())
        })?;
        let dissimilar = descend(&kernels, options, |k, gradient| {
            let params = FilterParams::default();
            backend.similarity(k, shape, params, Some(gradient), &mut scratch)?;
            Ok(())
        })?;
        for (sum, kernels) in sums.iter_mut().zip([&kernels, &orthogonal, &dissimilar]) {
            let [a, b] = maps(kernels, &x, Padding::Full);
            *sum += cosine(&a, &b).abs();
        }
        let [a, b] = halves(&orthogonal);
        sums[3] += cosine(&a, &b).abs();
        for (worst, padding) in errors.iter_mut().zip(PADDINGS) {
            let error = relation_error(&kernels, &x, padding);
            *worst = [worst[0] + error, worst[1].max(error)];
        }
    }
    let count = options.repetitions as f64;
    let [similarity, after_cosine, after_similarity, cosine_left] = sums.map(|s| s / count);
    let relation = |i: usize| Relation {
        padding: PADDINGS[i],
        mean_error: errors[i][0] / count,
        max_error: errors[i][1],
    };
    Ok(Study {
        similarity,
        after_cosine,
        after_similarity,
        cosine_left,
        relations: [relation(0), relation(1), relation(2)],
    })
}

const PADDINGS: [Padding; 3] = [Padding::Full, Padding::Same, Padding::Valid];

fn descend(
    kernels: &[f32],
    options: &StudyOptions,
    mut slope: impl FnMut(&[f32], &mut [f32]) -> Result<()>,
) -> Result<Vec<f32>> {
    let mut kernels = kernels.to_vec();
    let mut gradient = vec![0.0; kernels.len()];
    let mut state = State::new(options.optimizer, kernels.len())?;
    for _ in 0..options.steps {
        slope(&kernels, &mut gradient)?;
        state.step(&mut kernels, &gradient);
    }
    Ok(kernels)
}

/// Gradient of the squared cosine of two kernels.
fn cosine_gradient(kernels: &[f32], gradient: &mut [f32]) {
    let [a, b] = halves(kernels);
    let (na, nb, c) = (dot(&a, &a).sqrt(), dot(&b, &b).sqrt(), cosine(&a, &b));
    for i in 0..a.len() {
        gradient[i] = (2.0 * c * (b[i] / (na * nb) - c * a[i] / (na * na))) as f32;
        gradient[a.len() + i] = (2.0 * c * (a[i] / (na * nb) - c * b[i] / (nb * nb))) as f32;
    }
}

fn halves(kernels: &[f32]) -> [Vec<f64>; 2] {
    let (a, b) = kernels.split_at(kernels.len() / 2);
    [a, b].map(|k| k.iter().map(|&k| f64::from(k)).collect())
}

/// Both feature maps.
fn maps(kernels: &[f32], x: &[f64], padding: Padding) -> [Vec<f64>; 2] {
    halves(kernels).map(|k| {
        let n = k.len();
        let (before, size) = match padding {
            Padding::Full => (n - 1, x.len() + n - 1),
            Padding::Same => (n / 2, x.len()),
            Padding::Valid => (0, x.len() + 1 - n),
        };
        let at = |p: usize, n: usize| (p + n).checked_sub(before).and_then(|i| x.get(i)).copied();
        (0..size)
            .map(|p| (0..n).map(|i| k[i] * at(p, i).unwrap_or(0.0)).sum())
            .collect()
    })
}

fn relation_error(kernels: &[f32], x: &[f64], padding: Padding) -> f64 {
    let [a, b] = maps(kernels, x, padding);
    let [k1, k2] = halves(kernels);
    let reach = k1.len() as isize - 1;
    let from_kernels: f64 = (-reach..=reach)
        .map(|lag| correlation(&k1, &k2, lag) * correlation(x, x, lag))
        .sum();
    (dot(&a, &b) - from_kernels).abs() / (dot(&a, &a) * dot(&b, &b)).sqrt()
}

/// `sum_n a[n] b[n + lag]`.
fn correlation(a: &[f64], b: &[f64], lag: isize) -> f64 {
    let other = |n: usize| n.checked_add_signed(lag).and_then(|m| b.get(m));
    (a.iter().enumerate())
        .map(|(n, a)| a * other(n).unwrap_or(&0.0))
        .sum()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// In `[0, 1)`.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller.
    fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.uniform(), self.uniform());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}
