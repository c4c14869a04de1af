//! Data that a filter of neighbours may stumble over.

use super::*;

/// A ReLU channel: most samples are all-zero.
pub fn dead_samples() {
    let mut data = random(1, 6000, 4, 9);
    for (i, row) in data.x.chunks_mut(4).enumerate() {
        if i % 8 != 0 {
            row.fill(0.0);
        } else {
            row.iter_mut().for_each(|v| *v = (*v * 8.0).round());
        }
    }
    let cpu = Cpu::new(2).unwrap();
    for identical in [Identical::Keep, Identical::Replace] {
        let params = params(30, Kernel::Gaussian, identical);
        let lists = search(&cpu, &data, &params, &[], &[], false);
        for query in (0..6000)
            .step_by(397)
            .chain([0, 1, 2, 29, 30, 31, 32, 5999])
        {
            let want = oracle::knn::neighbors(&data.x, 4, query, Kernel::Gaussian, identical);
            let got: Vec<_> = lists[query]
                .iter()
                .map(|c| (c.sq_distance, c.index as usize))
                .collect();
            assert_eq!(got, want[..30], "query {query}");
        }
    }
}

/// Clusters so tight that a filter in few bits tells none of a cluster from another, and rows so far out
/// that it cannot hold them; the former makes it give up, the latter does not.
pub fn tight_clusters_and_outliers(set: InstructionSet) {
    // A filter that looks at every second row only sees the far ones in the first case.
    for (spread, far, every, at) in [(1e-5, 1.0, 10, 0), (1.0, 1e4, 700, 1), (1.0, 1e30, 700, 1)] {
        let mut data = random(1, 1500, 6, 41);
        for (i, row) in data.x.chunks_mut(6).enumerate() {
            let centre = if i % every == at { far } else { 0.0 };
            row.iter_mut().for_each(|v| *v = *v * spread + centre);
        }
        for kernel in [Kernel::Gaussian, Kernel::Cosine] {
            check_rank_distances(set, &data, &params(12, kernel, Identical::Keep));
        }
    }
}

/// Neighbours follow each other, so that a sample of the points has too many or too few of them.
pub fn samples_in_order(set: InstructionSet) {
    let mut data = random(1, 2000, 6, 51);
    let centres = random(1, 40, 6, 52).x;
    for (i, row) in data.x.chunks_mut(6).enumerate() {
        let centre = &centres[i / 50 * 6..][..6];
        row.iter_mut()
            .zip(centre)
            .for_each(|(v, c)| *v = 0.05 * *v + c);
    }
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        check_rank_distances(set, &data, &params(20, kernel, Identical::Keep));
    }
}

/// Squares beyond the range of f32, one of them alone, and nothing but equal rows.
pub fn huge_and_constant_values(set: InstructionSet) {
    let scaled = |factor: f32| {
        let mut data = random(1, 100, 7, 11);
        data.x.iter_mut().for_each(|v| *v *= factor);
        data
    };
    for factor in [1e38, 1e-38, 1e-44] {
        check_rank_distances(
            set,
            &scaled(factor),
            &params(12, Kernel::Gaussian, Identical::Keep),
        );
    }
    let mut outlier = scaled(1.0);
    outlier.x[3 * 7] = 3e38;
    outlier.x[50 * 7 + 1] = -3e38;
    check_rank_distances(
        set,
        &outlier,
        &params(12, Kernel::Gaussian, Identical::Keep),
    );
    check_rank_distances(set, &outlier, &params(12, Kernel::Cosine, Identical::Keep));
    let constant = Data {
        x: vec![2.5; 300 * 5],
        groups: 1,
        n: 300,
        dim: 5,
    };
    check_whole(
        set,
        &constant,
        &params(40, Kernel::Gaussian, Identical::Keep),
        0.0,
    );
    check_whole(
        set,
        &constant,
        &params(40, Kernel::Cosine, Identical::Keep),
        0.0,
    );
    let none = search(
        &Cpu::new(1).unwrap(),
        &constant,
        &params(40, Kernel::Cosine, Identical::Replace),
        &[],
        &[],
        false,
    );
    assert!(none.iter().all(Vec::is_empty));
}

pub fn parallel_vectors_are_identical(set: InstructionSet) {
    let mut data = random(1, 60, 9, 21);
    for i in (1..60).step_by(2) {
        let factor = i as f32;
        for c in 0..9 {
            data.x[i * 9 + c] = data.x[(i - 1) * 9 + c] * factor;
        }
    }
    let params = params(3, Kernel::Cosine, Identical::Keep);
    let lists = search(&cpu(set), &data, &params, &[], &[], false);
    for (query, list) in lists.iter().enumerate() {
        assert_eq!(
            (list[0].index as usize, list[0].sq_distance),
            (query ^ 1, 0.0)
        );
    }
}

/// Directions a few roundings apart: some cosine distances count as 0, some do not, and most tie.
pub fn nearly_parallel_vectors_tie_alike(set: InstructionSet) {
    let mut next = noise(61);
    let base: Vec<f32> = (0..6).map(|_| 1.5 + next() / 2.0).collect();
    let data = Data {
        x: (0..2000 * 6)
            .map(|i| base[i % 6] * (1.0 + 6e-8 * (next() * 4.0).round()))
            .collect(),
        groups: 1,
        n: 2000,
        dim: 6,
    };
    let params = params(12, Kernel::Cosine, Identical::Keep);
    let portable = cpu(InstructionSet::Portable);
    let want = search(&portable, &data, &params, &[], &[], false);
    let kth = |list: &Vec<Candidate>| list[11].sq_distance;
    assert!(want.iter().any(|list| kth(list) == 0.0) && want.iter().any(|list| kth(list) > 0.0));
    assert_eq!(search(&cpu(set), &data, &params, &[], &[], false), want);
}
