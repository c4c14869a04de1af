use crate::{Devices, Test, data::Random, oracle};
use chanscope::gpu::{Gpu, Wide};
use chanscope::ops::{Backend, GraphParams, Identical, Kernel, PointsBlock, Sigma};
use chanscope::tensor::Values;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::ops::Range;

mod hard;

pub const TESTS: &[Test] = &[
    ("knn::ties_are_exact", ties_are_exact),
    ("knn::random_rows", random_rows),
    ("knn::opposite_rows", opposite_rows),
    ("knn::large_offset", large_offset),
    ("knn::far_clusters_at_any_scale", far_clusters_at_any_scale),
    ("knn::blocks_do_not_matter", blocks_do_not_matter),
    ("knn::any_samples_as_queries", any_samples_as_queries),
    ("knn::many_points", hard::many_points),
    ("knn::sorted_points_overflow", hard::sorted_points_overflow),
    ("knn::long_rows", hard::long_rows),
    ("knn::dead_samples", hard::dead_samples),
    (
        "knn::huge_and_constant_values",
        hard::huge_and_constant_values,
    ),
    ("knn::few_samples", hard::few_samples),
    ("knn::refused", hard::refused),
    (
        "knn::padded_rows_fit_a_buffer",
        hard::padded_rows_fit_a_buffer,
    ),
];

const KERNELS: [Kernel; 2] = [Kernel::Gaussian, Kernel::Cosine];

pub fn params(k: usize, kernel: Kernel, identical: Identical) -> GraphParams {
    GraphParams {
        k,
        kernel,
        sigma: Sigma::KthThird,
        identical,
        pca_dimension: true,
    }
}

/// `x [groups, n, dim]`.
#[derive(Clone, Debug)]
pub struct Data {
    pub x: Vec<f32>,
    pub groups: usize,
    pub n: usize,
    pub dim: usize,
}

impl Data {
    pub fn group(&self, g: usize) -> &[f32] {
        &self.x[g * self.n * self.dim..][..self.n * self.dim]
    }

    pub fn random(groups: usize, n: usize, dim: usize, seed: u64) -> Self {
        let x = Random(seed).signed_vec(groups * n * dim);
        Self { x, groups, n, dim }
    }

    /// Rows `range` of every group.
    pub fn block(&self, range: Range<usize>) -> Vec<f32> {
        (0..self.groups)
            .flat_map(|g| self.group(g)[range.start * self.dim..range.end * self.dim].to_vec())
            .collect()
    }

    pub fn points(
        &self,
        gpu: &Gpu,
        range: Range<usize>,
        kernel: Kernel,
    ) -> <Gpu as Backend>::Points {
        self.try_points(gpu, range, kernel).unwrap()
    }

    pub fn try_points(
        &self,
        gpu: &Gpu,
        range: Range<usize>,
        kernel: Kernel,
    ) -> chanscope::Result<<Gpu as Backend>::Points> {
        let data = self.block(range.clone());
        let block = PointsBlock {
            data: Values::F32(&data),
            groups: self.groups,
            rows: range.len(),
            dim: self.dim,
            first: range.start,
        };
        gpu.points(block, kernel)
    }
}

/// Ranges that end at the cuts and at `n`.
pub fn ranges(cuts: &[usize], n: usize) -> Vec<Range<usize>> {
    let mut ends: Vec<usize> = cuts.iter().map(|&c| c.min(n)).chain([n]).collect();
    ends.sort_unstable();
    let mut start = 0;
    ends.into_iter()
        .map(|end| std::mem::replace(&mut start, end)..end)
        .collect()
}

pub type Lists = Vec<Vec<(f64, usize)>>;

/// Lists `[groups, n]` of (squared distance, index); queries and points in blocks.
pub fn search(
    gpu: &Gpu,
    data: &Data,
    params: &GraphParams,
    query_cuts: &[usize],
    point_cuts: &[usize],
    own_blocks: bool,
) -> Lists {
    let queries = ranges(query_cuts, data.n);
    search_ranges(gpu, data, params, &queries, point_cuts, own_blocks)
}

/// The same for some queries; the other lists stay empty.
fn search_ranges(
    gpu: &Gpu,
    data: &Data,
    params: &GraphParams,
    queries: &[Range<usize>],
    point_cuts: &[usize],
    own_blocks: bool,
) -> Lists {
    let blocks: Vec<_> = ranges(point_cuts, data.n)
        .into_iter()
        .map(|r| data.points(gpu, r, params.kernel))
        .collect();
    let whole = data.points(gpu, 0..data.n, params.kernel);
    let mut all = vec![Vec::new(); data.groups * data.n];
    for range in queries.iter().cloned() {
        let mut state = gpu.candidates(data.groups, range.len(), params.k).unwrap();
        let own = own_blocks.then(|| data.points(gpu, range.clone(), params.kernel));
        let (queries, rows) = match &own {
            Some(own) => (own, 0..range.len()),
            None => (&whole, range.clone()),
        };
        for points in &blocks {
            gpu.knn(queries, rows.clone(), points, params, &mut state)
                .unwrap();
        }
        let (indices, distances) = gpu.candidate_lists(&state, queries).unwrap();
        let lists = indices.chunks(params.k).zip(distances.chunks(params.k));
        for (i, (indices, distances)) in lists.enumerate() {
            let (g, q) = (i / range.len(), i % range.len());
            all[g * data.n + range.start + q] = indices
                .iter()
                .zip(distances)
                .take_while(|(i, _)| **i >= 0)
                .map(|(&i, &d)| (d, i as usize))
                .collect();
            assert!(indices.iter().skip_while(|i| **i >= 0).all(|i| *i == -1));
        }
    }
    all
}

/// What distances may be off by, relative: float64 or 46 bits, over sums.
fn precision(gpu: &Gpu) -> f64 {
    match gpu.wide() {
        Wide::Float64 => 1e-13,
        Wide::DoubleFloat => 1e-12,
    }
}

/// Distances at each rank agree, each neighbour has the distance it is listed with, order is
/// (distance, index). `exact`: everything is, ties included.
pub fn check(gpu: &Gpu, data: &Data, params: &GraphParams, lists: &Lists, exact: bool) {
    let relative = if exact { 0.0 } else { precision(gpu) };
    let absolute = if exact { 0.0 } else { 1e-14 };
    for (i, list) in lists.iter().enumerate() {
        let (g, query) = (i / data.n, i % data.n);
        let x = data.group(g);
        let row = |i: usize| &x[i * data.dim..][..data.dim];
        if params.kernel == Kernel::Cosine && row(query).iter().all(|&v| v == 0.0) {
            assert!(list.is_empty());
            continue;
        }
        let want = oracle::knn::neighbors(x, data.dim, query, params.kernel, params.identical);
        assert_eq!(list.len(), want.len().min(params.k), "query {query}");
        for (&(d, j), &(want, index)) in list.iter().zip(&want) {
            let bound = relative * want + absolute * f64::from(params.kernel == Kernel::Cosine);
            assert!(
                (d - want).abs() <= bound,
                "query {query}: {d} {j}, {want} {index}"
            );
            if exact {
                assert_eq!(j, index, "query {query}");
            }
            let own = oracle::knn::distance(row(query), row(j), params.kernel).unwrap();
            assert!(j != query && (d - own).abs() <= 2.0 * bound + relative * own);
        }
        for pair in list.windows(2) {
            assert!(pair[0] < pair[1], "query {query}: {pair:?}");
        }
    }
}

fn check_all(devices: &Devices, data: &Data, params: &GraphParams, exact: bool) {
    for gpu in devices.all() {
        let lists = search(gpu, data, params, &[], &[], false);
        check(gpu, data, params, &lists, exact);
    }
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    })
}

fn identical() -> impl Strategy<Value = Identical> {
    prop_oneof![
        Just(Identical::Keep),
        Just(Identical::Drop),
        Just(Identical::Replace)
    ]
}

fn kernel() -> impl Strategy<Value = Kernel> {
    prop_oneof![Just(Kernel::Gaussian), Just(Kernel::Cosine)]
}

/// Small integers: distances are exact in every arithmetic, and tie all the time.
fn integers() -> impl Strategy<Value = Data> {
    let shape = (1usize..3, 1usize..90, 1usize..20, 1i32..4);
    shape.prop_flat_map(|(groups, n, dim, top)| {
        prop::collection::vec(0..=top, groups * n * dim).prop_map(move |x| Data {
            x: x.into_iter().map(|v| v as f32).collect(),
            groups,
            n,
            dim,
        })
    })
}

fn ties_are_exact(devices: &Devices) {
    runner(16)
        .run(
            &(integers(), 1usize..100, identical()),
            |(data, k, identical)| {
                check_all(
                    devices,
                    &data,
                    &params(k, Kernel::Gaussian, identical),
                    true,
                );
                Ok(())
            },
        )
        .unwrap();
}

fn random_rows(devices: &Devices) {
    let case = (
        (1usize..3, 1usize..300, 1usize..90, any::<u64>()),
        1usize..60,
        kernel(),
        identical(),
    );
    runner(12)
        .run(&case, |((groups, n, dim, seed), k, kernel, identical)| {
            let data = Data::random(groups, n, dim, seed);
            check_all(devices, &data, &params(k, kernel, identical), false);
            Ok(())
        })
        .unwrap();
}

/// Under cosine all distances of rows of one number are 0 or 4, up to rounding: equal ones are in the order of the samples.
fn opposite_rows(devices: &Devices) {
    for seed in 0..24 {
        let data = Data::random(1, 130, 1, seed);
        for identical in [Identical::Keep, Identical::Replace] {
            check_all(
                devices,
                &data,
                &params(129, Kernel::Cosine, identical),
                false,
            );
        }
    }
}

/// A mean of 10^4 with unit variance: expanded distances in f32 would be noise.
fn large_offset(devices: &Devices) {
    let mut data = Data::random(1, 500, 12, 5);
    data.x.iter_mut().for_each(|v| *v += 1e4);
    for kernel in KERNELS {
        check_all(devices, &data, &params(10, kernel, Identical::Keep), false);
    }
}

/// Two far clusters, so that no centre helps.
fn far_clusters_at_any_scale(devices: &Devices) {
    for exponent in [-60, 0, 50] {
        for kernel in KERNELS {
            let mut data = Data::random(1, 400, 7, 6);
            for (i, row) in data.x.chunks_mut(7).enumerate() {
                let centre = if i % 3 == 0 { 5e3 } else { -7e3 };
                row.iter_mut()
                    .for_each(|v| *v = (*v + centre) * 2f32.powi(exponent));
            }
            check_all(devices, &data, &params(20, kernel, Identical::Keep), false);
        }
    }
}

fn blocks_do_not_matter(devices: &Devices) {
    let cuts = || prop::collection::vec(0usize..500, 0..4);
    let reals = (1usize..500, 1usize..40, any::<u64>())
        .prop_map(|(n, dim, seed)| Data::random(2, n, dim, seed));
    let case = (
        prop_oneof![reals, integers()],
        (1usize..40, kernel(), identical()),
        (cuts(), cuts(), any::<bool>()),
    );
    runner(12)
        .run(&case, |(data, (k, kernel, identical), (q, p, own))| {
            let params = params(k, kernel, identical);
            for gpu in devices.all() {
                let whole = search(gpu, &data, &params, &[], &[], false);
                prop_assert_eq!(&search(gpu, &data, &params, &q, &p, own), &whole);
            }
            Ok(())
        })
        .unwrap();
}

/// Queries that are listed have the lists that they have among all queries.
fn any_samples_as_queries(devices: &Devices) {
    let case = (integers(), 1usize..40, kernel(), identical(), 1usize..7);
    runner(8)
        .run(&case, |(data, k, kernel, identical, step)| {
            let params = params(k, kernel, identical);
            let samples: Vec<u32> = (0..data.n as u32).rev().step_by(step).collect();
            let mut values = Vec::new();
            for g in 0..data.groups {
                for &i in &samples {
                    values.extend_from_slice(&data.group(g)[i as usize * data.dim..][..data.dim]);
                }
            }
            for gpu in devices.all() {
                let all = search(gpu, &data, &params, &[], &[], false);
                let block = PointsBlock {
                    data: Values::F32(&values),
                    groups: data.groups,
                    rows: samples.len(),
                    dim: data.dim,
                    first: 0,
                };
                let queries = gpu.queries(block, &samples, kernel).unwrap();
                let mut state = gpu.candidates(data.groups, samples.len(), k).unwrap();
                for rows in ranges(&[data.n / 3], data.n) {
                    let points = data.points(gpu, rows, kernel);
                    gpu.knn(&queries, 0..samples.len(), &points, &params, &mut state)
                        .unwrap();
                }
                let (indices, _) = gpu.candidate_lists(&state, &queries).unwrap();
                for (at, found) in indices.chunks(k).enumerate() {
                    let (g, i) = (at / samples.len(), samples[at % samples.len()] as usize);
                    let wanted = all[g * data.n + i].iter().map(|c| c.1 as i32);
                    let found = found.iter().copied().take_while(|&i| i >= 0);
                    prop_assert!(found.eq(wanted), "sample {}", i);
                }
            }
            Ok(())
        })
        .unwrap();
}

/// Some queries against the oracle, indices only: their distances must not tie.
fn check_some(devices: &Devices, data: &Data, params: &GraphParams, queries: &[Range<usize>]) {
    for gpu in devices.all() {
        let lists = search_ranges(gpu, data, params, queries, &[], false);
        for i in queries.iter().cloned().flatten() {
            for g in 0..data.groups {
                let x = data.group(g);
                let mut want =
                    oracle::knn::neighbors(x, data.dim, i, params.kernel, params.identical);
                want.truncate(params.k);
                let index = |l: &[(f64, usize)]| l.iter().map(|(_, j)| *j).collect::<Vec<_>>();
                assert_eq!(index(&lists[g * data.n + i]), index(&want), "query {i}");
            }
        }
    }
}
