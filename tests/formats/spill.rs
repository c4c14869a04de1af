//! Supports in memory or in a file: the same answers.

use super::folder;
use chanscope::io::spill::{FloatStore, SupportStore};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn both_places_answer_alike(c in 1usize..5, n in 1usize..60, k in 1usize..7, step in 1usize..20) {
        let dir = folder();
        let bytes = SupportStore::bytes(c, n, k);
        let memory = SupportStore::new(c, n, k, bytes, dir.path()).expect("store");
        let file = SupportStore::new(c, n, k, bytes - 1, dir.path()).expect("store");
        prop_assert!(!memory.is_spilled() && file.is_spilled());
        let value = |ch: usize, q: usize, j: usize| ((ch * n + q) * k + j) as i32 - 1;
        let flag = |ch: usize, q: usize| (ch + q).is_multiple_of(3);
        for store in [&memory, &file] {
            std::thread::scope(|scope| {
                for ch in 0..c {
                    scope.spawn(move || {
                        for first in (0..n).step_by(step).rev() {
                            let queries = first..n.min(first + step);
                            let indices: Vec<i32> =
                                queries.clone().flat_map(|q| (0..k).map(move |j| value(ch, q, j))).collect();
                            let flags: Vec<bool> = queries.map(|q| flag(ch, q)).collect();
                            store.put(ch, first, &indices, &flags).expect("put");
                        }
                    });
                }
            });
            let block = store.get(n / 3..n).expect("get");
            let queries = n - n / 3;
            for ch in 0..c {
                for q in 0..queries {
                    prop_assert_eq!(block.degenerate[ch * queries + q], flag(ch, q + n / 3));
                    for j in 0..k {
                        prop_assert_eq!(block.indices[(ch * queries + q) * k + j], value(ch, q + n / 3, j));
                    }
                }
            }
        }
        prop_assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 0);
    }
}

#[test]
fn outside_is_refused() {
    let dir = folder();
    let store = SupportStore::new(2, 10, 3, 1 << 20, dir.path()).expect("store");
    assert!(store.put(2, 0, &[0; 3], &[false]).is_err());
    assert!(store.put(0, 10, &[0; 3], &[false]).is_err());
    assert!(store.put(0, 0, &[0; 4], &[false]).is_err());
    assert!(store.get(5..11).is_err());
    assert!(SupportStore::new(usize::MAX, usize::MAX, 1, 0, dir.path()).is_err());
    let missing = dir.path().join("missing");
    assert!(
        SupportStore::new(2, 10, 3, 0, &missing)
            .expect_err("no folder")
            .to_string()
            .contains("missing")
    );
}

#[test]
fn numbers_come_back_from_both_places() {
    let dir = folder();
    let arrays: Vec<Vec<f64>> = (0..20)
        .map(|i| (0..i * 3 % 11).map(|j| f64::from(i * 100 + j)).collect())
        .collect();
    for budget in [0, 8 * 30, 1 << 20] {
        let mut store = FloatStore::new(budget, dir.path());
        let places: Vec<_> = (arrays.iter())
            .map(|a| store.put(a).expect("put"))
            .collect();
        assert_eq!(store.is_spilled(), budget < 1 << 20);
        for (array, place) in arrays.iter().zip(places).rev() {
            assert_eq!(&store.get(place).expect("get"), array);
        }
    }
}
