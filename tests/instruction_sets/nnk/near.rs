//! Cosine kernel at its ends: nearly parallel vectors, parallel ones, and orthogonal ones.

use super::{Data, cpu, graph, params, uniform};
use crate::oracle::{near as oracle, nnk};
use chanscope::ops::{
    Backend, GraphBlock, GraphParams, Kernel, PointsBlock, SUPPORT_THRESHOLD, Vectors,
};
use chanscope::tensor::Values;

/// Maps with a large common offset: `offset` plus noise of `spread` times that.
fn offset(n: usize, dim: usize, spread: f64, seed: u64) -> Data {
    let mut u = uniform(seed);
    let mut normal = move || (0..6).map(|_| u()).sum::<f64>() - 3.0;
    let value = |_| (1e4 * (1.0 + spread * normal())) as f32;
    Data {
        x: (0..n * dim).map(value).collect(),
        dim,
    }
}

/// Whether `support` is that of the optimum.
fn is_optimal(vectors: &[&[f32]], query: &[f32], support: &[usize], tolerance: f64) -> bool {
    oracle::on_support(nnk::Kernel::Cosine, vectors, query, support).is_optimal(tolerance)
}

/// Graphs of the first `count` rows among all: emulated processors are slow.
fn first_graphs(data: &Data, params: &GraphParams, count: usize) -> GraphBlock {
    let cpu = cpu();
    let block = PointsBlock {
        data: Values::F32(&data.x),
        groups: 1,
        rows: data.len(),
        dim: data.dim,
        first: 0,
    };
    let points = cpu.points(block, params.kernel).unwrap();
    let mut found = cpu.candidates(1, count, params.k).unwrap();
    cpu.knn(&points, 0..count, &points, params, &mut found)
        .unwrap();
    cpu.nnk(&points, 0..count, &found, Vectors::Points(&points), params)
        .unwrap()
}

pub fn nearly_parallel_vectors_have_exact_supports() {
    for (spread, k) in [
        (1e-3, 8),
        (1e-5, 8),
        (1e-6, 8),
        (4e-7, 12),
        (1e-6, 70),
        (1e-6, 300),
    ] {
        let (n, queries) = if k > 100 { (320, 6) } else { (150, 50) };
        let data = offset(n, 16, spread, 9);
        let graph = first_graphs(&data, &params(k, Kernel::Cosine), queries);
        let mut sizes = 0;
        for q in 0..queries {
            let slots = q * k..(q + 1) * k;
            let candidates: Vec<usize> =
                (graph.neighbors[slots.clone()].iter().filter(|&&i| i >= 0))
                    .map(|&i| i as usize)
                    .collect();
            for (&j, &d) in candidates.iter().zip(&graph.sq_distances[slots.clone()]) {
                let expected = 4.0 * oracle::deficit(nnk::Kernel::Cosine, data.row(q), data.row(j));
                assert!(
                    (d / expected - 1.0).abs() < 1e-7,
                    "{spread}: {d} {expected}"
                );
            }
            let weights = &graph.weights[slots];
            let support: Vec<usize> = (0..candidates.len())
                .filter(|&s| weights[s] > SUPPORT_THRESHOLD)
                .collect();
            let vectors: Vec<&[f32]> = candidates.iter().map(|&j| data.row(j)).collect();
            assert!(
                is_optimal(&vectors, data.row(q), &support, 1e-7),
                "spread {spread}, k {k}, query {q}: {support:?}"
            );
            sizes += support.len();
        }
        assert!(sizes > 2 * queries, "spread {spread}: {sizes}");
    }
}

/// A few far candidates do not hide what decides between the near ones.
pub fn near_and_far_candidates_mix() {
    let (near, far) = (offset(40, 9, 1e-6, 3), offset(40, 9, 0.5, 4));
    let data = Data {
        x: [near.x, far.x].concat(),
        dim: 9,
    };
    let k = 79;
    let graph = graph(&cpu(), &data, &params(k, Kernel::Cosine), false);
    for q in 0..40 {
        let slots = q * k..(q + 1) * k;
        let vectors: Vec<&[f32]> = (graph.neighbors[slots.clone()].iter())
            .map(|&i| data.row(i as usize))
            .collect();
        let weights = &graph.weights[slots];
        // Weights of far candidates are tiny, below what counts as a neighbour.
        let support: Vec<usize> = (0..k).filter(|&s| weights[s] > 0.0).collect();
        assert!(is_optimal(&vectors, data.row(q), &support, 1e-7), "{q}");
    }
}

/// Maps without a common pixel: all distances are exactly 2, and ties go to the lower index.
pub fn orthogonal_vectors_tie_exactly() {
    let (n, dim) = (90, 13);
    let mut u = uniform(5);
    let mut x = vec![0f32; n * dim];
    for (i, row) in x.chunks_mut(dim).enumerate() {
        // Samples of three kinds, each with pixels of its own.
        for p in (i % 3..dim).step_by(3) {
            row[p] = (0.01 + u()) as f32;
        }
    }
    let data = Data { x, dim };
    let k = 60;
    let graph = graph(&cpu(), &data, &params(k, Kernel::Cosine), false);
    for q in 0..n {
        let found = &graph.neighbors[q * k..][..k];
        let distances = &graph.sq_distances[q * k..][..k];
        // 29 of the own kind, then the others in the order of the samples.
        let others: Vec<i32> = (0..n as i32).filter(|i| i % 3 != q as i32 % 3).collect();
        assert_eq!(found[29..], others[..31], "{q}");
        assert!(
            distances[29..].iter().all(|&d| d == 2.0),
            "{q}: {distances:?}"
        );
    }
    // Cancelling products are as exactly orthogonal.
    let data = Data {
        x: vec![3.0, 4.0, 4.0, -3.0, -8.0, 6.0, 3.0, 4.1],
        dim: 2,
    };
    let graph = super::graph(&cpu(), &data, &params(3, Kernel::Cosine), false);
    assert_eq!(graph.neighbors[..3], [3, 1, 2]);
    assert_eq!(graph.sq_distances[1..3], [2.0, 2.0]);
}

/// Of parallel maps the longest has all of their weight, wherever it stands; the query counts as not unique.
pub fn the_longest_of_parallel_candidates_is_the_neighbour() {
    let (kinds, dim) = (12, 7);
    let mut u = uniform(8);
    let patterns: Vec<f32> = (0..kinds * dim).map(|_| u() as f32).collect();
    // Each pattern at four lengths, powers of two so that no rounding tells them apart.
    let lengths = [1.0, 4.0, 0.5, 2.0];
    let rows: Vec<Vec<f32>> = (0..4 * kinds)
        .map(|i| {
            let pattern = &patterns[i % kinds * dim..][..dim];
            pattern.iter().map(|&v| v * lengths[i / kinds]).collect()
        })
        .collect();
    let n = rows.len();
    let neighbours = |order: &[usize]| -> Vec<(Vec<usize>, bool)> {
        let data = Data {
            x: order.iter().flat_map(|&i| rows[i].clone()).collect(),
            dim,
        };
        let k = n - 1;
        let graph = graph(&cpu(), &data, &params(k, Kernel::Cosine), false);
        let mut found = vec![(vec![], false); n];
        for (q, &query) in order.iter().enumerate() {
            let mut support: Vec<usize> = (0..k)
                .filter(|s| graph.weights[q * k + s] > SUPPORT_THRESHOLD)
                .map(|s| order[graph.neighbors[q * k + s] as usize])
                .collect();
            support.sort_unstable();
            found[query] = (support, graph.not_unique[q]);
        }
        found
    };
    let order: Vec<usize> = (0..n).collect();
    let first = neighbours(&order);
    for (query, (support, not_unique)) in first.iter().enumerate() {
        // The query's own pattern explains it alone.
        let longest = if query / kinds == 1 { 3 } else { 1 };
        assert_eq!(support, &[query % kinds + longest * kinds], "{query}");
        assert!(*not_unique);
    }
    let reversed: Vec<usize> = (0..n).rev().collect();
    let shuffled: Vec<usize> = (0..n).map(|i| i * 17 % n).collect();
    assert_eq!(neighbours(&reversed), first);
    assert_eq!(neighbours(&shuffled), first);
    // Without parallel maps every query is unique.
    let data = offset(60, 5, 0.3, 2);
    let graph = graph(&cpu(), &data, &params(9, Kernel::Cosine), false);
    assert!(!graph.not_unique.contains(&true));
}
