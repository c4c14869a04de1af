//! Sums of products of bytes, and the points whose sums reach a mark.

use crate::cpu::gemm::{COLS, ROWS};

/// Entries of a query's buffer beyond which it is emptied: few, so that marks rise early.
pub(super) const BUFFER: usize = 48;
/// Room in a buffer: a panel more, and the vector that the last of it is written with.
pub(super) const CAPACITY: usize = BUFFER + COLS + 16;

/// A tile of queries by a panel of points.
pub(super) struct Block<'a> {
    /// `[queries / ROWS, quads, ROWS]`.
    pub(super) queries: &'a [i32],
    /// `[quads, COLS]`.
    pub(super) panel: &'a [i32],
    pub(super) starts: &'a [i32; COLS],
    /// The panel's first row.
    pub(super) first: i32,
    pub(super) marks: &'a [i32],
    /// `[queries, CAPACITY]`.
    pub(super) passed: &'a mut [i32],
    pub(super) counts: &'a mut [u32],
}

/// Buffers the rows of the panel that reach a query's mark, or with `SCORES` what they reach; true if a
/// buffer has more than [`BUFFER`]. What the vectors do, one number at a time.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn reference<const SCORES: bool>(block: Block<'_>) -> bool {
    let quads = block.panel.len() / COLS;
    let mut full = false;
    for (query, (&mark, count)) in block.marks.iter().zip(block.counts).enumerate() {
        for (lane, &start) in block.starts.iter().enumerate() {
            let mut sum = start;
            for i in 0..quads {
                let q = block.queries[(query / ROWS * quads + i) * ROWS + query % ROWS];
                let p = block.panel[i * COLS + lane];
                for (q, p) in q.to_le_bytes().into_iter().zip(p.to_le_bytes()) {
                    sum += i32::from(q) * i32::from(p.cast_signed());
                }
            }
            if sum >= mark {
                let what = if SCORES {
                    sum
                } else {
                    block.first + lane as i32
                };
                block.passed[query * CAPACITY + *count as usize] = what;
                *count += 1;
            }
        }
        full |= *count as usize > BUFFER;
    }
    full
}

/// [`reference`], where there is no instruction for it.
///
/// # Safety
/// Nothing to keep to; the vectors' version asks for its instructions.
#[cfg(not(target_arch = "x86_64"))]
pub(super) unsafe fn products<const SCORES: bool>(block: Block<'_>) -> bool {
    reference::<SCORES>(block)
}

/// [`reference`] in vectors of sixteen points, two at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni,popcnt")]
pub(super) fn products<const SCORES: bool>(block: Block<'_>) -> bool {
    use std::arch::x86_64::*;
    const LANES: usize = 16;
    let Block {
        queries,
        panel,
        starts,
        first,
        marks,
        passed,
        counts,
    } = block;
    let quads = panel.len() / COLS;
    let (panel, _) = panel.as_chunks::<LANES>();
    let (starts, _) = starts.as_chunks::<LANES>();
    let (passed, _) = passed.as_chunks_mut::<CAPACITY>();
    // SAFETY: an array of 16 integers is a vector; loads may be unaligned.
    let load = |from: &[i32; LANES]| unsafe { _mm512_loadu_si512(from.as_ptr().cast()) };
    let start = [load(&starts[0]), load(&starts[1])];
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let low = _mm512_add_epi32(lanes, _mm512_set1_epi32(first));
    let rows = [low, _mm512_add_epi32(low, _mm512_set1_epi32(LANES as i32))];
    let mut full = false;
    for (((queries, marks), counts), passed) in queries
        .chunks_exact(quads * ROWS)
        .zip(marks.as_chunks::<ROWS>().0)
        .zip(counts.as_chunks_mut::<ROWS>().0)
        .zip(passed.as_chunks_mut::<ROWS>().0)
    {
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
        let mut reached: [[__mmask16; 2]; ROWS] = [[0; 2]; ROWS];
        let mut any = 0;
        for ((reached, sums), &mark) in reached.iter_mut().zip(&sums).zip(marks) {
            let mark = _mm512_set1_epi32(mark);
            for (reached, &sum) in reached.iter_mut().zip(sums) {
                *reached = _mm512_cmpge_epi32_mask(sum, mark);
                any |= *reached;
            }
        }
        if any == 0 {
            continue;
        }
        // No branch for each query: which of them have something to keep is anyone's guess.
        for (((reached, sums), count), passed) in
            reached.into_iter().zip(sums).zip(counts).zip(passed)
        {
            let what = if SCORES { sums } else { rows };
            let mut end = *count as usize;
            for (reached, what) in reached.into_iter().zip(what) {
                let to: &mut [i32; LANES] = passed[end..].first_chunk_mut().expect("room");
                let which = _mm512_maskz_compress_epi32(reached, what);
                // SAFETY: room for 16 integers.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), which) };
                end += reached.count_ones() as usize;
            }
            *count = end as u32;
            full |= end > BUFFER;
        }
    }
    full
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
            let queries: Vec<i32> = (0..2 * ROWS * quads).map(|_| next()).collect();
            let panel: Vec<i32> = (0..COLS * quads).map(|_| next()).collect();
            let starts = std::array::from_fn(|_| next() % 4096);
            let marks: Vec<i32> = (0..2 * ROWS).map(|_| next() % 65536).collect();
            for scores in [false, true] {
                // Rooms as they may be found: from empty to all but full.
                let counts: Vec<u32> = (0..2 * ROWS as u32).map(|i| i * 3).collect();
                let run = |vectors: bool| {
                    let (mut passed, mut counts) = (vec![0; 2 * ROWS * CAPACITY], counts.clone());
                    let block = Block {
                        queries: &queries,
                        panel: &panel,
                        starts: &starts,
                        first: 96,
                        marks: &marks,
                        passed: &mut passed,
                        counts: &mut counts,
                    };
                    let full = match (vectors, scores) {
                        // SAFETY: the processor has the instructions.
                        (true, true) => unsafe { products::<true>(block) },
                        // SAFETY: as above.
                        (true, false) => unsafe { products::<false>(block) },
                        (false, true) => reference::<true>(block),
                        (false, false) => reference::<false>(block),
                    };
                    let kept: Vec<Vec<i32>> = (0..2 * ROWS)
                        .map(|q| passed[q * CAPACITY..][..counts[q] as usize].to_vec())
                        .collect();
                    (full, kept)
                };
                assert_eq!(run(true), run(false), "{quads} quads, scores {scores}");
            }
        }
    }
}
