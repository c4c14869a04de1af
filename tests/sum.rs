use chanscope::stream::sum::{FixedMoments, FixedSum};
use proptest::prelude::*;

proptest! {
    #[test]
    fn order_does_not_matter(mut terms in prop::collection::vec(-1e9f64..1e9, 0..200), split in 0usize..200) {
        let whole = terms.iter().fold(FixedSum::default(), |mut s, &x| { s.add(x); s });
        terms.reverse();
        let split = split.min(terms.len());
        let mut parts = [FixedSum::default(); 2];
        for (i, &x) in terms.iter().enumerate() {
            parts[usize::from(i < split)].add(x);
        }
        let mut merged = parts[0];
        merged.merge(&parts[1]);
        prop_assert_eq!(merged, whole);
        let naive: f64 = terms.iter().sum();
        prop_assert!((whole.sum() - naive).abs() <= 1e-6 * (1.0 + naive.abs()));
    }
}

fn moments(terms: &[f64]) -> FixedMoments {
    let mut sums = FixedMoments::default();
    terms.iter().for_each(|&x| sums.add(x));
    sums
}

proptest! {
    #[test]
    fn squares_do_not_depend_on_the_order(terms in prop::collection::vec(-1000.0..1000.0, 0..100), split in 0usize..100) {
        let split = split.min(terms.len());
        let mut merged = moments(&terms[split..]);
        merged.merge(&moments(&terms[..split]));
        prop_assert_eq!(merged, moments(&terms));
        let mean = terms.iter().sum::<f64>() / terms.len().max(1) as f64;
        let wanted: f64 = terms.iter().map(|x| (x - mean).powi(2)).sum();
        prop_assert!((merged.squared_deviations() - wanted).abs() <= 1e-6 * (1e-3 + wanted));
    }
}

/// What does not scatter has no deviation, and a large mean does not drown a small one.
#[test]
fn deviations_do_not_cancel() {
    assert_eq!(moments(&[0.1; 1000]).squared_deviations(), 0.0);
    assert_eq!(moments(&[]).squared_deviations(), 0.0);
    // Here the sum of squares, times the number of terms, has more than 128 bits.
    let large: Vec<f64> = (0..1 << 16).map(|i| 1e6 + f64::from(i % 2)).collect();
    let found = moments(&large).squared_deviations();
    assert_eq!(found, 16384.0);
}
