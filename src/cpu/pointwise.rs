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
        Unary::Elu(alpha) => map(x, |v| elu(v, alpha, 1.0)),
        Unary::Celu(alpha) => map(x, |v| elu(v, alpha, 1.0 / alpha)),
        Unary::Selu(alpha, gamma) => map(x, |v| gamma * elu(v, alpha, 1.0)),
        Unary::Sigmoid => map(x, sigmoid),
        Unary::Swish(alpha) => map(x, |v| v * sigmoid(alpha * v)),
        Unary::HardSigmoid(a, b) => map(x, |v| hard(a * v + b)),
        Unary::HardSwish => map(x, |v| v * hard(v / 6.0 + 0.5)),
        Unary::Tanh => map(x, f32::tanh),
        // erfc keeps its relative accuracy for arguments where 1 + erf(x) would cancel.
        Unary::Gelu => map(x, |v| {
            0.5 * v * libm::erfcf(-v * std::f32::consts::FRAC_1_SQRT_2)
        }),
        Unary::GeluTanh => map(x, |v| {
            let inner = 0.797_884_6 * (v + 0.044_715 * v * v * v);
            0.5 * v * (1.0 + inner.tanh())
        }),
        Unary::Erf => map(x, libm::erff),
        Unary::Softplus => map(x, |v| {
            let tail = (-v.abs()).exp().ln_1p();
            if v > 0.0 { v + tail } else { tail }
        }),
        Unary::Softsign => map(x, |v| v / (1.0 + v.abs())),
        Unary::Mish => map(x, mish),
        Unary::ThresholdedRelu(alpha) => map(x, |v| if v <= alpha { 0.0 } else { v }),
        Unary::Shrink(lambda, bias) => map(x, |v| {
            if v < -lambda {
                v + bias
            } else if v > lambda {
                v - bias
            } else {
                0.0 * v
            }
        }),
        Unary::Affine(a, b) => map(x, |v| a * v + b),
        Unary::Abs => map(x, f32::abs),
        Unary::Ceil => map(x, f32::ceil),
        Unary::Floor => map(x, f32::floor),
        Unary::Round => map(x, f32::round_ties_even),
        Unary::Sign => map(x, |v| {
            if v > 0.0 {
                1.0
            } else if v < 0.0 {
                -1.0
            } else {
                v
            }
        }),
        Unary::Sqrt => map(x, f32::sqrt),
        Unary::Reciprocal => map(x, f32::recip),
        Unary::Exp => map(x, f32::exp),
        Unary::Log => map(x, f32::ln),
        Unary::Sin => map(x, f32::sin),
        Unary::Cos => map(x, f32::cos),
        Unary::Atan => map(x, f32::atan),
        Unary::Not => map(x, |v| truth(v == 0.0)),
        Unary::IsNan => map(x, |v| truth(v.is_nan())),
    }
}

/// 1 for true.
fn truth(v: bool) -> f32 {
    f32::from(u8::from(v))
}

/// `v` where positive, else `alpha (e^(rate v) - 1)`.
fn elu(v: f32, alpha: f32, rate: f32) -> f32 {
    if v > 0.0 {
        v
    } else {
        alpha * (rate * v).exp_m1()
    }
}

fn sigmoid(v: f32) -> f32 {
    1.0 / (1.0 + (-v).exp())
}

/// `v tanh(ln(1 + e^v))`, where `tanh(ln(1 + e)) = (e^2 + 2 e) / (e^2 + 2 e + 2)`, divided by `e^2` for large `e`.
fn mish(v: f32) -> f32 {
    let e = (-v.abs()).exp();
    if v > 0.0 {
        v * (1.0 + 2.0 * e) / (1.0 + 2.0 * e + 2.0 * e * e)
    } else {
        let p = e * (e + 2.0);
        v * (p / (p + 2.0))
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
        Binary::Pow => zip(a, b, activation, f32::powf),
        Binary::Min => zip(
            a,
            b,
            activation,
            |x, y| {
                if x < y || x.is_nan() { x } else { y }
            },
        ),
        Binary::Max => zip(
            a,
            b,
            activation,
            |x, y| {
                if x > y || x.is_nan() { x } else { y }
            },
        ),
        Binary::Less => zip(a, b, activation, |x, y| truth(x < y)),
        Binary::LessOrEqual => zip(a, b, activation, |x, y| truth(x <= y)),
        Binary::Equal => zip(a, b, activation, |x, y| truth(x == y)),
        Binary::Keep => zip(a, b, activation, |x, y| if x == 0.0 { 0.0 } else { y }),
        Binary::Drop => zip(a, b, activation, |x, y| if x == 0.0 { y } else { 0.0 }),
    }
}

/// Applies an activation to values that have just been written and are still in the cache.
pub(super) fn activate(values: &mut [f32], activation: Activation) {
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
