//! Which bytes of every sample are read for some of its channels, and where their values go.
//!
//! The wanted maps of a sample are *pieces*. Pieces with no more than [`MAX_GAP`] bytes between them are read together,
//! as a *span*. Where no more than that lies between two samples either, whole samples are read, many at a time. So the
//! bytes that a reading takes are a multiple of its number of samples, whatever the blocks it is done in
//! ([`row_elements`]).

use std::ops::Range;

/// Bytes between two wanted pieces that are cheaper to read through than to skip.
pub(super) const MAX_GAP: usize = 16 * 1024;

/// A wanted run of elements in every row, and where it goes: `out[base + row * stride ..]`.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub start: usize,
    pub len: usize,
    pub base: usize,
    pub stride: usize,
}

/// Elements of every row that are read in one go, and the pieces in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub elements: Range<usize>,
    pub pieces: Range<usize>,
}

/// Slots of distinct channels in file order, and (slot, slot of the same channel) for the repeated ones.
pub(super) fn file_order(channels: &[usize]) -> (Vec<usize>, Vec<(usize, usize)>) {
    let mut order: Vec<usize> = (0..channels.len()).collect();
    order.sort_by_key(|&slot| channels[slot]);
    let (mut slots, mut repeats) = (Vec::<usize>::with_capacity(order.len()), Vec::new());
    for slot in order {
        match slots.last() {
            Some(&read) if channels[read] == channels[slot] => repeats.push((slot, read)),
            _ => slots.push(slot),
        }
    }
    (slots, repeats)
}

/// Wanted pieces of one row in file order, neighbours joined where they stay neighbours in the output.
pub(super) fn pieces(
    channels: &[usize],
    slots: &[usize],
    dim: usize,
    rows: usize,
    place: impl Fn(usize) -> (usize, usize),
) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::with_capacity(slots.len());
    for &slot in slots {
        let (base, stride) = place(slot);
        let start = channels[slot] * dim;
        match pieces.last_mut() {
            Some(p)
                if p.start + p.len == start
                    && p.base + p.len == base
                    && (rows == 1 || p.stride == stride) =>
            {
                p.len += dim;
            }
            _ => pieces.push(Piece {
                start,
                len: dim,
                base,
                stride,
            }),
        }
    }
    pieces
}

/// The spans of rows of `row_len` elements, of wanted elements in ascending order. `max_gap` counts elements.
pub(super) fn spans(
    wanted: impl Iterator<Item = Range<usize>>,
    row_len: usize,
    max_gap: usize,
) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (at, piece) in wanted.enumerate() {
        match spans.last_mut() {
            Some(span) if piece.start <= span.elements.end + max_gap => {
                span.elements.end = piece.end;
                span.pieces.end = at + 1;
            }
            _ => spans.push(Span {
                elements: piece,
                pieces: at..at + 1,
            }),
        }
    }
    if let [span] = &mut spans[..]
        && row_len - span.elements.len() <= max_gap
    {
        span.elements = 0..row_len;
    }
    spans
}

/// Elements that are read of every row for `channels`.
pub(super) fn row_elements(
    channels: &[usize],
    dim: usize,
    row_len: usize,
    max_gap: usize,
) -> usize {
    let mut sorted = channels.to_vec();
    sorted.sort_unstable();
    let wanted = sorted.iter().map(|c| c * dim..(c + 1) * dim);
    let spans = spans(wanted, row_len, max_gap);
    spans.iter().map(|span| span.elements.len()).sum()
}

/// Copies all of `pieces` from whole rows: `values` begin at element `lo` of row `rows.start`.
pub(super) fn copy_rows<T: Copy>(
    pieces: &[Piece],
    rows: Range<usize>,
    row_len: usize,
    lo: usize,
    values: &[T],
    out: &mut [T],
) {
    let Some(first) = pieces.first() else {
        return;
    };
    // Row by row within a piece, so that channel-major output is written in runs. Pieces shorter than a cache line go
    // together, so that a line is fetched once.
    for group in pieces.chunks(16usize.div_ceil(first.len)) {
        for row in rows.clone() {
            for p in group {
                let from = (row - rows.start) * row_len + p.start - lo;
                let to = p.base + row * p.stride;
                match (&mut out[to..][..p.len], &values[from..][..p.len]) {
                    ([to], [from]) => *to = *from,
                    (to, from) => to.copy_from_slice(from),
                }
            }
        }
    }
}

/// Copies what `values`, elements `part` of a row, hold of `pieces`.
pub(super) fn copy_part<T: Copy>(
    pieces: &[Piece],
    row: usize,
    part: Range<usize>,
    values: &[T],
    out: &mut [T],
) {
    let first = pieces.partition_point(|p| p.start + p.len <= part.start);
    for p in &pieces[first..] {
        if p.start >= part.end {
            break;
        }
        let (from, to) = (p.start.max(part.start), (p.start + p.len).min(part.end));
        let at = p.base + row * p.stride + from - p.start;
        out[at..at + to - from].copy_from_slice(&values[from - part.start..to - part.start]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spans of rows of 100 elements with gaps of at most 10.
    fn spans_of(wanted: &[(usize, usize)]) -> Vec<(usize, usize)> {
        let spans = spans(wanted.iter().map(|&(from, to)| from..to), 100, 10);
        let elements = spans.into_iter().map(|span| span.elements);
        elements.map(|e| (e.start, e.end)).collect()
    }

    #[test]
    fn small_gaps_are_read_through_and_large_ones_skipped() {
        assert_eq!(
            spans_of(&[(0, 10), (20, 30), (41, 50)]),
            [(0, 30), (41, 50)]
        );
        // Between two rows lie the end of one and the beginning of the next.
        assert_eq!(spans_of(&[(5, 95)]), [(0, 100)]);
        assert_eq!(spans_of(&[(5, 94)]), [(5, 94)]);
        // A row of two spans is read in two, however little lies between rows.
        assert_eq!(spans_of(&[(0, 40), (60, 100)]), [(0, 40), (60, 100)]);
        assert!(spans_of(&[]).is_empty());
    }

    #[test]
    fn the_elements_of_a_row_do_not_depend_on_the_order_of_channels() {
        // Channels of 10 elements.
        assert_eq!(row_elements(&[3, 1], 10, 100, 10), 30);
        assert_eq!(row_elements(&[1, 3, 3], 10, 100, 10), 30);
        assert_eq!(row_elements(&[1, 4], 10, 100, 10), 20);
        assert_eq!(row_elements(&[0, 2, 4, 6, 8], 10, 100, 10), 100);
    }
}
