use crate::oracle;
use crate::support::noise;
use chanscope::cpu::{Candidate, Cpu, InstructionSet};
use chanscope::ops::{Backend, GraphParams, Identical, Kernel, PointsBlock, Sigma};
use chanscope::tensor::Values;
use proptest::prelude::*;

mod calls;
mod hard;
mod many;

pub const ON_EACH_SET: chanscope::internals::OnEachSet = tests![
    ties_are_exact,
    random_rows,
    large_offset,
    far_clusters_at_any_scale,
    rows_of_very_different_lengths,
    blocks_do_not_matter,
    blocks_do_not_matter_for_reals,
    any_samples_as_queries,
    many::many_candidates,
    many::near_points_among_very_many,
    many::points_for_few_queries,
    many::dead_samples_among_many,
    long_rows,
    long_rows_that_tie,
    very_long_rows,
    hard::tight_clusters_and_outliers,
    hard::samples_in_order,
    hard::huge_and_constant_values,
    hard::parallel_vectors_are_identical,
    hard::nearly_parallel_vectors_tie_alike,
];
pub const ONCE: crate::Once = tests![
    calls::one_and_two_samples,
    calls::vectors_are_gathered_from_every_block,
    calls::misuse_is_refused,
    hard::dead_samples,
];

fn cpu(set: InstructionSet) -> Cpu {
    Cpu::with_instruction_set(2, set).unwrap()
}

fn params(k: usize, kernel: Kernel, identical: Identical) -> GraphParams {
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
struct Data {
    x: Vec<f32>,
    groups: usize,
    n: usize,
    dim: usize,
}

impl Data {
    fn group(&self, g: usize) -> &[f32] {
        &self.x[g * self.n * self.dim..][..self.n * self.dim]
    }

    /// Rows `range` of every group.
    fn block(&self, range: std::ops::Range<usize>) -> Vec<f32> {
        (0..self.groups)
            .flat_map(|g| self.group(g)[range.start * self.dim..range.end * self.dim].to_vec())
            .collect()
    }
}

/// Lists of all queries `[groups, n]`; queries in blocks that end at `query_cuts`, points in blocks that
/// end at `point_cuts` (both ascending, `n` added), and queries in one block or, where `own_blocks`, in
/// one prepared block each.
fn search(
    cpu: &Cpu,
    data: &Data,
    params: &GraphParams,
    query_cuts: &[usize],
    point_cuts: &[usize],
    own_blocks: bool,
) -> Vec<Vec<Candidate>> {
    let ranges = |cuts: &[usize]| -> Vec<std::ops::Range<usize>> {
        let mut ends: Vec<usize> = cuts
            .iter()
            .map(|&c| c.min(data.n))
            .chain([data.n])
            .collect();
        ends.sort_unstable();
        ends.iter()
            .scan(0, |start, &end| Some(std::mem::replace(start, end)..end))
            .collect()
    };
    let prepare = |range: std::ops::Range<usize>| {
        let block = data.block(range.clone());
        let block = PointsBlock {
            data: Values::F32(&block),
            groups: data.groups,
            rows: range.len(),
            dim: data.dim,
            first: range.start,
        };
        cpu.points(block, params.kernel).unwrap()
    };
    let blocks: Vec<_> = ranges(point_cuts).into_iter().map(prepare).collect();
    let whole = prepare(0..data.n);
    let mut lists = vec![Vec::new(); data.groups * data.n];
    for range in ranges(query_cuts) {
        let mut state = cpu.candidates(data.groups, range.len(), params.k).unwrap();
        let own = own_blocks.then(|| prepare(range.clone()));
        for points in &blocks {
            match &own {
                Some(own) => cpu
                    .knn(own, 0..range.len(), points, params, &mut state)
                    .unwrap(),
                None => cpu
                    .knn(&whole, range.clone(), points, params, &mut state)
                    .unwrap(),
            }
        }
        for g in 0..data.groups {
            for (i, query) in range.clone().enumerate() {
                lists[g * data.n + query] = state.list(g, i).to_vec();
            }
        }
    }
    lists
}

/// Distances at each rank agree, each neighbour has the distance it is listed with, none is listed
/// twice, and order is (distance, index). `tolerance` 0: everything is exact, ties included.
fn check(data: &Data, params: &GraphParams, lists: &[Vec<Candidate>], tolerance: f64) {
    for g in 0..data.groups {
        let x = data.group(g);
        for query in 0..data.n {
            let list = &lists[g * data.n + query];
            let zero = x[query * data.dim..(query + 1) * data.dim]
                .iter()
                .all(|&v| v == 0.0);
            if params.kernel == Kernel::Cosine && zero {
                assert!(list.is_empty());
                continue;
            }
            let want = oracle::knn::neighbors(x, data.dim, query, params.kernel, params.identical);
            assert_eq!(list.len(), want.len().min(params.k), "query {query}");
            for (got, &(d, index)) in list.iter().zip(&want) {
                assert!(
                    (got.sq_distance - d).abs() <= tolerance * d.max(1e-12 / tolerance.max(1e-12)),
                    "query {query}: {got:?}, {d} {index}"
                );
                assert!(got.sq_distance >= 0.0);
                if tolerance == 0.0 {
                    assert_eq!(got.index as usize, index, "query {query}");
                }
                let j = got.index as usize;
                let own = want
                    .iter()
                    .find(|w| w.1 == j)
                    .unwrap_or_else(|| panic!("{j} is no candidate of {query}"))
                    .0;
                assert!((own - got.sq_distance).abs() <= tolerance * own + tolerance * 1e-3);
            }
            for pair in list.windows(2) {
                let key = |c: &Candidate| (c.sq_distance.to_bits(), c.index);
                assert!(key(&pair[0]) < key(&pair[1]), "query {query}: {pair:?}");
            }
        }
    }
}

fn check_whole(set: InstructionSet, data: &Data, params: &GraphParams, tolerance: f64) {
    let lists = search(&cpu(set), data, params, &[], &[], false);
    check(data, params, &lists, tolerance);
}

fn random(groups: usize, n: usize, dim: usize, seed: u64) -> Data {
    let mut next = noise(seed);
    Data {
        x: (0..groups * n * dim).map(|_| next()).collect(),
        groups,
        n,
        dim,
    }
}

fn kernel() -> impl Strategy<Value = Kernel> {
    prop_oneof![Just(Kernel::Gaussian), Just(Kernel::Cosine)]
}

fn identical() -> impl Strategy<Value = Identical> {
    prop_oneof![
        Just(Identical::Keep),
        Just(Identical::Drop),
        Just(Identical::Replace)
    ]
}

/// Small integers: distances are exact in every arithmetic, and tie all the time.
fn integers() -> impl Strategy<Value = Data> {
    (1usize..3, 1usize..90, 1usize..20, 1i32..4).prop_flat_map(|(groups, n, dim, top)| {
        prop::collection::vec(0..=top, groups * n * dim).prop_map(move |x| Data {
            x: x.into_iter().map(|v| v as f32).collect(),
            groups,
            n,
            dim,
        })
    })
}

fn ties_are_exact(set: InstructionSet) {
    proptest!(ProptestConfig::with_cases(48), |(data in integers(), k in 1usize..100, identical in identical())| {
        check_whole(set, &data, &params(k, Kernel::Gaussian, identical), 0.0);
    });
}

fn random_rows(set: InstructionSet) {
    proptest!(ProptestConfig::with_cases(48), |(groups in 1usize..3, n in 1usize..150, dim in 1usize..90, k in 1usize..60, kernel in kernel(), identical in identical(), seed: u64)| {
        check_whole(set, &random(groups, n, dim, seed), &params(k, kernel, identical), 1e-9);
    });
}

/// A mean of 10^4 with unit variance: expanded distances in f32 would be noise.
fn large_offset(set: InstructionSet) {
    proptest!(ProptestConfig::with_cases(48), |(n in 2usize..120, dim in 1usize..40, k in 1usize..30, seed: u64)| {
        let mut data = random(1, n, dim, seed);
        data.x.iter_mut().for_each(|v| *v += 1e4);
        check_whole(set, &data, &params(k, Kernel::Gaussian, Identical::Keep), 1e-9);
        check_whole(set, &data, &params(k, Kernel::Cosine, Identical::Keep), 1e-5);
    });
}

/// Two far clusters, so that no centre helps, at any scale that squares fit.
fn far_clusters_at_any_scale(set: InstructionSet) {
    proptest!(ProptestConfig::with_cases(48), |(n in 2usize..120, dim in 1usize..40, k in 1usize..30, exponent in -120i32..120, kernel in kernel(), seed: u64)| {
        let mut data = random(1, n, dim, seed);
        for (i, row) in data.x.chunks_mut(dim).enumerate() {
            row.iter_mut().for_each(|v| *v = (*v + if i % 3 == 0 { 5e3 } else { -7e3 }) * 2f32.powi(exponent - 12));
        }
        check_rank_distances(set, &data, &params(k, kernel, Identical::Keep));
    });
}

/// Rows whose lengths differ by many orders of magnitude, the shortest of which have neighbours of their own length: each
/// distance is right in its own size.
fn rows_of_very_different_lengths(set: InstructionSet) {
    for (seed, (n, dim, octaves)) in [(400, 16, 58.0), (300, 64, 58.0), (200, 5, 125.0)]
        .into_iter()
        .enumerate()
    {
        let mut data = random(1, n, dim, seed as u64);
        let mut next = noise(77);
        for row in data.x.chunks_mut(dim) {
            let factor = (next() * octaves).exp2();
            row.iter_mut().for_each(|v| *v *= factor);
        }
        for kernel in [Kernel::Gaussian, Kernel::Cosine] {
            // Cosines are rounded beside 1.
            let floor = if kernel == Kernel::Cosine { 1e-3 } else { 0.0 };
            let params = params(12, kernel, Identical::Keep);
            let lists = search(&cpu(set), &data, &params, &[], &[], false);
            for (query, list) in lists.iter().enumerate() {
                let want = oracle::knn::neighbors(&data.x, dim, query, kernel, Identical::Keep);
                assert_eq!(list.len(), 12);
                for (got, (d, _)) in list.iter().zip(&want) {
                    let error = (got.sq_distance - d).abs();
                    assert!(error <= 1e-11 * d.max(floor), "{query}: {got:?} {d}");
                }
            }
        }
    }
}

fn blocks_do_not_matter(set: InstructionSet) {
    proptest!(ProptestConfig::with_cases(48), |(data in integers(), k in 1usize..40, kernel in kernel(), identical in identical(),
    query_cuts in prop::collection::vec(0usize..90, 0..4), point_cuts in prop::collection::vec(0usize..90, 0..4), own: bool)| {
            let params = params(k, kernel, identical);
            let want = search(&Cpu::new(1).unwrap(), &data, &params, &[], &[], false);
            prop_assert_eq!(&search(&cpu(set), &data, &params, &query_cuts, &point_cuts, own), &want);
        });
}

fn blocks_do_not_matter_for_reals(set: InstructionSet) {
    proptest!(ProptestConfig::with_cases(48), |(n in 1usize..200, dim in 1usize..70, seed: u64, k in 1usize..40, kernel in kernel(),
    query_cuts in prop::collection::vec(0usize..200, 0..4), point_cuts in prop::collection::vec(0usize..200, 0..4), own: bool)| {
            let data = random(2, n, dim, seed);
            let params = params(k, kernel, Identical::Keep);
            let want = search(&Cpu::new(1).unwrap(), &data, &params, &[], &[], false);
            prop_assert_eq!(&search(&cpu(set), &data, &params, &query_cuts, &point_cuts, own), &want);
        });
}

/// Queries that are listed have the lists that they have among all queries.
fn any_samples_as_queries(set: InstructionSet) {
    proptest!(ProptestConfig::with_cases(24), |(data in integers(), k in 1usize..40, kernel in kernel(), identical in identical(),
    step in 1usize..7, point_cuts in prop::collection::vec(0usize..90, 0..3))| {
        let (params, cpu) = (params(k, kernel, identical), cpu(set));
        let all = search(&cpu, &data, &params, &[], &[], false);
        // In no order, as the search does not ask for one.
        let samples: Vec<u32> = (0..data.n as u32).rev().step_by(step).collect();
        let mut values = Vec::new();
        for g in 0..data.groups {
            for &i in &samples {
                values.extend_from_slice(&data.group(g)[i as usize * data.dim..][..data.dim]);
            }
        }
        let block = PointsBlock { data: Values::F32(&values), groups: data.groups, rows: samples.len(), dim: data.dim, first: 0 };
        let queries = cpu.queries(block, &samples, kernel).unwrap();
        let mut state = cpu.candidates(data.groups, samples.len(), k).unwrap();
        let mut ends: Vec<usize> = point_cuts.iter().map(|&c| c.min(data.n)).chain([data.n]).collect();
        ends.sort_unstable();
        let mut first = 0;
        for end in ends {
            let values = data.block(first..end);
            let block = PointsBlock { data: Values::F32(&values), groups: data.groups, rows: end - first, dim: data.dim, first };
            let points = cpu.points(block, kernel).unwrap();
            cpu.knn(&queries, 0..samples.len(), &points, &params, &mut state).unwrap();
            first = end;
        }
        for g in 0..data.groups {
            for (at, &i) in samples.iter().enumerate() {
                prop_assert_eq!(state.list(g, at), all[g * data.n + i as usize].as_slice());
            }
        }
    });
}

/// Each rank's distance against the oracle, relative to the largest: for data whose scale varies.
fn check_rank_distances(set: InstructionSet, data: &Data, params: &GraphParams) {
    let lists = search(&cpu(set), data, params, &[], &[], false);
    for (query, list) in lists.iter().enumerate() {
        let want =
            oracle::knn::neighbors(&data.x, data.dim, query, params.kernel, params.identical);
        assert_eq!(list.len(), want.len().min(params.k));
        let absolute = if params.kernel == Kernel::Cosine {
            1e-14
        } else {
            0.0
        };
        for (got, want) in list.iter().zip(&want) {
            assert!(
                (got.sq_distance - want.0).abs() <= 1e-12 * want.0 + absolute,
                "{got:?} {want:?}"
            );
        }
    }
}

fn long_rows(set: InstructionSet) {
    for dim in [255, 256, 257, 511, 800, 1025] {
        check_whole(
            set,
            &random(1, 70, dim, 3),
            &params(9, Kernel::Gaussian, Identical::Keep),
            1e-9,
        );
        check_whole(
            set,
            &random(1, 70, dim, 4),
            &params(9, Kernel::Cosine, Identical::Keep),
            1e-9,
        );
    }
}

/// Long rows of small integers around few patterns: copies, distances that tie, dead samples, and one sample far from all.
fn long_rows_that_tie(set: InstructionSet) {
    const N: usize = 110;
    for (seed, dim) in [256, 515].into_iter().enumerate() {
        let mut next = noise(seed as u64);
        let mut below = move |top: usize| ((next() * 0.5 + 0.5) * top as f32) as usize % top;
        let patterns: Vec<Vec<f32>> = (0..5)
            .map(|p| (0..dim).map(|_| (below(4) * p.min(1)) as f32).collect())
            .collect();
        let mut x = Vec::new();
        for i in 0..N {
            let mut row = patterns[below(patterns.len())].clone();
            for _ in 0..below(4) {
                row[below(dim)] = below(3) as f32;
            }
            if i == 77 {
                row.iter_mut().for_each(|v| *v = 2000.0 - *v);
            }
            x.extend(row);
        }
        let data = Data {
            x,
            groups: 1,
            n: N,
            dim,
        };
        for (k, identical) in [
            (1, Identical::Keep),
            (9, Identical::Replace),
            (60, Identical::Drop),
        ] {
            check_whole(set, &data, &params(k, Kernel::Gaussian, identical), 0.0);
            for kernel in [Kernel::Gaussian, Kernel::Cosine] {
                let params = params(k, kernel, identical);
                let want = search(&Cpu::new(1).unwrap(), &data, &params, &[], &[], false);
                let cuts = search(&cpu(set), &data, &params, &[65, 66], &[3, 80], true);
                assert!(cuts == want, "{dim} {k} {identical:?} {kernel:?}");
            }
        }
    }
}

/// Beyond what sums of 32-bit integers hold.
fn very_long_rows(set: InstructionSet) {
    for dim in [16_384, 16_385] {
        let data = random(1, 40, dim, 6);
        check_whole(
            set,
            &data,
            &params(9, Kernel::Gaussian, Identical::Keep),
            1e-9,
        );
    }
}
