//! Vectors that are nearly parallel, or close beside the bandwidth: supports are exact, and those of the CPU backend.

use crate::data::Random;
use crate::failures::disturb;
use crate::knn::{Data, params};
use crate::nnk::{graph, try_graph};
use crate::oracle::{near as oracle, nnk, pca};
use crate::{Devices, Test};
use chanscope::cpu::Cpu;
use chanscope::device::Device;
use chanscope::gpu::{Gpu, Options, Wide};
use chanscope::ops::{
    Backend, GraphBlock, GraphParams, Identical, Kernel, PointsBlock, SUPPORT_THRESHOLD, Sigma,
    Vectors,
};
use chanscope::tensor::Values;

pub const TESTS: &[Test] = &[
    ("near::nearly_parallel_vectors", nearly_parallel_vectors),
    (
        "near::vectors_at_the_precision_of_float32",
        at_the_precision_of_float32,
    ),
    (
        "near::vectors_within_a_bandwidth",
        vectors_within_a_bandwidth,
    ),
    ("near::clusters", clusters),
    (
        "near::near_and_other_queries_mix",
        near_and_other_queries_mix,
    ),
    ("near::blocks_do_not_matter", blocks_do_not_matter),
    ("near::many_batches", many_batches),
    ("near::subnormal_numbers", subnormal_numbers),
    ("near::failures", failures),
    ("near::nothing_more_where_nothing_is_near", nothing_more),
];

fn normal(random: &mut Random) -> f64 {
    (0..6).map(|_| f64::from(random.signed())).sum::<f64>() / 2f64.sqrt()
}

/// Maps with a large common offset: `offset` plus noise of `spread` times that.
fn offset([groups, n, dim]: [usize; 3], spread: f64, seed: u64) -> Data {
    let mut random = Random(seed);
    let value = |_| (1e4 * (1.0 + spread * normal(&mut random))) as f32;
    Data {
        x: (0..groups * n * dim).map(value).collect(),
        groups,
        n,
        dim,
    }
}

pub fn noise([groups, n, dim]: [usize; 3], seed: u64) -> Data {
    offset_by(0.0, [groups, n, dim], seed)
}

pub fn offset_by(centre: f64, [groups, n, dim]: [usize; 3], seed: u64) -> Data {
    let mut random = Random(seed);
    let value = |_| (centre + normal(&mut random)) as f32;
    Data {
        x: (0..groups * n * dim).map(value).collect(),
        groups,
        n,
        dim,
    }
}

/// The rows of two sets of as many groups together.
pub fn joined(a: &Data, b: &Data) -> Data {
    let groups = (0..a.groups).flat_map(|g| [a.group(g), b.group(g)].concat());
    Data {
        x: groups.collect(),
        groups: a.groups,
        n: a.n + b.n,
        dim: a.dim,
    }
}

/// Graphs of the first `count` rows of every group on the CPU.
fn cpu_graph(data: &Data, params: &GraphParams, count: usize) -> GraphBlock {
    let cpu = Cpu::new(1).unwrap();
    let block = PointsBlock {
        data: Values::F32(&data.x),
        groups: data.groups,
        rows: data.n,
        dim: data.dim,
        first: 0,
    };
    let points = cpu.points(block, params.kernel).unwrap();
    let mut found = cpu.candidates(data.groups, count, params.k).unwrap();
    cpu.knn(&points, 0..count, &points, params, &mut found)
        .unwrap();
    let vectors = Vectors::Points(&points);
    cpu.nnk(&points, 0..count, &found, vectors, params).unwrap()
}

/// A query's candidates in use, support and so on, in an order that does not depend on that of equal distances.
#[derive(Debug, PartialEq)]
pub struct Summary {
    candidates: Vec<i32>,
    pub support: Vec<i32>,
    dimension: u16,
    pub not_unique: bool,
    degenerate: bool,
}

pub fn summary(graph: &GraphBlock, q: usize, k: usize) -> Summary {
    let slots = q * k..(q + 1) * k;
    let mut candidates = graph.neighbors[slots.clone()].to_vec();
    let listed = slots.filter(|&s| graph.weights[s] > SUPPORT_THRESHOLD);
    let mut support: Vec<i32> = listed.map(|s| graph.neighbors[s]).collect();
    candidates.sort_unstable();
    support.sort_unstable();
    Summary {
        candidates,
        support,
        dimension: graph.pca_dimension[q],
        not_unique: graph.not_unique[q],
        degenerate: graph.degenerate[q],
    }
}

/// What was compared.
#[derive(Debug, Default)]
pub struct Tally {
    queries: usize,
    neighbours: usize,
    /// Queries whose last candidates are equally far up to rounding, so that others may be chosen.
    ties: usize,
}

/// Compares the graphs of the first `count` rows on every device with the CPU's.
pub fn same_as_cpu(devices: &Devices, data: &Data, params: &GraphParams, count: usize) -> Tally {
    let k = params.k;
    let expected = cpu_graph(data, params, count);
    let mut tally = Tally::default();
    for gpu in devices.all() {
        for gathered in [false, true] {
            let found = graph(gpu, data, params, 0..count, gathered);
            for q in 0..data.groups * count {
                let (want, have) = (summary(&expected, q, k), summary(&found, q, k));
                tally.queries += 1;
                tally.neighbours += have.support.len();
                if have.candidates != want.candidates {
                    let slots = q * k..(q + 1) * k;
                    let last = expected.sq_distances[slots.end - 1];
                    for s in slots {
                        let distance = found.sq_distances[s];
                        let common = want.candidates.contains(&found.neighbors[s]);
                        let tied = (distance / last - 1.0).abs() < 1e-6;
                        assert!(common || tied, "query {q}: {distance} {last}");
                    }
                    tally.ties += 1;
                    continue;
                }
                assert_eq!(have, want, "{:?}: query {q}, {params:?}", gpu.wide());
                let (a, b) = (found.objective[q], expected.objective[q]);
                assert!((a - b).abs() <= 1e-9 * b.abs(), "query {q}: {a} {b}");
            }
        }
    }
    tally
}

/// Compares the graphs of the first `count` rows with the definition, and with the CPU's.
fn exact(devices: &Devices, data: &Data, params: &GraphParams, count: usize) {
    let k = params.k;
    for gpu in devices.all() {
        let found = graph(gpu, data, params, 0..count, false);
        for q in 0..data.groups * count {
            let row = |i: usize| &data.group(q / count)[i * data.dim..][..data.dim];
            let query = row(q % count);
            let slots = q * k..(q + 1) * k;
            let listed = (found.neighbors[slots.clone()].iter()).map(|&i| i as usize);
            let vectors: Vec<&[f32]> = listed.map(row).collect();
            let distances = &found.sq_distances[slots.clone()];
            let kernel = match (params.kernel, params.sigma) {
                (Kernel::Cosine, _) => nnk::Kernel::Cosine,
                (_, Sigma::Fixed(s)) => nnk::Kernel::Gaussian(s),
                _ => nnk::Kernel::Gaussian(distances[k - 1].sqrt() / 3.0),
            };
            ordered(gpu, kernel, query, &vectors, distances);
            let weights = &found.weights[slots];
            let support: Vec<usize> = (0..k).filter(|&s| weights[s] > SUPPORT_THRESHOLD).collect();
            let best = oracle::on_support(kernel, &vectors, query, &support);
            assert!(
                best.is_optimal(1e-7),
                "{:?}: query {q}, {params:?}: {support:?} {:e}",
                gpu.wide(),
                best.least_slope
            );
            for (&s, theta) in support.iter().zip(&best.theta) {
                // To the rounding of a weight to float32, and a little more.
                let off = (f64::from(weights[s]) - theta).abs() - theta * 2f64.powi(-24);
                assert!(
                    off < 1e-8,
                    "{:?}: query {q}, {params:?}: {off:e}",
                    gpu.wide()
                );
            }
            assert!((found.objective[q] - best.objective).abs() < 1e-12);
            assert!(found.kkt_residual[q] < 1e-10, "{}", found.kkt_residual[q]);
            let members: Vec<&[f32]> = support.iter().map(|&s| vectors[s]).collect();
            let (least, most) = pca::dimension(query, &members, 1e-9);
            assert!((least..=most).contains(&found.pca_dimension[q]));
        }
    }
    let tally = same_as_cpu(devices, data, params, count);
    assert!(
        tally.neighbours > tally.queries && tally.ties == 0,
        "{tally:?}"
    );
}

/// Distances are those of the definition, and no candidate that is left out is nearer.
fn ordered(gpu: &Gpu, kernel: nnk::Kernel, query: &[f32], vectors: &[&[f32]], distances: &[f64]) {
    let relative = match gpu.wide() {
        Wide::Float64 => 1e-8,
        Wide::DoubleFloat => 1e-6,
    };
    for (vector, &found) in vectors.iter().zip(distances) {
        let expected = match kernel {
            nnk::Kernel::Cosine => 4.0 * oracle::deficit(kernel, query, vector),
            nnk::Kernel::Gaussian(_) => nnk::sq_distance(query, vector),
        };
        assert!(
            (found - expected).abs() <= relative * expected,
            "{found} {expected}"
        );
    }
    assert!(distances.is_sorted());
}

fn nearly_parallel_vectors(devices: &Devices) {
    for (spread, k, dim) in [
        (1e-3, 8, 17),
        (3e-4, 50, 33),
        (1e-4, 50, 7),
        (1e-5, 5, 9),
        (1e-6, 20, 65),
        (4e-7, 12, 15),
    ] {
        let data = offset([2, 70, dim], spread, 9);
        exact(
            devices,
            &data,
            &params(k, Kernel::Cosine, Identical::Keep),
            12,
        );
    }
    // More candidates than the solver holds in workgroup memory.
    let data = offset([1, 130, 33], 1e-6, 4);
    exact(
        devices,
        &data,
        &params(120, Kernel::Cosine, Identical::Keep),
        3,
    );
}

/// Here many vectors are a last digit apart, and some count as equal.
fn at_the_precision_of_float32(devices: &Devices) {
    for (spread, k, dim) in [(1e-7, 9, 5), (1e-7, 25, 13), (2e-7, 50, 3)] {
        let data = offset([2, 60, dim], spread, 5);
        let params = params(k, Kernel::Cosine, Identical::Keep);
        let tally = same_as_cpu(devices, &data, &params, 60);
        assert!(10 * tally.ties < tally.queries, "{tally:?}");
    }
}

fn vectors_within_a_bandwidth(devices: &Devices) {
    // With a standard deviation of 1 in every direction, 1 - K is near d / s^2.
    let wide = |spread: f64, k: usize| GraphParams {
        sigma: Sigma::Fixed(1.0 / spread),
        ..params(k, Kernel::Gaussian, Identical::Keep)
    };
    for (spread, k, dim) in [
        (1e-3, 50, 65),
        (1e-4, 7, 17),
        (1e-5, 12, 21),
        (1e-6, 25, 33),
        (1e-7, 5, 7),
    ] {
        let data = noise([2, 70, dim], 3);
        exact(devices, &data, &wide(spread, k), 12);
    }
    // With more candidates than dimensions, terms of a higher order than float64 holds decide. Both backends choose alike.
    for spread in [1e-5, 1e-7] {
        let data = noise([2, 70, 5], 4);
        let tally = same_as_cpu(devices, &data, &wide(spread, 50), 70);
        assert_eq!(tally.ties, 0);
    }
}

/// Close together in places, so that a bandwidth holds far and near candidates.
fn clusters(devices: &Devices) {
    for (spread, k) in [(1e-4, 30), (1e-5, 20), (1e-6, 50)] {
        let (n, dim) = (64, 7);
        let mut data = noise([2, n, dim], 6);
        let mut random = Random(12);
        for (i, row) in data.x.chunks_exact_mut(dim).enumerate() {
            // Half of the rows lie about 0, where float32 resolves any spread.
            if i % 2 == 0 {
                (row.iter_mut()).for_each(|v| *v = (spread * normal(&mut random)) as f32);
            }
        }
        let params = params(k, Kernel::Gaussian, Identical::Keep);
        let tally = same_as_cpu(devices, &data, &params, n);
        assert!(
            tally.neighbours > 2 * tally.queries && tally.ties == 0,
            "{tally:?}"
        );
    }
}

fn near_and_other_queries_mix(devices: &Devices) {
    let near = offset([2, 30, 9], 1e-6, 3);
    let others = noise([2, 40, 9], 4);
    let mut data = joined(&near, &others);
    // Copies and zero vectors too.
    let dim = data.dim;
    for i in [31, 33, 45, 100, 115] {
        data.x.copy_within((i - 30) * dim..(i - 29) * dim, i * dim);
        data.x[(i + 2) * dim..(i + 3) * dim].fill(0.0);
    }
    for kernel in [Kernel::Cosine, Kernel::Gaussian] {
        for identical in [Identical::Keep, Identical::Drop, Identical::Replace] {
            for k in [12, 45] {
                same_as_cpu(devices, &data, &params(k, kernel, identical), data.n);
            }
        }
    }
}

/// The same bits for all blocks of queries, passes of any size, and gathered vectors.
fn blocks_do_not_matter(devices: &Devices) {
    let data = joined(&offset([2, 50, 7], 1e-6, 3), &noise([2, 50, 7], 4));
    for kernel in [Kernel::Cosine, Kernel::Gaussian] {
        let params = params(15, kernel, Identical::Keep);
        for wide in devices.all().iter().map(Gpu::wide) {
            let open = |max_buffer_bytes: Option<u64>| {
                devices.reopen(&Options {
                    wide: Some(wide),
                    max_buffer_bytes,
                    ..Options::default()
                })
            };
            let gpu = open(None);
            let whole = graph(&gpu, &data, &params, 0..100, false);
            assert_eq!(graph(&gpu, &data, &params, 0..100, true), whole);
            assert_eq!(
                graph(&open(Some(1 << 16)), &data, &params, 0..100, false),
                whole
            );
            for rows in [0..1, 3..60, 40..97] {
                let part = graph(&gpu, &data, &params, rows.clone(), false);
                for g in 0..2 {
                    for (i, row) in rows.clone().enumerate() {
                        let (a, b) = (g * rows.len() + i, g * 100 + row);
                        assert_eq!(summary(&part, a, 15), summary(&whole, b, 15));
                        let weights = |block: &GraphBlock, q: usize| {
                            let of = &block.weights[q * 15..][..15];
                            of.iter().map(|w| w.to_bits()).collect::<Vec<u32>>()
                        };
                        assert_eq!(weights(&part, a), weights(&whole, b));
                        let value = |block: &GraphBlock, q: usize| {
                            (
                                block.objective[q].to_bits(),
                                block.kkt_residual[q].to_bits(),
                            )
                        };
                        assert_eq!(value(&part, a), value(&whole, b));
                    }
                }
            }
        }
    }
}

/// More vectors than are brought to the host at a time.
fn many_batches(devices: &Devices) {
    let data = offset([1, 230, 1025], 1e-6, 7);
    let params = params(12, Kernel::Cosine, Identical::Keep);
    let bytes = 230 * 12 * 1025 * 4;
    assert!(bytes > 8 << 20);
    let expected = cpu_graph(&data, &params, 230);
    let found = graph(devices.gpu(), &data, &params, 0..230, false);
    for q in 0..230 {
        assert_eq!(
            summary(&found, q, 12),
            summary(&expected, q, 12),
            "query {q}"
        );
    }
}

/// Blocks that the device holds times a power of two.
fn subnormal_numbers(devices: &Devices) {
    let mut data = offset([1, 40, 5], 1e-6, 7);
    data.x.iter_mut().for_each(|v| *v *= 1e-38);
    same_as_cpu(
        devices,
        &data,
        &params(9, Kernel::Cosine, Identical::Keep),
        40,
    );
    let mut data = noise([1, 40, 5], 7);
    data.x.iter_mut().for_each(|v| *v *= 1e-37);
    data.x[3] = 1e-40;
    let params = GraphParams {
        sigma: Sigma::Fixed(1e-32),
        ..params(9, Kernel::Gaussian, Identical::Keep)
    };
    same_as_cpu(devices, &data, &params, 40);
}

/// Every allocation and every submission fails once.
fn failures(devices: &Devices) {
    let data = joined(&offset([2, 20, 7], 1e-6, 3), &noise([2, 20, 7], 4));
    let params = params(9, Kernel::Cosine, Identical::Keep);
    for gathered in [false, true] {
        disturb(devices, 8, &|device| {
            let Device::Gpu(gpu) = device else {
                unreachable!("this harness opens GPUs")
            };
            let found = try_graph(gpu, &data, &params, 0..data.n, gathered)?;
            Ok(format!("{found:?}"))
        });
    }
}

/// Where no query is left to the host, nothing is fetched; where some are, those of a pass are fetched together.
fn nothing_more(devices: &Devices) {
    let gpu = devices.reopen(&Options::default());
    let near = offset([2, 50, 7], 1e-6, 3);
    let others = noise([2, 50, 7], 4);
    for (data, fetches) in [(&others, 0), (&near, 2)] {
        let params = params(9, Kernel::Cosine, Identical::Keep);
        gpu.launches();
        graph(&gpu, data, &params, 0..50, false);
        let launches = gpu.launches();
        let count = launches.iter().filter(|l| l.kernel == "knn_gather").count();
        assert_eq!(count, fetches);
    }
}
