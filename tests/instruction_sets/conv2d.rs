use crate::oracle;
use crate::support::noise;
use chanscope::Error;
use chanscope::cpu::{Cpu, InstructionSet, Tensor};
use chanscope::ops::{Activation, Backend, Conv2dParams};
use proptest::prelude::*;

pub const ON_EACH_SET: chanscope::internals::OnEachSet =
    tests![any_shape, real_layers, small_maps,];
pub const ONCE: crate::Once = tests![
    batch_and_threads_do_not_matter,
    the_batch_does_not_matter_on_small_maps,
    more_input_than_a_piece,
    nan_stays_nan,
    shapes_that_do_not_fit_are_named,
];

#[derive(Clone, Debug)]
struct Case {
    x: [usize; 4],
    weight: [usize; 4],
    bias: bool,
    params: Conv2dParams,
    seed: u64,
}

impl Case {
    fn new(x: [usize; 4], weight: [usize; 4]) -> Self {
        Self {
            x,
            weight,
            bias: true,
            params: plain(),
            seed: 1,
        }
    }

    fn values(&self) -> [Vec<f32>; 3] {
        let mut next = noise(self.seed);
        let mut take = |n: usize| (0..n).map(|_| next()).collect();
        [
            take(self.x.iter().product()),
            take(self.weight.iter().product()),
            take(if self.bias { self.weight[0] } else { 0 }),
        ]
    }

    fn run(&self, cpu: &Cpu) -> Result<Tensor, Error> {
        let [x, weight, bias] = self.values();
        let x = cpu.upload(&self.x, &x)?;
        let weight = cpu.upload(&self.weight, &weight)?;
        let bias = self
            .bias
            .then(|| cpu.upload(&[bias.len()], &bias))
            .transpose()?;
        cpu.conv2d(&x, &weight, bias.as_ref(), &self.params)
    }

    /// Within the bound of an f32 sum in chunks.
    fn check(&self, set: InstructionSet) {
        let [x, weight, bias] = self.values();
        let (shape, want, scales) =
            oracle::conv2d::conv2d(&x, self.x, &weight, self.weight, &bias, &self.params);
        let terms = self.weight[1..].iter().product::<usize>();
        let roundings = (terms.min(300) + terms / 200 + 4) as f64;
        let out = self
            .run(&Cpu::with_instruction_set(2, set).unwrap())
            .unwrap();
        assert_eq!(out.shape(), shape);
        for (i, ((&got, &want), &scale)) in out.data().iter().zip(&want).zip(&scales).enumerate() {
            let bound = roundings * f64::from(f32::EPSILON) / 2.0 * scale + 1e-30;
            assert!(
                (f64::from(got) - want).abs() <= bound,
                "{set} {self:?} at {i}: {got} {want}"
            );
        }
    }
}

fn plain() -> Conv2dParams {
    Conv2dParams {
        stride: [1, 1],
        padding: [0; 4],
        dilation: [1, 1],
        groups: 1,
        activation: Activation::Identity,
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let activation = prop_oneof![
        Just(Activation::Identity),
        Just(Activation::Relu),
        Just(Activation::Clip(0.0, 6.0)),
        Just(Activation::Clip(-0.25, 0.125)),
        Just(Activation::LeakyRelu(0.1)),
    ];
    let sizes = (
        1usize..4,
        1usize..6,
        1usize..4,
        1usize..13,
        1usize..40,
        1usize..40,
    );
    let kernel = (
        1usize..5,
        1usize..6,
        1usize..4,
        1usize..4,
        1usize..3,
        1usize..3,
    );
    (
        sizes,
        kernel,
        prop::array::uniform4(0usize..4),
        activation,
        any::<bool>(),
        any::<u64>(),
    )
        .prop_filter_map(
            "the kernel fits",
            |(
                (n, groups, per_group, per_filter, h, w),
                (kh, kw, sy, sx, dy, dx),
                padding,
                activation,
                bias,
                seed,
            )| {
                let fits = h + padding[0] + padding[2] > (kh - 1) * dy
                    && w + padding[1] + padding[3] > (kw - 1) * dx;
                fits.then(|| Case {
                    x: [n, groups * per_group, h, w],
                    weight: [groups * per_filter, per_group, kh, kw],
                    bias,
                    params: Conv2dParams {
                        stride: [sy, sx],
                        padding,
                        dilation: [dy, dx],
                        groups,
                        activation,
                    },
                    seed,
                })
            },
        )
}

fn any_shape(set: InstructionSet) {
    proptest!(ProptestConfig::with_cases(150), |(case in cases())| {
        case.check(set);
    });
}

/// A sample's output has the same bits alone, in a batch, and with another number of threads.
fn batch_and_threads_do_not_matter() {
    proptest!(ProptestConfig::with_cases(150), |(mut case in cases(), first in 0usize..4)| {
        let whole = case.run(&Cpu::new(2).unwrap()).unwrap();
        prop_assert_eq!(&case.run(&Cpu::new(1).unwrap()).unwrap(), &whole);
        let first = first % case.x[0];
        let [x, weight, bias] = case.values();
        let cpu = Cpu::new(1).unwrap();
        let per_sample = x.len() / case.x[0];
        case.x[0] = 1;
        let x = cpu.upload(&case.x, &x[first * per_sample..][..per_sample]).unwrap();
        let weight = cpu.upload(&case.weight, &weight).unwrap();
        let bias = case.bias.then(|| cpu.upload(&[bias.len()], &bias).unwrap());
        let alone = cpu.conv2d(&x, &weight, bias.as_ref(), &case.params).unwrap();
        let len = alone.data().len();
        prop_assert_eq!(alone.data(), &whole.data()[first * len..][..len]);
    });
}

/// Maps on which many taps fall on padding, in batches large enough to leave those out; and a map of which a kernel
/// sees nothing.
fn small_map_cases() -> Vec<Case> {
    let of = |x, weight, padding, stride, dilation| Case {
        params: Conv2dParams {
            padding,
            stride,
            dilation,
            activation: Activation::LeakyRelu(0.1),
            ..plain()
        },
        ..Case::new(x, weight)
    };
    vec![
        of([40, 60, 2, 2], [19, 60, 3, 3], [1; 4], [1, 1], [1, 1]),
        of([32, 33, 4, 4], [70, 33, 3, 3], [1; 4], [1, 1], [1, 1]),
        of([57, 29, 4, 4], [9, 29, 3, 3], [1; 4], [2, 2], [1, 1]),
        of([150, 3, 1, 1], [5, 3, 3, 3], [1; 4], [1, 1], [1, 1]),
        of([64, 7, 3, 5], [8, 7, 5, 3], [2, 1, 2, 1], [1, 1], [1, 1]),
        of([31, 4, 5, 4], [3, 4, 3, 3], [2, 3, 3, 2], [2, 3], [2, 2]),
        of([32, 2, 2, 2], [4, 2, 2, 2], [3, 3, 3, 3], [1, 1], [1, 1]),
    ]
}

fn small_maps(set: InstructionSet) {
    for case in small_map_cases() {
        case.check(set);
    }
}

fn the_batch_does_not_matter_on_small_maps() {
    for mut case in small_map_cases() {
        let whole = case.run(&Cpu::new(2).unwrap()).unwrap();
        assert_eq!(case.run(&Cpu::new(1).unwrap()).unwrap(), whole);
        let [x, weight, bias] = case.values();
        let cpu = Cpu::new(1).unwrap();
        let per_sample = x.len() / case.x[0];
        let (samples, len) = (case.x[0], whole.data().len() / case.x[0]);
        let weight = cpu.upload(&case.weight, &weight).unwrap();
        let bias = cpu.upload(&[bias.len()], &bias).unwrap();
        for (first, count) in [(0, 1), (samples / 2, 3), (samples - 1, 1)] {
            case.x[0] = count;
            let part = &x[first * per_sample..][..count * per_sample];
            let x = cpu.upload(&case.x, part).unwrap();
            let alone = cpu.conv2d(&x, &weight, Some(&bias), &case.params).unwrap();
            assert_eq!(
                alone.data(),
                &whole.data()[first * len..][..count * len],
                "{case:?}"
            );
        }
    }
}

/// Shapes of real layers, small batches: LeNet-5, ResNet stems and stages, MobileNet's depthwise.
fn real_layers(set: InstructionSet) {
    let same = |k: usize| [k / 2; 4];
    Case {
        params: Conv2dParams {
            padding: same(5),
            activation: Activation::Relu,
            ..plain()
        },
        ..Case::new([3, 1, 28, 28], [6, 1, 5, 5])
    }
    .check(set);
    Case::new([3, 6, 14, 14], [16, 6, 5, 5]).check(set);
    Case {
        params: Conv2dParams {
            padding: same(7),
            stride: [2, 2],
            ..plain()
        },
        ..Case::new([1, 3, 60, 60], [64, 3, 7, 7])
    }
    .check(set);
    Case {
        params: Conv2dParams {
            padding: same(3),
            ..plain()
        },
        ..Case::new([5, 130, 7, 7], [70, 130, 3, 3])
    }
    .check(set);
    Case {
        params: Conv2dParams {
            stride: [2, 2],
            ..plain()
        },
        ..Case::new([2, 64, 14, 14], [128, 64, 1, 1])
    }
    .check(set);
    Case::new([3, 300, 7, 7], [65, 300, 1, 1]).check(set);
    for stride in [1, 2] {
        let params = Conv2dParams {
            padding: same(3),
            stride: [stride; 2],
            groups: 32,
            activation: Activation::Clip(0.0, 6.0),
            ..plain()
        };
        Case {
            params,
            ..Case::new([2, 32, 19, 21], [32, 1, 3, 3])
        }
        .check(set);
        Case {
            params: Conv2dParams {
                groups: 8,
                ..params
            },
            ..Case::new([2, 32, 19, 21], [32, 4, 3, 3])
        }
        .check(set);
    }
    Case::new([1, 2, 40, 3], [9, 2, 40, 3]).check(set);
}

/// A whole batch in several pieces.
fn more_input_than_a_piece() {
    let params = Conv2dParams {
        padding: [1; 4],
        ..plain()
    };
    let case = Case {
        params,
        ..Case::new([3, 2, 1100, 1100], [2, 2, 3, 3])
    };
    let whole = case.run(&Cpu::new(2).unwrap()).unwrap();
    let [x, weight, bias] = case.values();
    let cpu = Cpu::new(2).unwrap();
    let x = cpu
        .upload(&[1, 2, 1100, 1100], &x[2 * 2 * 1100 * 1100..])
        .unwrap();
    let weight = cpu.upload(&case.weight, &weight).unwrap();
    let bias = cpu.upload(&[2], &bias).unwrap();
    let last = cpu.conv2d(&x, &weight, Some(&bias), &params).unwrap();
    assert_eq!(last.data(), &whole.data()[2 * last.data().len()..]);
}

fn nan_stays_nan() {
    for activation in [
        Activation::Relu,
        Activation::Clip(0.0, 6.0),
        Activation::LeakyRelu(0.1),
    ] {
        let cpu = Cpu::new(1).unwrap();
        let x = cpu.upload(&[1, 1, 1, 2], &[f32::NAN, 1.0]).unwrap();
        let weight = cpu.upload(&[1, 1, 1, 1], &[1.0]).unwrap();
        let out = cpu
            .conv2d(
                &x,
                &weight,
                None,
                &Conv2dParams {
                    activation,
                    ..plain()
                },
            )
            .unwrap();
        assert!(out.data()[0].is_nan() && out.data()[1] == 1.0);
    }
}

fn shapes_that_do_not_fit_are_named() {
    let cpu = Cpu::new(1).unwrap();
    let refused = |case: Case| match case.run(&cpu) {
        Err(Error::Mismatch { shapes, .. }) => assert_eq!(shapes, [case.x, case.weight]),
        other => panic!("{case:?}: {other:?}"),
    };
    refused(Case::new([1, 3, 8, 8], [4, 2, 3, 3]));
    refused(Case::new([1, 3, 2, 8], [4, 3, 3, 3]));
    refused(Case {
        params: Conv2dParams {
            groups: 2,
            ..plain()
        },
        ..Case::new([1, 4, 8, 8], [3, 2, 3, 3])
    });
    refused(Case {
        params: Conv2dParams {
            groups: 0,
            ..plain()
        },
        ..Case::new([1, 4, 8, 8], [3, 2, 3, 3])
    });
    let still = Case {
        params: Conv2dParams {
            stride: [0, 1],
            ..plain()
        },
        ..Case::new([1, 4, 8, 8], [3, 4, 3, 3])
    };
    assert!(matches!(
        still.run(&cpu),
        Err(Error::Argument { name: "stride", .. })
    ));
    refused(Case {
        params: Conv2dParams {
            padding: [usize::MAX, 0, 0, 0],
            ..plain()
        },
        ..Case::new([1, 4, 8, 8], [3, 4, 3, 3])
    });
    let tensor = |shape: &[usize]| cpu.zeros(shape).unwrap();
    let bias = tensor(&[4]);
    let wrong = cpu.conv2d(
        &tensor(&[1, 4, 8, 8]),
        &tensor(&[3, 4, 3, 3]),
        Some(&bias),
        &plain(),
    );
    assert!(wrong.unwrap_err().to_string().contains("[4]"));
    assert!(
        cpu.conv2d(&tensor(&[4, 8, 8]), &tensor(&[3, 4, 3, 3]), None, &plain())
            .is_err()
    );
}
