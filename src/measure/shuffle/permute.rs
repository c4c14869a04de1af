//! Permutations: seeded, or handed in and checked.

use crate::measure::random::SplitMix;
use crate::{Error, Result};
use std::ops::Range;

/// The permutation of `0..len` that belongs to `seed` and `index` (Fisher and Yates).
pub fn seeded(seed: u64, index: u64, len: usize) -> Vec<u32> {
    let mut mix = SplitMix(seed);
    let start = mix.next() ^ index.wrapping_mul(0xd605_1d4c_3b2f_1eb5);
    let mut random = SplitMix(start);
    let mut out: Vec<u32> = (0..len as u32).collect();
    for i in (1..len).rev() {
        out.swap(i, random.below(i as u64 + 1) as usize);
    }
    out
}

/// Checks a permutation of all samples: every index once, none outside its own mini-batch.
///
/// # Errors
/// [`Error::Item`] names the first place that is wrong.
pub fn check(permutation: &[i64], samples: usize, batch: usize) -> Result<()> {
    if permutation.len() != samples {
        return Err(Error::WrongLength {
            name: "permutation",
            expected: samples,
            got: permutation.len(),
        });
    }
    let mut seen = vec![false; samples];
    for (i, &p) in permutation.iter().enumerate() {
        let range = batch_of(i, samples, batch);
        let to = usize::try_from(p).ok().filter(|to| range.contains(to));
        let Some(to) = to else {
            let expected = format!("a sample of its mini-batch {}..{}", range.start, range.end);
            return Err(Error::item("permutation", i, p, expected));
        };
        if std::mem::replace(&mut seen[to], true) {
            let got = format!("{p} a second time");
            return Err(Error::item("permutation", i, got, "every sample once"));
        }
    }
    Ok(())
}

/// The mini-batch that sample `i` is in.
pub fn batch_of(i: usize, samples: usize, batch: usize) -> Range<usize> {
    let start = i / batch * batch;
    start..(start + batch).min(samples)
}
