//! Channels in the order of similarity.

use chanscope::report::order::by_similarity;
use ndarray::Array2;
use proptest::prelude::*;

/// Channels `i` and `j` are alike when they are in the same group.
fn groups(groups: &[usize]) -> Array2<f64> {
    let n = groups.len();
    Array2::from_shape_fn((n, n), |(i, j)| match (i == j, groups[i] == groups[j]) {
        (true, _) => 1.0,
        (_, true) => 0.6,
        _ => 0.1,
    })
}

#[test]
fn groups_end_up_together() {
    let of = [0, 1, 2, 0, 1, 2, 2, 1, 0, 0];
    let order = by_similarity(groups(&of).view());
    let seen: Vec<usize> = order.iter().map(|&i| of[i]).collect();
    let changes = seen.windows(2).filter(|w| w[0] != w[1]).count();
    assert_eq!(changes, 2, "{seen:?}");
}

#[test]
fn a_path_is_laid_out_as_a_path() {
    // Similarity falls with distance along a line whose channels are numbered at random.
    let place = [3.0, 0.0, 5.0, 1.0, 4.0, 2.0f64];
    let s = Array2::from_shape_fn((6, 6), |(i, j)| 1.0 / (1.0 + (place[i] - place[j]).abs()));
    let order = by_similarity(s.view());
    let steps: f64 = order
        .windows(2)
        .map(|w| (place[w[0]] - place[w[1]]).abs())
        .sum();
    assert_eq!(steps, 5.0, "{order:?}");
}

#[test]
fn dead_channels_come_last() {
    let mut s = groups(&[0, 0, 0, 0]);
    for i in 0..4 {
        for dead in [0, 2] {
            s[[i, dead]] = f64::NAN;
            s[[dead, i]] = f64::NAN;
        }
    }
    assert_eq!(by_similarity(s.view())[2..], [0, 2]);
    assert_eq!(
        by_similarity(Array2::from_elem((2, 2), f64::NAN).view()),
        [0, 1]
    );
    assert_eq!(by_similarity(Array2::zeros((1, 1)).view()), [0]);
    assert!(by_similarity(Array2::zeros((0, 0)).view()).is_empty());
}

/// Chains of nearest neighbours never ended on the first of these.
#[test]
fn any_matrix_gives_a_permutation() {
    let cycle = Array2::from_shape_fn((3, 3), |(i, j)| [1.0, 0.9, 0.1][(j + 3 - i) % 3]);
    let huge = Array2::from_shape_fn((9, 9), |(i, j)| {
        if (i + j) % 2 == 0 {
            f64::MAX
        } else {
            -f64::MAX
        }
    });
    let mixed = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        1.0,
        1e-320,
    ];
    let mixed = Array2::from_shape_fn((50, 50), |(i, j)| mixed[(i * 31 + j * j) % mixed.len()]);
    for s in [cycle, huge, mixed, Array2::from_elem((40, 40), 0.5)] {
        let mut order = by_similarity(s.view());
        order.sort_unstable();
        assert!(order.into_iter().eq(0..s.nrows()));
    }
}

proptest! {
    #[test]
    fn a_permutation_without_symmetry(n in 0usize..24, values in proptest::collection::vec(any::<f64>(), 576)) {
        let s = Array2::from_shape_fn((n, n), |(i, j)| values[i * n + j]);
        let mut order = by_similarity(s.view());
        order.sort_unstable();
        prop_assert!(order.into_iter().eq(0..n));
    }

    #[test]
    fn always_a_permutation(n in 0usize..40, seed in any::<u64>(), coarse in any::<bool>()) {
        let mut state = seed | 1;
        let mut next = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let x = (state >> 33) as f64 / (1u64 << 31) as f64;
            // Coarse values tie, which is where a nearest-neighbour chain could go round in circles.
            if coarse { (x * 3.0).floor() / 3.0 } else { x }
        };
        let mut s = Array2::zeros((n, n));
        for i in 0..n {
            for j in 0..=i {
                let v = next();
                let v = if v > 0.97 { f64::NAN } else { v };
                s[[i, j]] = v;
                s[[j, i]] = v;
            }
        }
        let mut order = by_similarity(s.view());
        prop_assert_eq!(&order, &by_similarity(s.view()));
        order.sort_unstable();
        prop_assert_eq!(order, (0..n).collect::<Vec<_>>());
    }
}
