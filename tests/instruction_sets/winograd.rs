//! Convolutions whose sums need not be those of the definition (`NetOps::conv2d_relaxed`).

use crate::oracle;
use crate::support::noise;
use chanscope::cpu::{Cpu, InstructionSet, Tensor};
use chanscope::ops::net::NetOps;
use chanscope::ops::{Activation, Backend, Conv2dParams};
use proptest::prelude::*;

pub const ON_EACH_SET: chanscope::internals::OnEachSet =
    tests![any_shape, maps_of_two_by_two, errors_are_small];
pub const ONCE: crate::Once = tests![
    batch_and_threads_do_not_matter,
    other_kernels_give_the_bits_of_the_plain_sum,
    unused_lanes_do_not_matter,
];

#[derive(Clone, Debug)]
struct Case {
    x: [usize; 4],
    filters: usize,
    bias: bool,
    padding: [usize; 4],
    activation: Activation,
    seed: u64,
}

impl Case {
    fn new(x: [usize; 4], filters: usize) -> Self {
        Self {
            x,
            filters,
            bias: true,
            padding: [1; 4],
            activation: Activation::Identity,
            seed: 3,
        }
    }

    fn params(&self) -> Conv2dParams {
        Conv2dParams {
            stride: [1; 2],
            padding: self.padding,
            dilation: [1; 2],
            groups: 1,
            activation: self.activation,
        }
    }

    fn weight(&self) -> [usize; 4] {
        [self.filters, self.x[1], 3, 3]
    }

    fn values(&self) -> [Vec<f32>; 3] {
        let mut next = noise(self.seed);
        let mut take = |n: usize| (0..n).map(|_| next()).collect();
        [
            take(self.x.iter().product()),
            take(self.weight().iter().product()),
            take(if self.bias { self.filters } else { 0 }),
        ]
    }

    /// The convolution of some samples, [`NetOps::conv2d_relaxed`] or not.
    fn run(&self, cpu: &Cpu, samples: std::ops::Range<usize>, relaxed: bool) -> Tensor {
        let [x, weight, bias] = self.values();
        let sample = x.len() / self.x[0];
        let mut shape = self.x;
        shape[0] = samples.len();
        let x = &x[samples.start * sample..samples.end * sample];
        let x = cpu.upload(&shape, x).unwrap();
        let weight = cpu.upload(&self.weight(), &weight).unwrap();
        let bias = (self.bias).then(|| cpu.upload(&[bias.len()], &bias).unwrap());
        match relaxed {
            true => cpu.conv2d_relaxed(&x, &weight, bias.as_ref(), &self.params()),
            false => cpu.conv2d(&x, &weight, bias.as_ref(), &self.params()),
        }
        .unwrap()
    }

    fn relaxed(&self, cpu: &Cpu) -> Tensor {
        self.run(cpu, 0..self.x[0], true)
    }

    /// Whether the sizes are such that the sums are not those of the definition.
    fn is_transformed(&self, cpu: &Cpu) -> bool {
        self.relaxed(cpu).data() != self.run(cpu, 0..self.x[0], false).data()
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let activation = prop_oneof![
        Just(Activation::Identity),
        Just(Activation::Relu),
        Just(Activation::Clip(-0.25, 0.125)),
        Just(Activation::LeakyRelu(0.1)),
    ];
    let sizes = (1usize..40, 9usize..20, 4usize..22, 4usize..22, 9usize..20);
    let padding = prop::array::uniform4(0usize..3);
    (sizes, padding, activation, any::<bool>(), any::<u64>()).prop_map(
        |((n, c, h, w, filters), padding, activation, bias, seed)| Case {
            x: [n, c, h, w],
            filters,
            bias,
            padding,
            activation,
            seed,
        },
    )
}

fn any_shape(set: InstructionSet) {
    let cpu = Cpu::with_instruction_set(2, set).unwrap();
    let transformed = std::cell::Cell::new(0);
    proptest!(ProptestConfig::with_cases(24), |(case in cases())| {
        let [x, weight, bias] = case.values();
        let (shape, want, _) =
            oracle::conv2d::conv2d(&x, case.x, &weight, case.weight(), &bias, &case.params());
        let out = case.relaxed(&cpu);
        prop_assert_eq!(out.shape(), shape);
        let (padding, sizes) = ([case.padding[0], case.padding[1]], [shape[1], shape[2], shape[3]]);
        let scales = oracle::winograd::scales(&x, case.x, &weight, &bias, padding, sizes);
        // A channel's product each, and those of the transforms: 3 and 3 for inputs, 1 for weights, 4 and 4 for outputs,
        // the bias.
        let roundings = (case.x[1] + 16) as f64;
        for (i, (&got, want)) in out.data().iter().zip(want).enumerate() {
            let bound = roundings * f64::from(f32::EPSILON) / 2.0 * scales[i];
            prop_assert!((f64::from(got) - want).abs() <= bound, "at {i}: {got} {want}");
        }
        transformed.set(transformed.get() + usize::from(case.is_transformed(&cpu)));
    });
    // How many there are is left to chance. None would mean that the transform is never taken.
    assert!(transformed.get() > 0, "no case was transformed");
}

fn maps_of_two_by_two(set: InstructionSet) {
    let cpu = Cpu::with_instruction_set(2, set).unwrap();
    let sizes = (
        1usize..140,
        12usize..300,
        12usize..40,
        any::<bool>(),
        any::<u64>(),
    );
    proptest!(ProptestConfig::with_cases(8), |((n, c, filters, bias, seed) in sizes)| {
        let case = Case {
            bias,
            seed,
            activation: if seed % 2 == 0 { Activation::Relu } else { Activation::Identity },
            ..Case::new([n, c, 2, 2], filters)
        };
        let [x, weight, bias] = case.values();
        let (_, want, _) =
            oracle::conv2d::conv2d(&x, case.x, &weight, case.weight(), &bias, &case.params());
        let scales = oracle::winograd::scales_two_by_two(&x, [n, c], &weight, &bias, filters);
        // Channels in chunks of 256, the chunks; 2 for inputs, 1 for weights, 2 for outputs, the bias.
        let roundings = (c.min(256) + c / 256 + 6) as f64;
        let out = case.relaxed(&cpu);
        for (i, (&got, want)) in out.data().iter().zip(want).enumerate() {
            let bound = roundings * f64::from(f32::EPSILON) / 2.0 * scales[i];
            prop_assert!((f64::from(got) - want).abs() <= bound, "at {i}: {got} {want}");
        }
        prop_assert!(case.is_transformed(&cpu), "{case:?}");
    });
}

/// The figure of `NetOps::conv2d_relaxed`.
fn errors_are_small(set: InstructionSet) {
    let cpu = Cpu::with_instruction_set(2, set).unwrap();
    for (x, filters) in [
        ([3, 64, 16, 16], 64),
        ([2, 128, 8, 8], 128),
        ([33, 96, 4, 4], 80),
        ([1, 300, 7, 9], 40),
        ([33, 300, 2, 2], 80),
    ] {
        let case = Case::new(x, filters);
        let [x, weight, bias] = case.values();
        let (_, want, _) =
            oracle::conv2d::conv2d(&x, case.x, &weight, case.weight(), &bias, &case.params());
        let largest = want.iter().fold(0f64, |m, v| m.max(v.abs()));
        let out = case.relaxed(&cpu);
        let errors = out.data().iter().zip(&want);
        let error = errors.fold(0f64, |m, (&got, want)| m.max((f64::from(got) - want).abs()));
        assert!(error <= 1e-5 * largest, "{case:?}: {error:e} of {largest}");
        assert!(case.is_transformed(&cpu), "{case:?}");
    }
}

fn batch_and_threads_do_not_matter() {
    for (map, samples) in [([9, 13], 70), ([2, 2], 150)] {
        let case = Case::new([samples, 24, map[0], map[1]], 21);
        let (one, four) = (Cpu::new(1).unwrap(), Cpu::new(4).unwrap());
        assert!(case.is_transformed(&one));
        let whole = case.relaxed(&one);
        assert_eq!(whole.data(), case.relaxed(&four).data());
        let sample = whole.data().len() / samples;
        for part in [0..1, 5..38, 38..samples] {
            let some = case.run(&four, part.clone(), true);
            assert_eq!(
                some.data(),
                &whole.data()[part.start * sample..part.end * sample]
            );
        }
    }
}

/// What the transforms are not for.
fn other_kernels_give_the_bits_of_the_plain_sum() {
    let cpu = Cpu::new(2).unwrap();
    // Too small a map, or too few channels.
    for case in [
        Case::new([40, 64, 3, 3], 64),
        Case::new([40, 64, 2, 3], 64),
        Case::new([40, 2, 2, 2], 64),
        Case::new([4, 1, 16, 16], 64),
    ] {
        assert!(!case.is_transformed(&cpu), "{case:?}");
    }
    let case = Case::new([4, 16, 12, 12], 16);
    let [x, weight, _] = case.values();
    let x = cpu.upload(&case.x, &x).unwrap();
    for (shape, params) in [
        (
            [16, 16, 3, 3],
            Conv2dParams {
                stride: [2, 2],
                ..case.params()
            },
        ),
        (
            [16, 16, 3, 3],
            Conv2dParams {
                dilation: [2, 2],
                ..case.params()
            },
        ),
        (
            [16, 4, 3, 3],
            Conv2dParams {
                groups: 4,
                ..case.params()
            },
        ),
        ([16, 16, 1, 9], case.params()),
    ] {
        let weight = &weight[..shape.iter().product()];
        let weight = cpu.upload(&shape, weight).unwrap();
        let relaxed = cpu.conv2d_relaxed(&x, &weight, None, &params).unwrap();
        let plain = cpu.conv2d(&x, &weight, None, &params).unwrap();
        assert_eq!(relaxed.data(), plain.data(), "{shape:?} {params:?}");
    }
}

/// NaN in one sample does not reach another.
fn unused_lanes_do_not_matter() {
    for size in [8, 2] {
        let case = Case::new([3, 16, size, size], 16);
        let cpu = Cpu::new(1).unwrap();
        assert!(case.is_transformed(&cpu));
        let [mut x, weight, _] = case.values();
        let sample = x.len() / 3;
        x[sample..2 * sample].fill(f32::NAN);
        let x = cpu.upload(&case.x, &x).unwrap();
        let weight = cpu.upload(&case.weight(), &weight).unwrap();
        let out = cpu
            .conv2d_relaxed(&x, &weight, None, &case.params())
            .unwrap();
        let finite = |i: usize| {
            out.data()[i * 16 * size * size..][..16 * size * size]
                .iter()
                .all(|v| v.is_finite())
        };
        assert!(finite(0) && !finite(1) && finite(2));
    }
}
