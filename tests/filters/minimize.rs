//! Optimisers and minimisation against float64, and against what PyTorch computes.

use super::{exact, random};
use crate::oracle::minimize::{Rule, minimize as by_hand};
use chanscope::Error;
use chanscope::cpu::Cpu;
use chanscope::device::Device;
use chanscope::measure::filters::{Optimizer, State};
use chanscope::measure::{Context, FilterBank, MinimizeOptions, Minimized, minimize};
use chanscope::ops::filters::{FilterParams, FilterShape, InputChannels, Pairs};

const fn sgd(lr: f64, momentum: f64, nesterov: bool) -> Optimizer {
    Optimizer::Sgd {
        lr,
        momentum,
        nesterov,
    }
}

/// torch.optim.Adam([p], lr=0.002) and SGD([p], lr=0.1, ...) of PyTorch 2.15 in float64, four steps.
#[test]
fn steps_are_those_of_pytorch() {
    let gradients = [
        [0.1f32, -2.0, 0.0],
        [0.3, 1.0, 1e-4],
        [-0.2, 0.5, 1e-4],
        [0.05, -0.125, -3.0],
    ];
    let cases = [
        (
            Optimizer::adam(0.002),
            [0.4950757617322477, -0.24718072797894428, 0.9979574123005773],
        ),
        (sgd(0.1, 0.0, false), [0.475, -0.1875, 1.29998]),
        (sgd(0.1, 0.9, false), [0.41731, 0.0843, 1.2999539]),
        (sgd(0.1, 0.9, true), [0.400579, 0.11337, 1.56993851]),
    ];
    for (optimizer, wanted) in cases {
        let mut weights = [0.5f32, -0.25, 1.0];
        let mut state = State::new(optimizer, 3).expect("sound");
        for g in &gradients {
            state.step(&mut weights, g);
        }
        for (k, wanted) in weights.iter().zip(wanted) {
            // Weights are rounded to f32 four times.
            assert!(
                (f64::from(*k) - wanted).abs() <= 3e-7 * f64::abs(wanted),
                "{optimizer:?}: {weights:?}"
            );
        }
    }
}

fn run(shape: [usize; 4], k: &[f32], options: &MinimizeOptions) -> Minimized {
    let bank = FilterBank {
        name: "conv",
        shape: FilterShape::new(&shape).expect("shape"),
        weights: k,
    };
    let device = Device::Cpu(Cpu::new(2).expect("threads"));
    minimize(&Context::new(&device), &bank, options).expect("runs")
}

#[test]
fn trajectories_are_those_of_float64() {
    let shape = [5, 3, 3, 2];
    let k = random(5, 3, 3, 2, 21);
    let cases = [
        (Optimizer::adam(0.002), Rule::Adam { lr: 0.002 }),
        (
            sgd(0.002, 0.0, false),
            Rule::Sgd {
                lr: 0.002,
                momentum: 0.0,
                nesterov: false,
            },
        ),
        (
            sgd(0.001, 0.9, false),
            Rule::Sgd {
                lr: 0.001,
                momentum: 0.9,
                nesterov: false,
            },
        ),
        (
            sgd(0.001, 0.9, true),
            Rule::Sgd {
                lr: 0.001,
                momentum: 0.9,
                nesterov: true,
            },
        ),
    ];
    for (optimizer, rule) in cases {
        for (pairs, input_channels, keep_norm) in [
            (Pairs::All, InputChannels::Separate, false),
            (Pairs::Adjacent, InputChannels::Separate, true),
            (Pairs::All, InputChannels::Summed, true),
        ] {
            let options = MinimizeOptions::default()
                .with_steps(40)
                .with_optimizer(optimizer)
                .with_params(FilterParams {
                    pairs,
                    input_channels,
                })
                .with_keep_norm(keep_norm);
            let found = run(shape, &k, &options);
            let variant = (
                pairs == Pairs::Adjacent,
                input_channels == InputChannels::Summed,
            );
            let (history, weights) = by_hand(&exact(shape, &k), 40, rule, variant, keep_norm);
            assert_eq!(found.history.len(), history.len());
            for (step, (a, b)) in found.history.iter().zip(&history).enumerate() {
                assert!(
                    (a - b).abs() <= 1e-5 * b,
                    "{options:?} step {step}: {a} instead of {b}"
                );
            }
            for (a, b) in found.weights.expect("converged").iter().zip(&weights) {
                assert!(
                    (f64::from(*a) - b).abs() <= 1e-5,
                    "{options:?}: {a} instead of {b}"
                );
            }
            assert!(history[40] < history[0]);
        }
    }
}

#[test]
fn norms_are_kept_and_zero_filters_stay() {
    let shape = [4, 2, 3, 3];
    let mut k = random(4, 2, 3, 3, 5);
    k[18..36].fill(0.0);
    let options = MinimizeOptions::default()
        .with_steps(30)
        .with_optimizer(Optimizer::adam(0.01))
        .with_keep_norm(true);
    let found = run(shape, &k, &options).weights.expect("converged");
    let norm = |k: &[f32]| k.iter().map(|&k| f64::from(k).powi(2)).sum::<f64>().sqrt();
    for (before, after) in k.chunks(18).zip(found.chunks(18)) {
        assert!((norm(before) - norm(after)).abs() <= 1e-6 * norm(before));
    }
    assert!(found[18..36].iter().all(|&k| k == 0.0));
}

#[test]
fn divergence_ends_the_history() {
    let k = random(4, 2, 3, 3, 5);
    let options = MinimizeOptions::default()
        .with_steps(100)
        .with_optimizer(sgd(1e3, 0.0, false));
    let found = run([4, 2, 3, 3], &k, &options);
    assert!(found.weights.is_none());
    let (last, rest) = found.history.split_last().expect("values");
    assert!(last.is_nan() && !rest.is_empty() && rest.iter().all(|v| v.is_finite()));
}

#[test]
fn senseless_rules_are_refused() {
    for (optimizer, part) in [
        (Optimizer::adam(0.0), "learning_rate is 0"),
        (Optimizer::adam(f64::NAN), "learning_rate is NaN"),
        (sgd(0.1, 1.0, false), "momentum is 1"),
        (sgd(0.1, 0.0, true), "nesterov is true"),
    ] {
        let e = optimizer.check().expect_err("refused");
        assert!(
            matches!(e, Error::Argument { .. }) && e.to_string().contains(part),
            "{e}"
        );
    }
}
