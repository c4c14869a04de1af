//! Supports as results keep them: read as the page says, and back.

use super::folder;
use chanscope::io::sink::Output;
use chanscope::io::spill::SupportBlock;
use chanscope::io::supports::{StoredSupports, SupportShape, write_supports};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

/// The supports of each query in each channel, `[C][Q]`; `None` for a degenerate query.
type All = Vec<Vec<Option<Vec<i32>>>>;

/// Some queries as a block, in the order in which members were found.
fn block(all: &All, queries: Range<usize>, k: usize) -> SupportBlock {
    let mut block = SupportBlock::default();
    for channel in all {
        for support in &channel[queries.clone()] {
            let mut slots = support.clone().unwrap_or_default();
            slots.resize(k, -1);
            block.indices.extend(slots);
            block.degenerate.push(support.is_none());
        }
    }
    block
}

fn written(all: &All, shape: SupportShape, kept: Option<&[usize]>, memory: u64, at: &Path) {
    let output = Output::create(at, false).unwrap();
    let get = |queries| Ok(block(all, queries, shape.k));
    write_supports(&output, "l/", shape, kept, memory, &get).unwrap();
    output.finish(&serde_json::json!({})).unwrap();
}

fn numbers(path: &Path) -> (String, Vec<u64>, Vec<u64>) {
    let bytes = std::fs::read(path).unwrap();
    let file = npyz::NpyFile::new(&bytes[..]).unwrap();
    let (dtype, shape) = (file.dtype().descr(), file.shape().to_vec());
    let values = match dtype.as_str() {
        "'|u1'" => file
            .into_vec::<u8>()
            .unwrap()
            .into_iter()
            .map(u64::from)
            .collect(),
        "'<u2'" => file
            .into_vec::<u16>()
            .unwrap()
            .into_iter()
            .map(u64::from)
            .collect(),
        "'<u4'" => file
            .into_vec::<u32>()
            .unwrap()
            .into_iter()
            .map(u64::from)
            .collect(),
        other => panic!("{other}"),
    };
    (dtype, shape, values)
}

/// Sizes and supports of any shape, with `k` and samples around the ends of the types.
fn supports() -> impl Strategy<Value = (All, SupportShape)> {
    let sizes = (1usize..5, 1usize..12, 0usize..4, 0usize..5);
    sizes.prop_flat_map(|(channels, queries, k, samples)| {
        let k = [1, 4, 254, 255][k];
        let samples = [k.max(20), 256.max(k), 257, 65_536, 65_537][samples];
        let members = proptest::collection::vec(0..samples as i32, 0..=k.min(9));
        let support = proptest::option::weighted(0.8, members);
        let channel = proptest::collection::vec(support, queries);
        let shape = SupportShape {
            channels,
            queries,
            k,
            samples,
        };
        (proptest::collection::vec(channel, channels), Just(shape))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn supports_come_back((mut all, shape) in supports(), memory in 0u64..40_000) {
        for support in all.iter_mut().flatten().flatten() {
            let mut seen = BTreeSet::new();
            support.retain(|&i| seen.insert(i));
        }
        let dir = folder();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        written(&all, shape, None, memory, &one);
        written(&all, shape, None, 1 << 30, &other);
        for name in ["support_sizes.npy", "supports.npy"] {
            let bytes = |at: &Path| std::fs::read(at.join("l").join(name)).unwrap();
            prop_assert_eq!(bytes(&one), bytes(&other));
        }
        // As the page says.
        let (dtype, found, sizes) = numbers(&one.join("l/support_sizes.npy"));
        prop_assert_eq!(dtype, if shape.k <= 254 { "'|u1'" } else { "'<u2'" });
        prop_assert_eq!(found, [shape.queries as u64, shape.channels as u64]);
        let (dtype, _, members) = numbers(&one.join("l/supports.npy"));
        let expected = match shape.samples { 0..=256 => "'|u1'", 257..=65_536 => "'<u2'", _ => "'<u4'" };
        prop_assert_eq!(dtype, expected);
        let mut members = members.into_iter();
        for q in 0..shape.queries {
            for (c, channel) in all.iter().enumerate() {
                let size = sizes[q * shape.channels + c];
                match &channel[q] {
                    None => prop_assert_eq!(size, if shape.k <= 254 { 255 } else { 65_535 }),
                    Some(support) => {
                        let mut sorted: Vec<u64> = support.iter().map(|&i| i as u64).collect();
                        sorted.sort_unstable();
                        prop_assert_eq!(size, sorted.len() as u64);
                        let found: Vec<u64> = members.by_ref().take(sorted.len()).collect();
                        prop_assert_eq!(found, sorted);
                    }
                }
            }
        }
        prop_assert!(members.next().is_none());
        // Any queries, through the reader.
        for support in all.iter_mut().flatten().flatten() {
            support.sort_unstable();
        }
        let stored = StoredSupports::open(&one.join("l"), shape, 1 << 20).unwrap();
        prop_assert_eq!(stored.queries(), shape.queries);
        for first in 0..=shape.queries {
            for end in first..=shape.queries {
                prop_assert_eq!(stored.get(first..end).unwrap(), block(&all, first..end, shape.k));
            }
        }
        prop_assert!(stored.get(0..shape.queries + 1).is_err());
        prop_assert!(StoredSupports::open(&one.join("l"), shape, 8).is_err());
    }
}

/// Where samples were left out, members are indices in the file.
#[test]
fn members_are_indices_in_the_file() {
    let dir = folder();
    let all: All = vec![vec![Some(vec![2, 0]), None, Some(vec![1])]];
    let shape = SupportShape {
        channels: 1,
        queries: 3,
        k: 2,
        samples: 9,
    };
    written(
        &all,
        shape,
        Some(&[3, 5, 8]),
        1 << 20,
        &dir.path().join("out"),
    );
    let at = dir.path().join("out/l");
    assert_eq!(numbers(&at.join("supports.npy")).2, [3, 8, 5]);
    let stored = StoredSupports::open(&at, shape, 1 << 20).unwrap();
    assert_eq!(stored.get(0..1).unwrap().indices, [3, 8]);
    assert_eq!(stored.get(0..3).unwrap().degenerate, [false, true, false]);
}
