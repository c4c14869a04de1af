use chanscope::stream::sum::FixedSum;
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
