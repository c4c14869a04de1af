//! The order in which to keep channels, against the definition and the optimum.

mod command;

use crate::oracle::rank as oracle;
use chanscope::device::{Device, DeviceChoice};
use chanscope::measure::Context;
use chanscope::measure::rank::{
    RankInput, RankOptions, Ranking, Similarity, rank, representatives,
};
use ndarray::Array2;
use proptest::prelude::*;

/// Units of a similarity of 1.
const ONE: f64 = (1u64 << 40) as f64;

fn ranked(matrix: &Array2<f64>, dead: &[bool], by: Similarity) -> chanscope::Result<Ranking> {
    let device = Device::open(&DeviceChoice::Cpu, 1)?;
    let input = RankInput {
        matrix: matrix.view(),
        dead,
    };
    let options = RankOptions::default().with_similarity(by);
    rank(&Context::new(&device), &input, &options)
}

/// A symmetric matrix of similarities, few enough different ones to tie all the time, some of which do not exist; and dead
/// channels.
fn layer(most: usize) -> impl Strategy<Value = (Array2<f64>, Vec<bool>)> {
    let value = prop_oneof![
        4 => (0u8..=4).prop_map(|v| f64::from(v) / 4.0),
        3 => 0.0..1.0f64,
        1 => Just(f64::NAN),
    ];
    (1..=most).prop_flat_map(move |n| {
        let values = proptest::collection::vec(value.clone(), n * n);
        let dead = proptest::collection::vec(proptest::bool::weighted(0.2), n);
        (values, dead).prop_map(move |(values, dead)| {
            let at = |i: usize, j: usize| values[i.min(j) * n + i.max(j)];
            (Array2::from_shape_fn((n, n), |(i, j)| at(i, j)), dead)
        })
    })
}

fn rows(matrix: &Array2<f64>) -> Vec<Vec<f64>> {
    matrix.rows().into_iter().map(|r| r.to_vec()).collect()
}

fn same(found: &Ranking, s: &[Vec<f64>], dead: &[bool]) {
    let order = oracle::order(s, dead);
    assert_eq!(found.order, order);
    let live = dead.iter().filter(|d| !**d).count();
    assert_eq!((found.live, found.coverage.len()), (live, live));
    for (place, &channel) in order.iter().enumerate() {
        let before = &order[..place.min(live)];
        let expected = match dead[channel] {
            true => None,
            false => oracle::representative(s, channel, before),
        };
        let got = found.representatives[place];
        assert_eq!(got.map(|r| r.channel), expected, "place {place}");
        if let Some(r) = got {
            let value = s[channel][r.channel];
            let value = if value.is_nan() { 0.0 } else { value };
            assert!((r.similarity - value).abs() <= 0.5 / ONE, "place {place}");
        }
        if place < live {
            let value = oracle::value(s, dead, &order[..=place]) as f64;
            assert_eq!(found.coverage[place], value / (ONE * live as f64));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_order_is_that_of_the_definition((matrix, dead) in layer(24)) {
        let found = ranked(&matrix, &dead, Similarity::Jaccard).unwrap();
        same(&found, &rows(&matrix), &dead);
    }

    /// Signs do not matter to Pearson correlations.
    #[test]
    fn correlations_count_by_their_magnitude((matrix, dead) in layer(12), signs in any::<u64>()) {
        let signed = Array2::from_shape_fn(matrix.dim(), |(i, j)| {
            let sign = if signs >> ((i * j) % 64) & 1 == 1 { -1.0 } else { 1.0 };
            sign * matrix[[i, j]]
        });
        let found = ranked(&signed, &dead, Similarity::Pearson).unwrap();
        same(&found, &rows(&matrix), &dead);
    }

    /// Filters of any scale: pairs are divided by the roots of both diagonals.
    #[test]
    fn pairs_of_filters_are_normalised((matrix, dead) in layer(12), scale in -80i32..80) {
        // Powers of two, so that nothing is rounded.
        let factor = |i: usize| 2f64.powi(scale + i as i32 % 5);
        let pairs = Array2::from_shape_fn(matrix.dim(), |(i, j)| match i == j {
            true => factor(i) * factor(i),
            false => matrix[[i, j]] * factor(i) * factor(j),
        });
        let found = ranked(&pairs, &dead, Similarity::Filters).unwrap();
        same(&found, &rows(&matrix), &dead);
    }

    /// No set of the same size covers more than 1 / (1 - (1 - 1/m)^m) times as much.
    #[test]
    fn the_guarantee_holds((matrix, dead) in layer(9)) {
        let s = rows(&matrix);
        let found = ranked(&matrix, &dead, Similarity::Impulse).unwrap();
        for m in 1..=found.live {
            let reached = oracle::value(&s, &dead, &found.order[..m]) as f64;
            let best = oracle::optimum(&s, &dead, m) as f64;
            let share = 1.0 - (1.0 - 1.0 / m as f64).powi(m as i32);
            prop_assert!(reached <= best && reached >= share * best * (1.0 - 1e-12), "{m}: {reached} of {best}");
        }
    }

    #[test]
    fn representatives_are_the_most_similar_kept((matrix, dead) in layer(16), m in 0usize..16) {
        let s = rows(&matrix);
        let order = oracle::order(&s, &dead);
        let kept = &order[..m.min(order.len())];
        let alive: Vec<usize> = kept.iter().copied().filter(|&c| !dead[c]).collect();
        let input = RankInput { matrix: matrix.view(), dead: &dead };
        let found = representatives(&input, &RankOptions::default(), kept).unwrap();
        for (c, found) in found.iter().enumerate() {
            let expected = match dead[c] {
                true => None,
                false if alive.contains(&c) => Some(c),
                false => oracle::representative(&s, c, &alive),
            };
            prop_assert_eq!(found.map(|r| r.channel), expected);
        }
    }
}

#[test]
fn what_no_measure_gives_is_refused() {
    let refused = |change: &dyn Fn(&mut Array2<f64>), by, part: &str| {
        let mut matrix = Array2::from_elem((3, 3), 0.5);
        change(&mut matrix);
        let message = ranked(&matrix, &[false; 3], by).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    };
    let by = Similarity::Jaccard;
    refused(&|m| m[[0, 2]] = 0.7, by, "symmetric");
    refused(&|m| (m[[1, 2]], m[[2, 1]]) = (1.5, 1.5), by, "jaccard");
    refused(&|m| (m[[1, 2]], m[[2, 1]]) = (-0.5, -0.5), by, "jaccard");
    refused(&|m| m[[0, 1]] = f64::NAN, by, "symmetric");
    let infinite = |m: &mut Array2<f64>| (m[[1, 2]], m[[2, 1]]) = (f64::INFINITY, f64::INFINITY);
    refused(&infinite, Similarity::Pearson, "pearson");
    let oblong = ranked(&Array2::zeros((2, 3)), &[false; 2], by).unwrap_err();
    assert!(oblong.to_string().contains("[2, 3]"), "{oblong}");
    let short = ranked(&Array2::zeros((2, 2)), &[false], by).unwrap_err();
    assert!(short.to_string().contains("1 elements"), "{short}");
    let matrix = Array2::from_elem((2, 2), 0.5);
    let input = RankInput {
        matrix: matrix.view(),
        dead: &[false; 2],
    };
    assert!(representatives(&input, &RankOptions::default(), &[2]).is_err());
    assert!("nearest".parse::<Similarity>().is_err());
    for by in Similarity::ALL {
        assert_eq!(by.name().parse::<Similarity>().unwrap(), by);
    }
}

/// No channel, one, and none that lives.
#[test]
fn the_smallest_layers() {
    let none = ranked(&Array2::zeros((0, 0)), &[], Similarity::Jaccard).unwrap();
    assert_eq!((none.order.len(), none.live), (0, 0));
    let one = ranked(&Array2::zeros((1, 1)), &[false], Similarity::Jaccard).unwrap();
    assert_eq!(
        (one.order.as_slice(), one.coverage.as_slice()),
        (&[0][..], &[1.0][..])
    );
    let dead = ranked(&Array2::zeros((2, 2)), &[true; 2], Similarity::Jaccard).unwrap();
    assert_eq!((dead.order.as_slice(), dead.live), (&[0, 1][..], 0));
    assert!(dead.representatives.iter().all(Option::is_none));
}
