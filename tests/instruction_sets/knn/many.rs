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
pub fn near_points_among_very_many(set: InstructionSet) {
    let dim = 5;
    let mut data = random(1, 17_000, dim, 4);
    for (i, row) in data.x.chunks_exact_mut(dim).enumerate() {
        let along = (i * 7919 % 17_000) as f32 / 1000.0;
        for (t, x) in row.iter_mut().enumerate() {
            *x = (along * (t + 1) as f32).sin() + 0.05 * *x;
        }
    }
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
