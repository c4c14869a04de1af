//! Elementwise functions of one or two tensors.

use super::Tensor;
use crate::Result;
use crate::ops::Activation;
use crate::ops::net::{Binary, BroadcastPlan, Unary};
use rayon::prelude::*;

/// Elements of a task: enough to outweigh the cost of starting it.
const CHUNK: usize = 1 << 14;

/// Applies `f` to every element.
pub(super) fn unary(x: &Tensor, f: Unary) -> Result<Tensor> {
    match f {
        Unary::Activation(a) => activation(x, a),
        Unary::Elu(alpha) => map(x, |v| if v > 0.0 { v } else { alpha * v.exp_m1() }),
        Unary::Sigmoid => map(x, |v| 1.0 / (1.0 + (-v).exp())),
        Unary::HardSigmoid(a, b) => map(x, |v| hard(a * v + b)),
        Unary::HardSwish => map(x, |v| v * hard(v / 6.0 + 0.5)),
        Unary::Tanh => map(x, f32::tanh),
        // erfc keeps its relative accuracy for arguments where 1 + erf(x) would cancel.
        Unary::Gelu => map(x, |v| 0.5 * v * erfc(-v * std::f32::consts::FRAC_1_SQRT_2)),
        Unary::GeluTanh => map(x, |v| {
            let inner = 0.797_884_6 * (v + 0.044_715 * v * v * v);
            0.5 * v * (1.0 + inner.tanh())
        }),
        Unary::Erf => map(x, erf),
    }
}

fn activation(x: &Tensor, a: Activation) -> Result<Tensor> {
    // Each activation has a loop of its own, so that each loop is vectorised.
    match a {
        Activation::Identity => Ok(x.clone()),
        Activation::Relu => map(x, |v| Activation::Relu.apply(v)),
        Activation::Clip(lo, hi) => map(x, move |v| Activation::Clip(lo, hi).apply(v)),
        Activation::LeakyRelu(s) => map(x, move |v| Activation::LeakyRelu(s).apply(v)),
    }
}

/// Clips to `[0, 1]`.
fn hard(x: f32) -> f32 {
    Activation::Clip(0.0, 1.0).apply(x)
}

/// `1 - erf(x)` with a relative error of at most 1.2e-7: the Chebyshev approximation `t e^(-x^2 + P(t))` with
/// `t = 1 / (1 + |x| / 2)` (Numerical Recipes, section 6.2).
fn erfc(x: f32) -> f32 {
    const P: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let z = f64::from(x).abs();
    let t = 1.0 / (1.0 + 0.5 * z);
    let p = P.iter().rev().fold(0.0, |acc, c| acc * t + c);
    let tail = t * (-z * z + p).exp();
    (if x >= 0.0 { tail } else { 2.0 - tail }) as f32
}

/// The error function. Near 0, where `1 - erfc` would cancel, it is computed by its power series.
fn erf(x: f32) -> f32 {
    if x.abs() > 0.5 {
        return 1.0 - erfc(x);
    }
    let z = f64::from(x);
    let mut term = z;
    let mut sum = z;
    for n in 1..10 {
        term *= -z * z / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    (sum * std::f64::consts::FRAC_2_SQRT_PI) as f32
}

/// Applies `f` to every element, in parallel.
fn map(x: &Tensor, f: impl Fn(f32) -> f32 + Sync) -> Result<Tensor> {
    let mut out = Tensor::unwritten(x.shape())?;
    out.data_mut()
        .par_chunks_mut(CHUNK)
        .zip(x.data().par_chunks(CHUNK))
        .for_each(|(out, x)| {
            for (out, &x) in out.iter_mut().zip(x) {
                *out = f(x);
            }
        });
    Ok(out)
}

/// Computes `activation(f(a, b))` with broadcasting.
///
/// # Errors
/// Those of [`BroadcastPlan::new`].
pub(super) fn binary(a: &Tensor, b: &Tensor, f: Binary, activation: Activation) -> Result<Tensor> {
    // Each function has a loop of its own, so that each loop is vectorised.
    match f {
        Binary::Add => zip(a, b, activation, |x, y| x + y),
        Binary::Sub => zip(a, b, activation, |x, y| x - y),
        Binary::Mul => zip(a, b, activation, |x, y| x * y),
        Binary::Div => zip(a, b, activation, |x, y| x / y),
        Binary::PRelu => zip(a, b, activation, |x, y| if x < 0.0 { x * y } else { x }),
    }
}

/// Applies an activation to values that have just been written and are still in the cache.
fn activate(values: &mut [f32], activation: Activation) {
    match activation {
        Activation::Identity => (),
        Activation::Relu => (values.iter_mut()).for_each(|v| *v = Activation::Relu.apply(*v)),
        _ => (values.iter_mut()).for_each(|v| *v = activation.apply(*v)),
    }
}

/// Applies `f` to all pairs of elements, then the activation, in parallel.
fn zip(
    a: &Tensor,
    b: &Tensor,
    activation: Activation,
    f: impl Fn(f32, f32) -> f32 + Sync,
) -> Result<Tensor> {
    let plan = BroadcastPlan::new(a.shape(), b.shape())?;
    let mut out = Tensor::unwritten(&plan.shape)?;
    let (outer, inner) = plan.extents.split_at(plan.extents.len() - 1);
    let (inner, sa, sb) = (inner[0], plan.a[outer.len()], plan.b[outer.len()]);
    if inner == 0 {
        return Ok(out);
    }
    let row = |out: &mut [f32], first: usize, index: usize| {
        let (mut i, mut ia, mut ib) = (index, first * sa, first * sb);
        for axis in (0..outer.len()).rev() {
            let at = i % outer[axis];
            i /= outer[axis];
            ia += at * plan.a[axis];
            ib += at * plan.b[axis];
        }
        let (a, b) = (&a.data()[ia..], &b.data()[ib..]);
        match (sa, sb) {
            (1, 1) => {
                for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
                    *o = f(a, b);
                }
            }
            (1, 0) => {
                let b = b[0];
                for (o, &a) in out.iter_mut().zip(a) {
                    *o = f(a, b);
                }
            }
            _ => {
                for (j, o) in out.iter_mut().enumerate() {
                    *o = f(a[j * sa], b[j * sb]);
                }
            }
        }
        activate(out, activation);
    };
    if outer.is_empty() {
        out.data_mut()
            .par_chunks_mut(CHUNK)
            .enumerate()
            .for_each(|(i, out)| row(out, i * CHUNK, 0));
    } else {
        out.data_mut()
            .par_chunks_mut(inner)
            .with_min_len(CHUNK.div_ceil(inner))
            .enumerate()
            .for_each(|(i, out)| row(out, 0, i));
    }
    Ok(out)
}
