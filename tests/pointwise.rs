//! Functions of one or two numbers: against float64, at their edges, under broadcasting.

use crate::support::functions::FUNCTIONS;
use chanscope::cpu::Cpu;
use chanscope::ops::net::{Binary, NetOps, Unary};
use chanscope::ops::{Activation, Backend};
use proptest::prelude::*;

/// `erf` by Simpson's rule on its integral.
fn erf(x: f64) -> f64 {
    let n = 4000;
    let h = x / f64::from(n);
    let f = |t: f64| (-t * t).exp();
    let inner: f64 = (1..n)
        .map(|i| f64::from(2 + 2 * (i % 2)) * f(f64::from(i) * h))
        .sum();
    (f(0.0) + inner + f(x)) * h / 3.0 * 2.0 / std::f64::consts::PI.sqrt()
}

fn exact(f: Unary, x: f64) -> f64 {
    let hard = |v: f64| v.clamp(0.0, 1.0);
    match f {
        Unary::Activation(Activation::Identity) => x,
        Unary::Activation(Activation::Relu) => x.max(0.0),
        Unary::Activation(Activation::Clip(a, b)) => x.max(f64::from(a)).min(f64::from(b)),
        Unary::Activation(Activation::LeakyRelu(s)) => x.max(0.0) + f64::from(s) * x.min(0.0),
        Unary::Elu(a) => {
            if x > 0.0 {
                x
            } else {
                f64::from(a) * (x.exp() - 1.0)
            }
        }
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Unary::HardSigmoid(a, b) => hard(f64::from(a) * x + f64::from(b)),
        Unary::HardSwish => x * hard(x / 6.0 + 0.5),
        Unary::Tanh => x.tanh(),
        Unary::Gelu => 0.5 * x * (1.0 + erf(x / 2f64.sqrt())),
        Unary::GeluTanh => {
            let c = (2.0 / std::f64::consts::PI).sqrt();
            0.5 * x * (1.0 + (c * (x + 0.044715 * x * x * x)).tanh())
        }
        Unary::Erf => erf(x),
        Unary::Celu(a) => x.max(0.0) + (f64::from(a) * ((x / f64::from(a)).exp() - 1.0)).min(0.0),
        Unary::Selu(a, g) => {
            let (a, g) = (f64::from(a), f64::from(g));
            if x > 0.0 {
                g * x
            } else {
                g * a * (x.exp() - 1.0)
            }
        }
        Unary::Swish(a) => x / (1.0 + (-f64::from(a) * x).exp()),
        Unary::Softplus => (1.0 + x.exp()).ln(),
        Unary::Softsign => x / (1.0 + x.abs()),
        Unary::Mish => x * (1.0 + x.exp()).ln().tanh(),
        Unary::ThresholdedRelu(a) => {
            if x > f64::from(a) {
                x
            } else {
                0.0
            }
        }
        Unary::Shrink(lambda, bias) => {
            let (lambda, bias) = (f64::from(lambda), f64::from(bias));
            if x.abs() <= lambda {
                0.0
            } else {
                x - bias * x.signum()
            }
        }
        Unary::Affine(a, b) => f64::from(a) * x + f64::from(b),
        Unary::Abs => x.abs(),
        Unary::Ceil => x.ceil(),
        Unary::Floor => x.floor(),
        Unary::Round => {
            let below = x.floor();
            match x - below {
                d if d < 0.5 => below,
                d if d > 0.5 => below + 1.0,
                _ => 2.0 * (below / 2.0).ceil(),
            }
        }
        Unary::Sign => f64::from(i8::from(x > 0.0) - i8::from(x < 0.0)),
        Unary::Sqrt => x.sqrt(),
        Unary::Reciprocal => 1.0 / x,
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Atan => x.atan(),
        Unary::Not => f64::from(u8::from(x == 0.0)),
        Unary::IsNan => 0.0,
    }
}

#[test]
fn unary_functions_agree_with_float64() {
    let cpu = Cpu::new(0).unwrap();
    let x: Vec<f32> = (-400..=400).map(|i| i as f32 / 50.0).collect();
    let t = cpu.upload(&[1, x.len()], &x).unwrap();
    for f in FUNCTIONS {
        let y = cpu.download(&cpu.unary(&t, f).unwrap()).unwrap();
        for (&x, &y) in x.iter().zip(&y) {
            let want = exact(f, f64::from(x));
            let error = (f64::from(y) - want).abs();
            assert!(
                error < 1e-6 * want.abs().max(0.1),
                "{f:?}({x}): {y} for {want}"
            );
        }
    }
}

#[test]
fn extremes_neither_overflow_nor_lose_a_nan() {
    let cpu = Cpu::new(0).unwrap();
    let t = cpu.upload(&[1, 3], &[f32::NAN, -1e30, 1e30]).unwrap();
    for f in FUNCTIONS {
        let y = cpu.unary(&t, f).unwrap();
        assert!(y.data()[0].is_nan(), "{f:?}(NaN)");
        assert!(!y.data()[1].is_nan() && !y.data()[2].is_nan(), "{f:?}");
    }
}

#[test]
fn functions_of_some_numbers_agree_with_float64() {
    let cpu = Cpu::new(0).unwrap();
    let x: Vec<f32> = (-120..120)
        .map(|i| f32::powf(10.0, i as f32 / 4.0) + 1e-3)
        .chain([1.0, 0.9, 1.1, f32::MIN_POSITIVE, f32::MAX, 1e-44])
        .collect();
    let t = cpu.upload(&[1, x.len()], &x).unwrap();
    for f in [Unary::Sqrt, Unary::Log, Unary::Reciprocal] {
        let y = cpu.unary(&t, f).unwrap();
        for (&x, &y) in x.iter().zip(y.data()) {
            let want = exact(f, f64::from(x)) as f32;
            let near = (y - want).abs() <= 2e-7 * want.abs() || y == want;
            assert!(near, "{f:?}({x}): {y} for {want}");
        }
    }
    let x: Vec<f32> = (-870..=880).map(|i| i as f32 / 10.0).collect();
    let t = cpu.upload(&[1, x.len()], &x).unwrap();
    let y = cpu.unary(&t, Unary::Exp).unwrap();
    for (&x, &y) in x.iter().zip(y.data()) {
        let want = f64::from(x).exp();
        assert!((f64::from(y) - want).abs() < 2e-7 * want, "e^{x}: {y}");
    }
    let odd = [f32::NAN, -1.0, 0.0, -0.0, 2.0, f32::INFINITY];
    let t = cpu.upload(&[1, odd.len()], &odd).unwrap();
    let of = |f| cpu.download(&cpu.unary(&t, f).unwrap()).unwrap();
    assert_eq!(of(Unary::Not), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    assert_eq!(of(Unary::IsNan), [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert!(of(Unary::Sqrt)[1].is_nan() && of(Unary::Log)[1].is_nan());
    assert_eq!(of(Unary::Log)[2..4], [f32::NEG_INFINITY; 2]);
}

/// Within a unit in the last place of the float64 value, over the range where the function is neither 0 nor 1.
#[test]
fn erf_is_accurate_to_float32_rounding() {
    let cpu = Cpu::new(0).unwrap();
    let x: Vec<f32> = (-4000..=4000).map(|i| i as f32 / 1000.0).collect();
    let t = cpu.upload(&[1, x.len()], &x).unwrap();
    let y = cpu.unary(&t, Unary::Erf).unwrap();
    for (&x, &y) in x.iter().zip(y.data()) {
        let want = erf(f64::from(x));
        let unit = f64::from(want.abs() as f32) * f64::from(f32::EPSILON);
        assert!(
            (f64::from(y) - want).abs() <= unit,
            "erf({x}): {y} for {want}"
        );
    }
}

#[test]
fn powers_comparisons_and_choices_treat_special_numbers_as_the_c_library_does() {
    let cpu = Cpu::new(0).unwrap();
    let nan = f32::NAN;
    let of = |f, a: f32, b: f32| {
        let (a, b) = (
            cpu.upload(&[1], &[a]).unwrap(),
            cpu.upload(&[1], &[b]).unwrap(),
        );
        cpu.binary(&a, &b, f, Activation::Identity).unwrap().data()[0]
    };
    assert_eq!(of(Binary::Pow, -2.0, 3.0), -8.0);
    assert_eq!(of(Binary::Pow, 0.0, 0.0), 1.0);
    assert_eq!(of(Binary::Pow, 2.0, -2.0), 0.25);
    assert!(of(Binary::Pow, -2.0, 0.5).is_nan());
    assert!(of(Binary::Min, nan, 1.0).is_nan() && of(Binary::Max, 1.0, nan).is_nan());
    assert_eq!(
        [of(Binary::Less, nan, 1.0), of(Binary::Equal, nan, nan)],
        [0.0; 2]
    );
    assert_eq!(
        [
            of(Binary::LessOrEqual, 1.0, 1.0),
            of(Binary::Less, 1.0, 1.0)
        ],
        [1.0, 0.0]
    );
    assert_eq!(
        [of(Binary::Keep, 0.0, nan), of(Binary::Drop, 1.0, nan)],
        [0.0; 2]
    );
    assert_eq!(
        [of(Binary::Keep, 1.0, 7.0), of(Binary::Drop, 0.0, 7.0)],
        [7.0; 2]
    );
}

fn shapes() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    prop::collection::vec((1usize..5, any::<bool>(), any::<bool>()), 1..5).prop_flat_map(|axes| {
        let pick = |one: fn(&(usize, bool, bool)) -> bool| -> Vec<usize> {
            axes.iter().map(|a| if one(a) { 1 } else { a.0 }).collect()
        };
        let (a, b) = (pick(|a| a.1), pick(|a| a.2 && !a.1));
        (0..=b.len() - 1).prop_map(move |cut| (a.clone(), b[cut..].to_vec()))
    })
}

proptest! {
    #[test]
    fn broadcasting_is_numpys((sa, sb) in shapes(), f in 0usize..8, swap in any::<bool>()) {
        let (sa, sb) = if swap { (sb, sa) } else { (sa, sb) };
        let f = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::PRelu,
            Binary::Min, Binary::Max, Binary::Less][f];
        let cpu = Cpu::new(2).unwrap();
        let fill = |n: usize, k: f32| (0..n).map(|i| i as f32 * k - 3.3).collect::<Vec<_>>();
        let (a, b) = (fill(sa.iter().product(), 1.1), fill(sb.iter().product(), 0.7));
        let rank = sa.len().max(sb.len());
        let long = |s: &[usize]| [vec![1; rank - s.len()], s.to_vec()].concat();
        let (la, lb) = (long(&sa), long(&sb));
        let shape: Vec<usize> = la.iter().zip(&lb).map(|(a, b)| *a.max(b)).collect();
        let (ta, tb) = (cpu.upload(&sa, &a).unwrap(), cpu.upload(&sb, &b).unwrap());
        let got = cpu.binary(&ta, &tb, f, Activation::Relu).unwrap();
        prop_assert_eq!(got.shape(), shape.as_slice());
        for (i, &g) in got.data().iter().enumerate() {
            let (mut rest, mut ia, mut ib, mut na, mut nb) = (i, 0, 0, 1, 1);
            for axis in (0..rank).rev() {
                let at = rest % shape[axis];
                rest /= shape[axis];
                if la[axis] > 1 { ia += at * na; }
                if lb[axis] > 1 { ib += at * nb; }
                na *= la[axis];
                nb *= lb[axis];
            }
            let (x, y) = (a[ia], b[ib]);
            let want = match f {
                Binary::Add => x + y,
                Binary::Sub => x - y,
                Binary::Mul => x * y,
                Binary::Div => x / y,
                Binary::PRelu => if x < 0.0 { x * y } else { x },
                Binary::Min => x.min(y),
                Binary::Max => x.max(y),
                _ => f32::from(u8::from(x < y)),
            };
            prop_assert_eq!(g, want.max(0.0));
        }
    }
}

#[test]
fn large_tensors_take_the_parallel_path() {
    let cpu = Cpu::new(2).unwrap();
    let x: Vec<f32> = (0..100_000).map(|i| i as f32).collect();
    let t = cpu.upload(&[x.len()], &x).unwrap();
    let sum = cpu
        .binary(&t, &t, Binary::Add, Activation::Identity)
        .unwrap();
    assert!(sum.data().iter().zip(&x).all(|(s, x)| *s == 2.0 * x));
    let column = cpu.upload(&[100, 1], &x[..100]).unwrap();
    let matrix = cpu.upload(&[100, 1000], &x).unwrap();
    let y = cpu
        .binary(&matrix, &column, Binary::Mul, Activation::Identity)
        .unwrap();
    let wrong = (0..x.len()).find(|&i| y.data()[i] != x[i] * x[i / 1000]);
    assert_eq!(wrong, None);
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let cpu = Cpu::new(1).unwrap();
    let (a, b) = (cpu.zeros(&[2, 3]).unwrap(), cpu.zeros(&[2]).unwrap());
    assert!(
        cpu.binary(&a, &b, Binary::Add, Activation::Identity)
            .is_err()
    );
}
