//! Many points and many candidates.

use super::*;

pub fn many_candidates(set: InstructionSet) {
    for (n, k) in [(1500, 1024), (3000, 300), (700, 1024)] {
        check_whole(
            set,
            &random(1, n, 3, 5),
            &params(k, Kernel::Gaussian, Identical::Keep),
            1e-9,
        );
    }
}

/// Enough points, along few directions, for a search to leave most of them out.
fn very_many(groups: usize) -> Data {
    let (n, dim) = (17_000, 5);
    let mut data = random(groups, n, dim, 4);
    for (i, row) in data.x.chunks_exact_mut(dim).enumerate() {
        let along = (i * 7919 % n) as f32 / 1000.0;
        for (t, x) in row.iter_mut().enumerate() {
            *x = (along * (t + 1) as f32).sin() + 0.05 * *x;
        }
    }
    data
}

/// Points that were prepared for few queries give the lists that those prepared for many give.
pub fn points_for_few_queries(set: InstructionSet) {
    let (data, cpu) = (very_many(2), cpu(set));
    let samples: Vec<u32> = (0..data.n as u32).step_by(271).collect();
    let groups = (0..data.groups).map(|g| data.group(g));
    let values: Vec<f32> = groups
        .flat_map(|rows| {
            let row = |&i: &u32| &rows[i as usize * data.dim..][..data.dim];
            samples.iter().flat_map(row).copied()
        })
        .collect();
    let block = PointsBlock {
        data: Values::F32(&values),
        groups: data.groups,
        rows: samples.len(),
        dim: data.dim,
        first: 0,
    };
    let all = PointsBlock {
        data: Values::F32(&data.x),
        rows: data.n,
        ..block
    };
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        let params = params(8, kernel, Identical::Keep);
        let queries = cpu.queries(block, &samples, kernel).unwrap();
        let lists = [0, samples.len(), data.n, usize::MAX].map(|expected| {
            let points = cpu.points_for(all, kernel, expected).unwrap();
            let mut state = cpu
                .candidates(data.groups, samples.len(), params.k)
                .unwrap();
            cpu.knn(&queries, 0..samples.len(), &points, &params, &mut state)
                .unwrap();
            let at = (0..data.groups).flat_map(|g| (0..samples.len()).map(move |i| (g, i)));
            at.map(|(g, i)| state.list(g, i).to_vec())
                .collect::<Vec<_>>()
        });
        assert!(lists.iter().all(|found| *found == lists[0]), "{kernel:?}");
        for (at, &i) in samples.iter().enumerate() {
            let identical = params.identical;
            let want =
                oracle::knn::neighbors(data.group(0), data.dim, i as usize, kernel, identical);
            assert_eq!(lists[0][at].len(), params.k);
            for (got, want) in lists[0][at].iter().zip(&want) {
                assert!((got.sq_distance - want.0).abs() <= 1e-12, "{kernel:?}");
            }
        }
    }
}

/// Those points, where all of them are queries.
pub fn near_points_among_very_many(set: InstructionSet) {
    let data = very_many(1);
    let dim = data.dim;
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        let params = params(8, kernel, Identical::Keep);
        let of = |set| search(&cpu(set), &data, &params, &[], &[], false);
        let lists = of(set);
        for query in (0..data.n).step_by(997) {
            let identical = params.identical;
            let want = oracle::knn::neighbors(&data.x, dim, query, kernel, identical);
            for (got, want) in lists[query].iter().zip(&want) {
                assert!((got.sq_distance - want.0).abs() <= 1e-12, "{kernel:?}");
            }
        }
        assert!(lists == of(InstructionSet::Portable), "{kernel:?}");
    }
}

/// Enough points for a search to guess how near the nearest are, among rows that are all zero or copies.
pub fn dead_samples_among_many(set: InstructionSet) {
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        let mut data = random(2, 2000, 6, 8);
        for (i, row) in data.x.chunks_exact_mut(6).enumerate() {
            let keep = i % 3 != 1;
            row.iter_mut()
                .for_each(|x| *x = if keep { x.max(0.0) } else { 0.0 });
        }
        data.x.copy_within(0..600, 9000);
        check_whole(set, &data, &params(12, kernel, Identical::Keep), 1e-9);
    }
}
