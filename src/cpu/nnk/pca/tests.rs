//! Counts in float32 against those in float64.

use super::*;
use crate::cpu::InstructionSet;
use crate::internals::{OnEachSet, tests};
use crate::simd::SimdKernel;
use tridiagonal::{TRACE, slack};

/// The tests of this module.
pub const PCA: OnEachSet = tests![float32_is_trusted_only_where_it_can_be];

/// How the random polytopes of sixteen queries are made.
#[derive(Clone, Copy, Debug)]
struct Shape {
    vectors: usize,
    dim: usize,
    /// The spread of each dimension, as a fraction of the one before.
    decay: f32,
    /// The fraction of zeros.
    zeros: f32,
    scale: f32,
}

fn noise(state: &mut u64) -> f32 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1);
    (*state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

fn rows(shape: Shape, seed: u64) -> Vec<Vec<Vec<f32>>> {
    let mut state = seed;
    let mut value = |t: usize| {
        let x = noise(&mut state) * shape.scale * shape.decay.powi(t as i32);
        if noise(&mut state).abs() < shape.zeros {
            0.0
        } else {
            x
        }
    };
    let mut row = || (0..shape.dim).map(&mut value).collect();
    (0..F32_LANES)
        .map(|lane| (0..=shape.vectors - lane % 3).map(|_| row()).collect())
        .collect()
}

/// The largest error of a sum of the largest eigenvalues in float32, and the counts of both methods.
struct Compare<'a>(&'a [Source<'a>; F32_LANES], Shape);

impl SimdKernel for Compare<'_> {
    type Output = (f64, [u16; F32_LANES], [u16; F32_LANES]);

    #[inline(always)]
    fn run<I: Simd, const R: usize, const V: usize>(self) -> Self::Output {
        let Self(sources, shape) = self;
        let (mut pca, mut single) = (Pca::default(), Components::default());
        let (mut counts, mut wanted) = ([0; F32_LANES], [0; F32_LANES]);
        pca.dimensions::<I>(sources, shape.dim, &mut counts);
        let n = shape.vectors.min(shape.dim);
        pca.matrix::<I>(sources, [shape.vectors, shape.dim]);
        let solved = pca.tridiagonal.solve::<I>(n);
        let mut worst = 0f64;
        for (l, source) in sources.iter().enumerate() {
            wanted[l] = single.dimension(source);
            let trace: f64 = single.diagonal.iter().sum();
            let mut values: Vec<f32> = pca.tridiagonal.diagonal.iter().map(|d| d.0[l]).collect();
            values.sort_unstable_by(|a, b| b.total_cmp(a));
            let (mut held, mut exact) = (0.0, 0.0);
            for (value, own) in values.iter().zip(&single.diagonal) {
                held += f64::from(*value);
                exact += own;
                if solved >> l & 1 == 1 {
                    worst = worst.max((held / f64::from(TRACE) - exact / trace).abs());
                }
            }
        }
        (worst, counts, wanted)
    }
}

fn float32_is_trusted_only_where_it_can_be(set: InstructionSet) {
    for (i, (vectors, dim)) in [
        (4, 1),
        (3, 300),
        (17, 16),
        (25, 24),
        (40, 9),
        (20, 64),
        (33, 700),
        (90, 128),
    ]
    .into_iter()
    .enumerate()
    {
        for (j, (decay, zeros)) in [(1.0, 0.0), (0.9, 0.5), (0.5, 0.0), (0.97, 0.9), (0.1, 0.2)]
            .into_iter()
            .enumerate()
        {
            for scale in [1.0, 1e-8, 1e12, 1e-22, 1e18] {
                let shape = Shape {
                    vectors,
                    dim,
                    decay,
                    zeros,
                    scale,
                };
                let rows = rows(shape, (i * 10 + j) as u64);
                let sources: [Source<'_>; F32_LANES] = std::array::from_fn(|l| Source {
                    query: Values::from(&rows[l][0]),
                    vectors: rows[l][1..].iter().map(Values::from).collect(),
                    gamma: 0.0,
                });
                let (worst, counts, wanted) = set.run(Compare(&sources, shape));
                let limit = f64::from(slack(vectors.min(dim)));
                println!("{set} {shape:?}: {:.3} of the slack", worst / limit);
                assert!(worst < limit / 8.0, "{set} {shape:?}: {worst} of {limit}");
                assert_eq!(counts, wanted, "{set} {shape:?}");
            }
        }
    }
}
