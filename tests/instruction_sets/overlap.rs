use crate::oracle;
use chanscope::Error;
use chanscope::cpu::{Cpu, InstructionSet};
use chanscope::ops::{Backend, OverlapSums, Supports};
use proptest::prelude::*;

pub const ON_EACH_SET: chanscope::internals::OnEachSet = tests![
    sums_equal_the_definition,
    counters_and_tiles,
    unions_of_all_sizes,
];
pub const ONCE: crate::Once = tests![
    large_indices,
    blocks_and_threads_do_not_matter,
    wrong_lengths_are_refused,
];

fn zeros(c: usize) -> OverlapSums {
    OverlapSums {
        intersection: vec![0; c * c],
        jaccard_q40: vec![0; c * c],
        queries: vec![0; c * c],
        unions: vec![0; c * c],
    }
}

/// Supports drawn from `samples` indices; without repeats within a query.
fn draw(
    channels: usize,
    queries: usize,
    k: usize,
    samples: i32,
    seed: u64,
) -> (Vec<i32>, Vec<bool>) {
    let mut state = seed | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 16
    };
    let mut indices = Vec::new();
    let mut degenerate = Vec::new();
    for _ in 0..channels * queries {
        degenerate.push(next() % 7 == 0);
        let fill = next() % 4;
        let mut taken: Vec<i32> = Vec::new();
        for _ in 0..k {
            let i = (next() % samples as u64) as i32;
            let used = next() % 4 < fill && !taken.contains(&i);
            taken.push(i);
            indices.push(if used { i } else { -1 });
        }
    }
    (indices, degenerate)
}

fn check(
    set: InstructionSet,
    indices: &[i32],
    degenerate: &[bool],
    [channels, queries, k]: [usize; 3],
) {
    let supports = Supports {
        indices,
        degenerate,
        channels,
        queries,
        k,
    };
    let mut sums = zeros(channels);
    let cpu = Cpu::with_instruction_set(2, set).unwrap();
    cpu.overlap(supports, &mut sums).unwrap();
    assert_eq!(
        sums,
        oracle::overlap::overlap(supports),
        "{channels} channels, k {k}"
    );
}

fn sums_equal_the_definition(set: InstructionSet) {
    proptest!(ProptestConfig::with_cases(48), |(
        channels in 1usize..12, queries in 0usize..70, k in 1usize..9, samples in 1i32..40, seed: u64,
    )| {
        let (indices, degenerate) = draw(channels, queries, k, samples, seed);
        check(set, &indices, &degenerate, [channels, queries, k]);
    });
}

/// Numbers of channels around the edges of tiles of 64 columns and 256 rows, and supports of as many members as a
/// byte counts, and of more.
fn counters_and_tiles(set: InstructionSet) {
    let shapes = [
        (1, 600, 9),
        (63, 5, 20),
        (64, 5, 20),
        (65, 5, 20),
        (130, 3, 20),
        (256, 2, 4),
        (321, 2, 4),
        (3, 4, 255),
        (3, 4, 256),
        (70, 1, 256),
    ];
    for (i, (channels, queries, k)) in shapes.into_iter().enumerate() {
        let (mut indices, degenerate) = draw(channels, queries, k, 6 * k as i32, i as u64);
        if k > 200 {
            for (i, index) in indices.iter_mut().enumerate() {
                *index = (i % k) as i32;
            }
        }
        check(set, &indices, &degenerate, [channels, queries, k]);
    }
}

/// Every quotient of an intersection and a union: of unions to 60 members, and of some of the largest, of 2048.
fn unions_of_all_sizes(set: InstructionSet) {
    let own = |size: usize, k: usize| (0..k).map(move |i| if i < size { i as i32 } else { -1 });
    let of = |first: usize, size: usize, k: usize| {
        (0..k).map(move |i| if i < size { (first + i) as i32 } else { -1 })
    };
    let (mut left, mut right, k) = (Vec::new(), Vec::new(), 30);
    for a in 1..=k {
        for b in 1..=k {
            for common in 0..=a.min(b) {
                left.extend(own(a, k));
                right.extend(of(a - common, b, k));
            }
        }
    }
    let queries = left.len() / k;
    left.extend(right);
    check(set, &left, &vec![false; 2 * queries], [2, queries, k]);
    let (mut left, mut right, k) = (Vec::new(), Vec::new(), 1024);
    for common in [0, 1, 2, 3, 511, 512, 513, 1000, 1023, 1024] {
        left.extend(own(k, k));
        right.extend(of(k - common, k, k));
    }
    left.extend(right);
    check(set, &left, &[false; 20], [2, 10, k]);
}

fn large_indices() {
    let (channels, queries, k) = (150, 3, 20);
    let (mut indices, degenerate) = draw(channels, queries, k, 300, 5);
    for i in indices.iter_mut().filter(|i| **i >= 0) {
        *i *= 7_000_003;
    }
    let set = InstructionSet::detect();
    check(set, &indices, &degenerate, [channels, queries, k]);
}

fn blocks_and_threads_do_not_matter() {
    // One tile of channels, and several.
    for channels in [9, 70] {
        blocks_and_threads(channels);
    }
}

fn blocks_and_threads(channels: usize) {
    let (queries, k) = (64, 6);
    let (indices, degenerate) = draw(channels, queries, k, 30, 3);
    let whole = Supports {
        indices: &indices,
        degenerate: &degenerate,
        channels,
        queries,
        k,
    };
    let mut once = zeros(channels);
    Cpu::new(1).unwrap().overlap(whole, &mut once).unwrap();
    let cpu = Cpu::new(3).unwrap();
    let mut parts = zeros(channels);
    for (from, to) in [(0, 1), (1, 30), (30, 64)] {
        let mut some = Vec::new();
        let mut dead = Vec::new();
        for c in 0..channels {
            some.extend_from_slice(&indices[(c * queries + from) * k..(c * queries + to) * k]);
            dead.extend_from_slice(&degenerate[c * queries + from..c * queries + to]);
        }
        let part = Supports {
            indices: &some,
            degenerate: &dead,
            channels,
            queries: to - from,
            k,
        };
        cpu.overlap(part, &mut parts).unwrap();
    }
    assert_eq!(parts, once);
}

fn wrong_lengths_are_refused() {
    let supports = Supports {
        indices: &[1, 2, 3],
        degenerate: &[false],
        channels: 1,
        queries: 1,
        k: 2,
    };
    let error = Cpu::new(1)
        .unwrap()
        .overlap(supports, &mut zeros(1))
        .unwrap_err();
    let expected = Error::WrongLength {
        name: "indices",
        expected: 2,
        got: 3,
    };
    assert_eq!(error, expected);
}
