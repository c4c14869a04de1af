//! Clusters of channels, and their order.

use crate::oracle;
use chanscope::report::order::{Clustering, cluster};
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

/// The pieces of the order between joins below a cut, in ascending order.
fn cut(found: &Clustering, cut: f64) -> Vec<Vec<usize>> {
    let mut pieces = vec![Vec::new()];
    for (at, &leaf) in found.order.iter().enumerate() {
        let join = at.checked_sub(1).and_then(|before| found.joins[before]);
        if at > 0 && join.is_none_or(|join| f64::from(join) < cut) {
            pieces.push(Vec::new());
        }
        pieces.last_mut().unwrap().push(leaf);
    }
    for piece in &mut pieces {
        piece.sort();
    }
    pieces.sort();
    pieces
}

#[test]
fn groups_at_a_cut_are_those_of_average_linkage() {
    let mut state = 7u64;
    let mut next = move || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    let mut compared = 0;
    for n in [2, 3, 5, 9, 17, 40] {
        for families in [1, 2, 5] {
            let mut s = Array2::from_elem((n, n), 1.0);
            for i in 0..n {
                for j in 0..i {
                    let alike = if i % families == j % families {
                        0.3
                    } else {
                        0.0
                    };
                    let v = if next() < 0.02 && n > 3 {
                        f64::NAN
                    } else {
                        alike + 0.5 * next()
                    };
                    s[[i, j]] = v;
                    s[[j, i]] = v;
                }
            }
            let found = cluster(s.view());
            assert_eq!(found.joins.len(), n - 1);
            for step in 0..=20 {
                let at = 0.041 * f64::from(step);
                let (want, margin) = oracle::linkage::groups(&s, at);
                // Joins are float32.
                if margin > 1e-6 {
                    assert_eq!(
                        cut(&found, at),
                        want,
                        "{n} channels, {families} families, at {at}"
                    );
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 350, "{compared}");
}

#[test]
fn what_is_never_joined_stands_alone_at_every_cut() {
    let mut s = groups(&[0, 0, 0, 0]);
    for i in 0..4 {
        s[[i, 1]] = f64::NAN;
        s[[1, i]] = f64::NAN;
    }
    let found = cluster(s.view());
    assert_eq!(found.order[3], 1);
    assert_eq!(found.joins, [Some(0.6), Some(0.6), None]);
    assert_eq!(cut(&found, -1.0), [vec![0, 2, 3], vec![1]]);
    assert_eq!(cut(&found, 0.7), [[0], [1], [2], [3]]);
}

#[test]
fn groups_end_up_together() {
    let of = [0, 1, 2, 0, 1, 2, 2, 1, 0, 0];
    let order = cluster(groups(&of).view()).order;
    let seen: Vec<usize> = order.iter().map(|&i| of[i]).collect();
    let changes = seen.windows(2).filter(|w| w[0] != w[1]).count();
    assert_eq!(changes, 2, "{seen:?}");
}

#[test]
fn a_path_is_laid_out_as_a_path() {
    // Similarity falls with distance along a line whose channels are numbered at random.
    let place = [3.0, 0.0, 5.0, 1.0, 4.0, 2.0f64];
    let s = Array2::from_shape_fn((6, 6), |(i, j)| 1.0 / (1.0 + (place[i] - place[j]).abs()));
    let order = cluster(s.view()).order;
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
    assert_eq!(cluster(s.view()).order[2..], [0, 2]);
    assert_eq!(
        cluster(Array2::from_elem((2, 2), f64::NAN).view()).order,
        [0, 1]
    );
    assert_eq!(cluster(Array2::zeros((1, 1)).view()).order, [0]);
    assert!(cluster(Array2::zeros((0, 0)).view()).order.is_empty());
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
        let mut order = cluster(s.view()).order;
        order.sort_unstable();
        assert!(order.into_iter().eq(0..s.nrows()));
    }
}

proptest! {
    #[test]
    fn a_permutation_without_symmetry(n in 0usize..24, values in proptest::collection::vec(any::<f64>(), 576)) {
        let s = Array2::from_shape_fn((n, n), |(i, j)| values[i * n + j]);
        let mut order = cluster(s.view()).order;
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
        let mut order = cluster(s.view()).order;
        prop_assert_eq!(&order, &cluster(s.view()).order);
        order.sort_unstable();
        prop_assert_eq!(order, (0..n).collect::<Vec<_>>());
    }
}
