//! Functions of one or two numbers: against float64, at their edges, under broadcasting.

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
    }
}

const ALL: [Unary; 12] = [
    Unary::Activation(Activation::Identity),
    Unary::Activation(Activation::Relu),
    Unary::Activation(Activation::Clip(0.0, 6.0)),
    Unary::Activation(Activation::LeakyRelu(0.1)),
    Unary::Elu(0.7),
    Unary::Sigmoid,
    Unary::HardSigmoid(0.2, 0.5),
    Unary::HardSwish,
    Unary::Tanh,
    Unary::Gelu,
    Unary::GeluTanh,
    Unary::Erf,
];

#[test]
fn unary_functions_agree_with_float64() {
    let cpu = Cpu::new(0).unwrap();
    let x: Vec<f32> = (-400..=400).map(|i| i as f32 / 50.0).collect();
    let t = cpu.upload(&[1, x.len()], &x).unwrap();
    for f in ALL {
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
    for f in ALL {
        let y = cpu.unary(&t, f).unwrap();
        assert!(y.data()[0].is_nan(), "{f:?}(NaN)");
        assert!(!y.data()[1].is_nan() && !y.data()[2].is_nan(), "{f:?}");
    }
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
    fn broadcasting_is_numpys((sa, sb) in shapes(), f in 0usize..5, swap in any::<bool>()) {
        let (sa, sb) = if swap { (sb, sa) } else { (sa, sb) };
        let f = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::PRelu][f];
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
