//! Sums of products of bytes, and the points whose sums reach a mark.

use super::int8::DONE;
use crate::cpu::gemm::{COLS, ROWS};

/// Panels of which it is noted together what passes: as many as a word of [`nonzero`] has bits.
pub(super) const CHUNK: usize = 32;
/// Entries of a query's buffer beyond which it is emptied: few, so that marks rise early.
pub(super) const BUFFER: usize = 48;
/// Room in a buffer: a panel more.
pub(super) const CAPACITY: usize = BUFFER + COLS;

/// Some queries by some panels of points.
pub(super) struct Block<'a> {
    /// Quadruples of a row.
    pub(super) quads: usize,
    /// `[queries / ROWS, quads, ROWS]`.
    pub(super) queries: &'a [i32],
    /// `[panels, quads, COLS]`.
    pub(super) panels: &'a [i32],
    /// `[panels]`.
    pub(super) starts: &'a [[i32; COLS]],
    /// The panels to look at, at most [`CHUNK`] where bits are wanted.
    pub(super) which: &'a [u32],
    pub(super) marks: &'a [i32],
    /// `[queries, CHUNK]` a bit for each point of the panels.
    pub(super) bits: &'a mut [u32],
    /// `[queries, COLS]` the largest sum of each lane.
    pub(super) largest: &'a mut [i32],
}

/// Takes note of which points of the panels reach a query's mark, or of the largest sums. What the vectors
/// do, one number at a time.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn reference<const LARGEST: bool>(block: Block<'_>) {
    let quads = block.quads;
    for (query, &mark) in block.marks.iter().enumerate() {
        for (column, &panel) in block.which.iter().enumerate() {
            let mut reached = 0;
            for (lane, &start) in block.starts[panel as usize].iter().enumerate() {
                let mut sum = start;
                for i in 0..quads {
                    let q = block.queries[(query / ROWS * quads + i) * ROWS + query % ROWS];
                    let p = block.panels[(panel as usize * quads + i) * COLS + lane];
                    for (q, p) in q.to_le_bytes().into_iter().zip(p.to_le_bytes()) {
                        sum += i32::from(q) * i32::from(p.cast_signed());
                    }
                }
                reached |= u32::from(sum >= mark) << lane;
                if LARGEST {
                    let largest = &mut block.largest[query * COLS + lane];
                    *largest = sum.max(*largest);
                }
            }
            if !LARGEST {
                block.bits[query * CHUNK + column] = reached;
            }
        }
    }
}

/// [`reference`], where there is no instruction for it.
///
/// # Safety
/// Nothing to keep to; the vectors' version asks for its instructions.
#[cfg(not(target_arch = "x86_64"))]
pub(super) unsafe fn products<const LARGEST: bool>(block: Block<'_>) {
    reference::<LARGEST>(block);
}

/// [`reference`] in vectors of sixteen points, two at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) fn products<const LARGEST: bool>(block: Block<'_>) {
    use std::arch::x86_64::*;
    const LANES: usize = 16;
    let Block {
        quads,
        queries,
        panels,
        starts,
        which,
        marks,
        bits,
        largest,
    } = block;
    let (words, _) = bits.as_chunks_mut::<CHUNK>();
    let (largest, _) = largest.as_chunks_mut::<LANES>();
    // SAFETY: an array of 16 integers is a vector; loads may be unaligned.
    let load = |from: &[i32; LANES]| unsafe { _mm512_loadu_si512(from.as_ptr().cast()) };
    for (column, &panel) in which.iter().enumerate() {
        let (starts, _) = starts[panel as usize].as_chunks::<LANES>();
        let start = [load(&starts[0]), load(&starts[1])];
        let panel = &panels[panel as usize * quads * COLS..][..quads * COLS];
        let (panel, _) = panel.as_chunks::<LANES>();
        for (((queries, marks), words), largest) in queries
            .chunks_exact(quads * ROWS)
            .zip(marks.as_chunks::<ROWS>().0)
            .zip(words.as_chunks_mut::<ROWS>().0)
            .zip(largest.chunks_exact_mut(2 * ROWS))
        {
            if marks == &[DONE; ROWS] {
                if !LARGEST {
                    for words in words {
                        words[column] = 0;
                    }
                }
                continue;
            }
            let mut sums = [start; ROWS];
            for (query, point) in queries
                .as_chunks::<ROWS>()
                .0
                .iter()
                .zip(panel.as_chunks::<2>().0)
            {
                let columns = [load(&point[0]), load(&point[1])];
                for (sums, &query) in sums.iter_mut().zip(query) {
                    let query = _mm512_set1_epi32(query);
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        *sum = _mm512_dpbusd_epi32(*sum, query, column);
                    }
                }
            }
            if LARGEST {
                for (largest, &sum) in largest.iter_mut().zip(sums.as_flattened()) {
                    let sum = _mm512_max_epi32(load(largest), sum);
                    // SAFETY: room for 16 integers.
                    unsafe { _mm512_storeu_si512(largest.as_mut_ptr().cast(), sum) };
                }
                continue;
            }
            // No branch for each query: which of them let something pass is anyone's guess.
            for ((&mark, [low, high]), words) in marks.iter().zip(sums).zip(words) {
                let mark = _mm512_set1_epi32(mark);
                let low = _mm512_cmpge_epi32_mask(low, mark);
                let high = _mm512_cmpge_epi32_mask(high, mark);
                words[column] = u32::from(low) | u32::from(high) << LANES;
            }
        }
    }
}

/// Bit per word that is not 0.
///
/// # Safety
/// Nothing to keep to, as above.
#[cfg(not(target_arch = "x86_64"))]
pub(super) unsafe fn nonzero(words: &[u32; CHUNK]) -> u32 {
    let bits = words.iter().enumerate();
    bits.fold(0, |bits, (i, &word)| bits | u32::from(word != 0) << i)
}

/// Bit per word that is not 0.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
pub(super) fn nonzero(words: &[u32; CHUNK]) -> u32 {
    use std::arch::x86_64::*;
    let mut bits = 0;
    for (i, half) in words.as_chunks::<16>().0.iter().enumerate() {
        // SAFETY: an array of 16 integers is a vector; loads may be unaligned.
        let half = unsafe { _mm512_loadu_si512(half.as_ptr().cast()) };
        bits |= u32::from(_mm512_test_epi32_mask(half, half)) << (16 * i);
    }
    bits
}

/// The sum of this rank: the least of those that fewer are above.
///
/// # Safety
/// Nothing to keep to, as above.
#[cfg(not(target_arch = "x86_64"))]
pub(super) unsafe fn nth_largest(sums: &[i32; COLS], rank: usize) -> i32 {
    let above = |sum: i32| sums.iter().filter(|&&other| other > sum).count();
    let enough = sums.iter().filter(|&&sum| above(sum) < rank);
    enough.fold(i32::MAX, |least, &sum| least.min(sum))
}

/// The sum of this rank: the least of those that fewer are above. Counting them all takes fewer cycles than
/// the branches of a selection that are guessed wrong.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
pub(super) fn nth_largest(sums: &[i32; COLS], rank: usize) -> i32 {
    use std::arch::x86_64::*;
    let one = _mm512_set1_epi32(1);
    let rank = _mm512_set1_epi32(rank as i32);
    let mut least = _mm512_set1_epi32(i32::MAX);
    for own in sums.as_chunks::<16>().0 {
        // SAFETY: an array of 16 integers is a vector; loads may be unaligned.
        let own = unsafe { _mm512_loadu_si512(own.as_ptr().cast()) };
        let mut above = _mm512_setzero_si512();
        for &other in sums {
            let higher = _mm512_cmpgt_epi32_mask(_mm512_set1_epi32(other), own);
            above = _mm512_mask_add_epi32(above, higher, above, one);
        }
        let enough = _mm512_cmplt_epi32_mask(above, rank);
        least = _mm512_mask_min_epi32(least, enough, least, own);
    }
    _mm512_reduce_min_epi32(least)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::cpu::InstructionSet;

    #[test]
    fn vectors_do_as_the_reference() {
        if !InstructionSet::Avx512Vnni.is_available() {
            println!("skipped: this processor does not multiply bytes");
            return;
        }
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as i32
        };
        for quads in [1, 2, 5, 64] {
            let queries: Vec<i32> = (0..3 * ROWS * quads).map(|_| next()).collect();
            let panels: Vec<i32> = (0..4 * COLS * quads).map(|_| next()).collect();
            let starts: Vec<[i32; COLS]> = (0..4)
                .map(|_| std::array::from_fn(|_| next() % 4096))
                .collect();
            let mut marks: Vec<i32> = (0..3 * ROWS).map(|_| next() % 65536).collect();
            marks[ROWS..2 * ROWS].fill(DONE);
            for largest in [false, true] {
                let run = |vectors: bool| {
                    let mut bits = vec![7; 3 * ROWS * CHUNK];
                    let mut sums = vec![-20_000; 3 * ROWS * COLS];
                    let block = Block {
                        quads,
                        queries: &queries,
                        panels: &panels,
                        starts: &starts,
                        which: &[2, 0, 3],
                        marks: &marks,
                        bits: &mut bits,
                        largest: &mut sums,
                    };
                    match (vectors, largest) {
                        // SAFETY: the processor has the instructions.
                        (true, true) => unsafe { products::<true>(block) },
                        // SAFETY: as above.
                        (true, false) => unsafe { products::<false>(block) },
                        (false, true) => reference::<true>(block),
                        (false, false) => reference::<false>(block),
                    }
                    // Queries that are done may have gone without.
                    sums[ROWS * COLS..2 * ROWS * COLS].fill(0);
                    (bits, sums)
                };
                assert_eq!(run(true), run(false), "{quads} quads, largest {largest}");
            }
        }
    }

    #[test]
    fn ranks_are_met() {
        if !InstructionSet::Avx512.is_available() {
            println!("skipped: this processor has no AVX-512");
            return;
        }
        let mut state = 7u32;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for case in 0..2000 {
            let levels = [3, 50, 1 << 20][case % 3];
            let mut sums: [i32; COLS] = std::array::from_fn(|_| random(levels) as i32 - 9);
            if case % 5 == 0 {
                sums[0] = i32::MIN;
                sums[COLS / 2] = i32::MAX;
            }
            let rank = 1 + random(COLS as u32) as usize;
            // SAFETY: the processor has the instructions.
            let found = unsafe { nth_largest(&sums, rank) };
            sums.sort_unstable_by(|a, b| b.cmp(a));
            assert_eq!(found, sums[rank - 1]);
        }
    }

    #[test]
    fn words_are_found() {
        if !InstructionSet::Avx512.is_available() {
            println!("skipped: this processor has no AVX-512");
            return;
        }
        for seed in 0u32..200 {
            let words: [u32; CHUNK] = std::array::from_fn(|i| {
                let word = seed.wrapping_add(i as u32 * 77).wrapping_mul(0x9e37_79b9);
                if word >> 30 == 0 { 1 << (word & 31) } else { 0 }
            });
            // SAFETY: the processor has the instructions.
            let bits = unsafe { nonzero(&words) };
            let wanted = (0..CHUNK).filter(|&i| words[i] != 0);
            assert_eq!(bits, wanted.fold(0, |bits, i| bits | 1 << i));
        }
    }
}
