use crate::oracle::{nnk as oracle, pca};
use chanscope::cpu::{Cpu, InstructionSet};
use chanscope::ops::{
    Backend, GraphBlock, GraphParams, Identical, Kernel, PointsBlock, SUPPORT_THRESHOLD, Sigma,
    Vectors,
};
use chanscope::tensor::{ValueType, Values};
use proptest::prelude::*;

mod halves;
mod near;
mod same;

pub const ON_EACH_SET: chanscope::internals::OnEachSet = tests![
    halves::halves_give_the_bits_of_the_same_values_in_f32,
    same::every_instruction_set_is_exact,
];
pub const ONCE: crate::Once = tests![
    principal_components_are_counted_when_asked_for,
    rectified_channels_are_exact,
    integer_images_are_exact,
    small_random_problems_reach_the_best_of_all_supports,
    every_point_twice,
    copies_of_the_query_share_one_weight,
    zero_vectors_under_cosine_are_degenerate,
    fewer_candidates_than_k,
    nearly_equal_points_do_not_break_the_factor,
    fixed_bandwidths_from_tiny_to_huge,
    long_vectors_are_exact,
    any_shape_is_exact,
    the_aggregate_kernel_is_the_product,
    near::nearly_parallel_vectors_have_exact_supports,
    near::near_and_far_candidates_mix,
    near::orthogonal_vectors_tie_exactly,
    near::the_longest_of_parallel_candidates_is_the_neighbour,
    same::large_k,
    same::threads_blocks_and_gathering_give_the_same_bits,
];

/// Rows of one channel.
struct Data {
    x: Vec<f32>,
    dim: usize,
}

impl Data {
    fn len(&self) -> usize {
        self.x.len() / self.dim
    }
    fn row(&self, i: usize) -> &[f32] {
        &self.x[i * self.dim..][..self.dim]
    }
}

fn uniform(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Like a channel behind a ReLU: a mixture of a few patterns, rectified; some samples all zero, some
/// exact copies of others.
fn relu_like(n: usize, dim: usize, seed: u64) -> Data {
    let mut u = uniform(seed);
    let mut normal = move || (0..6).map(|_| u()).sum::<f64>() - 3.0;
    let patterns: Vec<f64> = (0..5 * dim).map(|_| normal()).collect();
    let mut x = Vec::with_capacity(n * dim);
    for i in 0..n {
        if i % 17 == 5 {
            x.extend(std::iter::repeat_n(0.0, dim));
        } else if i % 11 == 7 {
            let from = (i / 2) * dim;
            x.extend_from_within(from..from + dim);
        } else {
            let mix: Vec<f64> = (0..5).map(|_| normal()).collect();
            for t in 0..dim {
                let v: f64 = (0..5).map(|p| mix[p] * patterns[p * dim + t]).sum();
                x.push((v + 0.3 * normal()).max(0.0) as f32);
            }
        }
    }
    Data { x, dim }
}

/// Small integers, as raw pixels have: many ties and equal points.
fn integers(n: usize, dim: usize, levels: u32, seed: u64) -> Data {
    let mut u = uniform(seed);
    let x = (0..n * dim)
        .map(|_| (u() * f64::from(levels)).floor() as f32)
        .collect();
    Data { x, dim }
}

fn params(k: usize, kernel: Kernel) -> GraphParams {
    GraphParams {
        k,
        kernel,
        sigma: Sigma::KthThird,
        identical: Identical::Keep,
        pca_dimension: true,
    }
}

/// The graph of all rows, on one device.
fn graph<B: Backend>(device: &B, data: &Data, params: &GraphParams, gathered: bool) -> GraphBlock {
    let n = data.len();
    let block = PointsBlock {
        data: Values::F32(&data.x),
        groups: 1,
        rows: n,
        dim: data.dim,
        first: 0,
    };
    let points = device.points(block, params.kernel).unwrap();
    let mut found = device.candidates(1, n, params.k).unwrap();
    device
        .knn(&points, 0..n, &points, params, &mut found)
        .unwrap();
    if gathered {
        let mut into = device
            .gathered([1, n, params.k, data.dim], ValueType::F32)
            .unwrap();
        device.gather(&points, &found, &mut into).unwrap();
        device
            .nnk(&points, 0..n, &found, Vectors::Gathered(&into), params)
            .unwrap()
    } else {
        device
            .nnk(&points, 0..n, &found, Vectors::Points(&points), params)
            .unwrap()
    }
}

fn cpu() -> Cpu {
    Cpu::new(2).unwrap()
}

fn principal_components_are_counted_when_asked_for() {
    let data = integers(60, 5, 4, 3);
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        for k in [6, 70] {
            let with = params(k, kernel);
            let without = GraphParams {
                pca_dimension: false,
                ..with
            };
            let counted = graph(&cpu(), &data, &with, false);
            let mut graph = graph(&cpu(), &data, &without, false);
            assert!(counted.pca_dimension.iter().any(|&d| d > 1));
            assert!(graph.pca_dimension.iter().all(|&d| d == 0));
            graph.pca_dimension = counted.pca_dimension.clone();
            assert_eq!(graph, counted);
        }
    }
}

/// How many queries were compared and in how many the support was the only optimal one.
#[derive(Default, Debug)]
struct Tally {
    solved: usize,
    unique: usize,
}

/// Compares a graph with the oracle on the candidates it lists.
fn check(data: &Data, params: &GraphParams, graph: &GraphBlock, gap: f64) -> Tally {
    let k = params.k;
    let mut tally = Tally::default();
    for q in 0..data.len() {
        let slots = q * k..(q + 1) * k;
        let neighbors = &graph.neighbors[slots.clone()];
        let weights = &graph.weights[slots];
        let listed: Vec<usize> = (0..k).filter(|&s| neighbors[s] >= 0).collect();
        let vector = |&s: &usize| data.row(neighbors[s] as usize);
        let apart = |&s: &usize| graph.sq_distances[q * k + s] > 0.0;
        let mut used = listed.clone();
        if params.identical == Identical::Drop && used.iter().any(apart) {
            used.retain(apart);
        }
        let kind = match (params.kernel, params.sigma) {
            (Kernel::Cosine, _) => oracle::Kernel::Cosine,
            (_, Sigma::Fixed(s)) => oracle::Kernel::Gaussian(s),
            (_, Sigma::KthThird) => {
                let last = used
                    .last()
                    .map_or(0.0, |s| oracle::sq_distance(vector(s), data.row(q)));
                oracle::Kernel::Gaussian(last.sqrt() / 3.0)
            }
        };
        let zero = data.row(q).iter().all(|&v| v == 0.0);
        let degenerate = used.is_empty()
            || matches!(kind, oracle::Kernel::Gaussian(s) if s == 0.0)
            || (params.kernel == Kernel::Cosine && zero);
        assert_eq!(graph.degenerate[q], degenerate, "query {q}");
        if degenerate {
            assert!(weights.iter().all(|&w| w == 0.0));
            assert_eq!(
                (
                    graph.objective[q],
                    graph.kkt_residual[q],
                    graph.pca_dimension[q]
                ),
                (0.0, 0.0, 0)
            );
            continue;
        }
        // Equal points share their weight in any way; together they are one point.
        let mut vectors: Vec<&[f32]> = Vec::new();
        let mut theta: Vec<f64> = Vec::new();
        for s in &used {
            let at = vectors.iter().position(|v| *v == vector(s));
            let w = f64::from(weights[*s]);
            match at {
                Some(at) => theta[at] += w,
                None => {
                    vectors.push(vector(s));
                    theta.push(w);
                }
            }
        }
        let (gram, b) = oracle::problem(kind, data.row(q), &vectors);
        let best = oracle::lawson_hanson(&gram, &b);
        let scale = best.objective.abs();
        assert!(
            (graph.objective[q] - best.objective).abs() <= gap * scale + 1e-300,
            "query {q}: objective {} instead of {}",
            graph.objective[q],
            best.objective
        );
        // At the optimum the objective is flat: weights rounded to f32 must have the same.
        let rounded = oracle::objective(&gram, &b, &theta);
        assert!(
            (rounded - best.objective).abs() <= gap.max(1e-11) * scale + 1e-70,
            "query {q}"
        );
        assert!(
            graph.kkt_residual[q] <= 1e-13,
            "query {q}: {}",
            graph.kkt_residual[q]
        );
        for s in listed.iter().filter(|s| !used.contains(s)) {
            assert_eq!(weights[*s], 0.0);
        }
        tally.solved += 1;
        if best.unique {
            tally.unique += 1;
            for (i, (&t, &w)) in best.theta.iter().zip(&theta).enumerate() {
                assert_eq!(
                    t > 1e-6,
                    w > f64::from(SUPPORT_THRESHOLD),
                    "query {q} candidate {i}: {t} {w}"
                );
            }
        }
        let support: Vec<&[f32]> = used
            .iter()
            .filter(|&&s| weights[s] > SUPPORT_THRESHOLD)
            .map(vector)
            .collect();
        let (least, most) = pca::dimension(data.row(q), &support, 1e-9);
        let dimension = graph.pca_dimension[q];
        assert!(
            (least..=most).contains(&dimension),
            "query {q}: {dimension} not in {least}..={most}"
        );
    }
    tally
}

fn rectified_channels_are_exact() {
    for (dim, seed) in [(16, 1), (25, 2), (4, 3), (49, 4)] {
        let data = relu_like(180, dim, seed);
        for k in [25, 50] {
            for kernel in [Kernel::Gaussian, Kernel::Cosine] {
                let params = params(k, kernel);
                let graph = graph(&cpu(), &data, &params, false);
                let tally = check(&data, &params, &graph, 1e-9);
                assert!(tally.solved > 140, "{tally:?}");
                // Below, the comparison of supports would say little.
                assert!(
                    tally.unique * 2 > tally.solved || dim == 4,
                    "{dim} {k} {kernel:?} {tally:?}"
                );
            }
        }
    }
}

fn integer_images_are_exact() {
    let data = integers(150, 64, 17, 9);
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        let params = params(25, kernel);
        let tally = check(&data, &params, &graph(&cpu(), &data, &params, false), 1e-9);
        assert!(tally.unique > 140, "{tally:?}");
    }
    // Few levels, two dimensions: nearly all points have copies.
    let data = integers(120, 2, 5, 10);
    for identical in [Identical::Keep, Identical::Drop] {
        for kernel in [Kernel::Gaussian, Kernel::Cosine] {
            let params = GraphParams {
                identical,
                ..params(20, kernel)
            };
            check(&data, &params, &graph(&cpu(), &data, &params, false), 1e-9);
        }
    }
}

/// Peers, failure 1: a pruned index is never re-admitted.
fn small_random_problems_reach_the_best_of_all_supports() {
    let mut u = uniform(4);
    for _ in 0..200 {
        let data = Data {
            x: (0..36).map(|_| (u() * 2.0 - 1.0) as f32).collect(),
            dim: 3,
        };
        for kernel in [Kernel::Gaussian, Kernel::Cosine] {
            let params = params(11, kernel);
            let graph = graph(&cpu(), &data, &params, false);
            let vectors: Vec<&[f32]> = graph.neighbors[..11]
                .iter()
                .map(|&i| data.row(i as usize))
                .collect();
            let last = oracle::sq_distance(vectors[10], data.row(0));
            let kind = match kernel {
                Kernel::Gaussian => oracle::Kernel::Gaussian(last.sqrt() / 3.0),
                Kernel::Cosine => oracle::Kernel::Cosine,
            };
            let (k, b) = oracle::problem(kind, data.row(0), &vectors);
            let best = oracle::exhaustive(&k, &b);
            assert!((graph.objective[0] - best.objective).abs() <= 1e-9 * best.objective.abs());
        }
    }
}

/// Peers, failure 2: every neighbour there twice makes the matrix singular.
fn every_point_twice() {
    let once = relu_like(90, 16, 6);
    let mut x = once.x.clone();
    x.extend_from_slice(&once.x);
    let data = Data { x, dim: 16 };
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        for k in [24, 50] {
            let params = params(k, kernel);
            check(&data, &params, &graph(&cpu(), &data, &params, false), 1e-9);
        }
    }
}

/// Peers, failure 3: every copy of the query gets weight 1.
fn copies_of_the_query_share_one_weight() {
    let mut data = relu_like(60, 16, 8);
    for _ in 0..4 {
        data.x.extend_from_within(0..16);
    }
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        let graph = graph(&cpu(), &data, &params(20, kernel), false);
        let sum: f64 = graph.weights[..20].iter().map(|&w| f64::from(w)).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{kernel:?} {sum}");
        assert!((graph.objective[0] + 0.5).abs() < 1e-12);
    }
}

/// Peers, failures 5 and 6: zero vectors have no direction; their queries are flagged.
fn zero_vectors_under_cosine_are_degenerate() {
    let data = relu_like(80, 9, 11);
    let params = params(12, Kernel::Cosine);
    let graph = graph(&cpu(), &data, &params, false);
    let zero: Vec<usize> = (0..80)
        .filter(|&i| data.row(i).iter().all(|&v| v == 0.0))
        .collect();
    assert!(!zero.is_empty());
    for i in 0..80 {
        assert_eq!(graph.degenerate[i], zero.contains(&i));
    }
    for &j in &graph.neighbors {
        assert!(j == -1 || !zero.contains(&(j as usize)));
    }
    assert!(graph.weights.iter().all(|w| w.is_finite() && *w >= 0.0));
    let dead = Data {
        x: vec![0.0; 30],
        dim: 3,
    };
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        let params = super::nnk::params(4, kernel);
        let graph = super::nnk::graph(&cpu(), &dead, &params, false);
        assert!(graph.degenerate.iter().all(|&d| d), "{kernel:?}");
        assert!(graph.weights.iter().all(|&w| w == 0.0));
    }
}

/// Peers, failures 7 and 8: fewer samples than k, down to a pair and a single one.
fn fewer_candidates_than_k() {
    for n in [1, 2, 3, 7] {
        let data = integers(n, 5, 9, 12);
        for kernel in [Kernel::Gaussian, Kernel::Cosine] {
            for gathered in [false, true] {
                let params = params(10, kernel);
                let graph = graph(&cpu(), &data, &params, gathered);
                assert_eq!(
                    graph.neighbors.iter().filter(|&&j| j >= 0).count(),
                    n * (n - 1)
                );
                check(&data, &params, &graph, 1e-9);
            }
        }
    }
}

fn nearly_equal_points_do_not_break_the_factor() {
    // Copies one ulp apart: distinct, but their columns agree to 1e-14.
    let mut data = relu_like(60, 16, 13);
    let copy: Vec<f32> = data
        .x
        .iter()
        .map(|v| f32::from_bits(v.to_bits() + u32::from(*v > 0.0)))
        .collect();
    data.x.extend(copy);
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        let params = params(30, kernel);
        check(&data, &params, &graph(&cpu(), &data, &params, false), 1e-9);
    }
}

fn fixed_bandwidths_from_tiny_to_huge() {
    let data = relu_like(70, 16, 14);
    for s in [1e-200, 0.05, 0.5, 3.0, 1e3, 1e200] {
        let params = GraphParams {
            sigma: Sigma::Fixed(s),
            ..params(15, Kernel::Gaussian)
        };
        let graph = graph(&cpu(), &data, &params, false);
        assert!(graph.degenerate.iter().all(|&d| !d));
        assert!(graph.weights.iter().all(|w| w.is_finite()));
        if (0.05..=3.0).contains(&s) {
            check(&data, &params, &graph, 1e-9);
        }
    }
}

/// Vectors that are multiplied in pieces, in tiles of every shape.
fn long_vectors_are_exact() {
    for (i, (dim, k)) in [(33, 25), (65, 64), (40, 50), (530, 26), (1100, 31)]
        .into_iter()
        .enumerate()
    {
        let data = relu_like(90, dim, 20 + i as u64);
        for kernel in [Kernel::Gaussian, Kernel::Cosine] {
            let params = params(k, kernel);
            let graph = graph(&cpu(), &data, &params, dim == 530);
            let tally = check(&data, &params, &graph, 1e-9);
            assert!(tally.unique > 60, "{dim} {tally:?}");
            assert!(graph.pca_dimension.iter().any(|&d| d > 1));
        }
    }
}

fn any_shape_is_exact() {
    proptest!(ProptestConfig::with_cases(24), |(n in 1usize..40, dim in 1usize..50, k in 1usize..40, levels in 2u32..300, seed: u64,
    cosine: bool, drop: bool)| {
            let data = integers(n, dim, levels, seed);
            let kernel = if cosine { Kernel::Cosine } else { Kernel::Gaussian };
            let identical = if drop { Identical::Drop } else { Identical::Keep };
            let params = GraphParams { identical, ..params(k, kernel) };
            check(&data, &params, &graph(&cpu(), &data, &params, seed % 2 == 0), 1e-9);
        });
}

/// Theory (arXiv 2110.11400): with Gaussian kernels and one bandwidth, the aggregate's kernel
/// is the product of the channels'.
fn the_aggregate_kernel_is_the_product() {
    proptest!(ProptestConfig::with_cases(24), |(x in prop::collection::vec(-2f32..2.0, 12..=12))| {
        let (a, b) = x.split_at(6);
        let kind = oracle::Kernel::Gaussian(0.8);
        let product: f64 =
            (0..3).map(|c| oracle::kernel(kind, &a[2 * c..2 * c + 2], &b[2 * c..2 * c + 2])).product();
        prop_assert!((oracle::kernel(kind, a, b) - product).abs() <= 1e-14);
    });
}
