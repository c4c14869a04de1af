//! Inner products of long vectors, one query after the other.
//!
//! A vector is a row of cache lines of eight numbers, and a product is a register of eight partial sums. The pairs of
//! vectors are cut into square tiles, whose sums stay in registers while their vectors are read ([`F64x8::SIDE`]).
//!
//! Vectors are converted and multiplied in pieces that stay in the second-level cache. The partial sums of all pairs are
//! kept from piece to piece, so that every sum has the same terms in the same order as it would in one piece. At the end one
//! shuffle network adds up the lanes of eight products at a time.

use crate::cpu::nnk::layout::{lines, packed};
use crate::cpu::nnk::source::{Source, Sources, prefetch_values};
use crate::simd::{F64_LANES, F64x8, LineF64, Number, Simd};
use crate::tensor::Values;
use std::ops::Range;

/// Lines of a vector in a piece: 25 candidates take 100 KiB.
const PIECE: usize = 64;

/// Working memory.
#[derive(Default)]
pub(super) struct Long {
    /// A piece of the query's vector in float64, `[lines]`; zeros if vectors are not centred.
    origin: Vec<LineF64>,
    /// A piece of the vectors of one query in float64, `[rows, lines]`.
    vectors: Vec<LineF64>,
    /// Eight partial sums of each product of one query: a packed lower triangle. Lines up to a multiple of eight are not used.
    partial: Vec<LineF64>,
    /// `[lane, products / 8]`: the products of each query.
    products: Vec<LineF64>,
}

/// Bytes of [`Long`] for `rows` vectors of `dim` numbers.
pub(super) fn bytes(rows: usize, dim: usize) -> u64 {
    let partial = packed(rows, 0).next_multiple_of(F64_LANES);
    let lines = (rows + 1) * lines(dim).min(PIECE) + 2 * partial;
    (size_of::<LineF64>() * lines) as u64
}

impl Long {
    /// Does what [`Products::compute`](super::Products::compute) says.
    #[inline(always)]
    pub(super) fn compute<I: Simd>(
        &mut self,
        sources: &Sources<'_>,
        rows: usize,
        centred: bool,
        dim: usize,
        out: &mut [LineF64],
    ) {
        let (whole, eights) = (lines(dim), packed(rows, 0).div_ceil(F64_LANES));
        self.origin.resize(whole.min(PIECE), LineF64::ZERO);
        self.vectors.resize(rows * whole.min(PIECE), LineF64::ZERO);
        self.partial.resize(eights * F64_LANES, LineF64::ZERO);
        self.products.resize(F64_LANES * eights, LineF64::ZERO);
        for (lane, source) in sources.iter().enumerate() {
            let products = &mut self.products[lane * eights..][..eights];
            if source.vectors.is_empty() {
                products.fill(LineF64::ZERO);
                continue;
            }
            for first in (0..whole).step_by(PIECE) {
                let width = PIECE.min(whole - first);
                let numbers = first * F64_LANES..dim.min((first + width) * F64_LANES);
                let origin = &mut self.origin[..width];
                let vectors = &mut self.vectors[..rows * width];
                widen::<I>(source, rows, centred, numbers.clone(), origin, vectors);
                let next = match first + width == whole {
                    true => Next::new(sources.get(lane + 1), 0),
                    false => Next::new(Some(source), numbers.end),
                };
                let piece = Piece {
                    vectors,
                    width,
                    is_first: first == 0,
                };
                match I::F64x8::SIDE {
                    5 => piece.multiply_all::<I, 5>(rows, &next, &mut self.partial),
                    _ => piece.multiply_all::<I, 2>(rows, &next, &mut self.partial),
                }
            }
            let (partial, _) = self.partial.as_chunks::<F64_LANES>();
            for (product, partial) in products.iter_mut().zip(partial) {
                let mut lanes = [I::F64x8::splat(0.0); F64_LANES];
                for (lane, sums) in lanes.iter_mut().zip(partial) {
                    *lane = I::F64x8::load(sums);
                }
                I::F64x8::sums(lanes).store(product);
            }
        }
        // Eight products of eight queries become eight lines of a query per lane.
        for (t, out) in out[..packed(rows, 0)].chunks_mut(F64_LANES).enumerate() {
            let mut lanes = [I::F64x8::splat(0.0); F64_LANES];
            for (lane, products) in lanes.iter_mut().zip(self.products.chunks_exact(eights)) {
                *lane = I::F64x8::load(&products[t]);
            }
            for (out, product) in out.iter_mut().zip(I::F64x8::transposed(lanes)) {
                product.store(out);
            }
        }
    }
}

/// What is converted after the piece at hand: numbers of vectors that lie apart in memory, so that the processor does not
/// foresee them.
#[derive(Default)]
struct Next<'a> {
    vectors: &'a [Values<'a>],
    /// First number.
    from: usize,
}

impl<'a> Next<'a> {
    /// Parts of a vector's piece that are fetched one after the other.
    const PARTS: usize = 4;

    fn new(source: Option<&'a Source<'a>>, from: usize) -> Self {
        source.map_or_else(Self::default, |source| Self {
            vectors: &source.vectors,
            from,
        })
    }

    /// Fetches one share of `shares`. They are spread over the time that the products take, so that no share waits.
    #[inline(always)]
    fn prefetch(&self, share: usize, shares: usize) {
        const LEN: usize = PIECE * F64_LANES / Next::PARTS;
        let parts = Self::PARTS * self.vectors.len();
        for part in parts * share / shares..parts * (share + 1) / shares {
            let vector = self.vectors[part / Self::PARTS];
            let from = (self.from + part % Self::PARTS * LEN).min(vector.len());
            prefetch_values(vector.slice(from..(from + LEN).min(vector.len())));
        }
    }
}

/// Converts some numbers of a query's vectors to float64, minus `origin`: the query's vector if `centred`, else zeros.
/// The rows beyond its candidates are as [`Products::compute`](super::Products::compute) says.
#[inline(always)]
fn widen<I: Simd>(
    source: &Source<'_>,
    rows: usize,
    centred: bool,
    numbers: Range<usize>,
    origin: &mut [LineF64],
    out: &mut [LineF64],
) {
    match centred {
        true => convert::<I>(source.query.slice(numbers.clone()), None, origin),
        false => origin.fill(LineF64::ZERO),
    }
    for (j, out) in out.chunks_exact_mut(origin.len()).take(rows).enumerate() {
        let vector = match source.vectors.get(j) {
            Some(v) => *v,
            None if !centred && j + 1 == rows => source.query,
            None => {
                out.fill(LineF64::ZERO);
                continue;
            }
        };
        convert::<I>(vector.slice(numbers.clone()), Some(origin), out);
    }
}

/// Writes values in float64, minus `origin` if there is one; what the last line lacks is 0.
#[inline(always)]
fn convert<I: Simd>(values: Values<'_>, origin: Option<&[LineF64]>, out: &mut [LineF64]) {
    match values {
        Values::F16(values) => convert_from::<I, _>(values, origin, out),
        Values::F32(values) => convert_from::<I, _>(values, origin, out),
    }
}

#[inline(always)]
fn convert_from<I: Simd, T: Number>(values: &[T], origin: Option<&[LineF64]>, out: &mut [LineF64]) {
    let (whole, rest) = values.as_chunks::<F64_LANES>();
    let (lines, last) = out.split_at_mut(whole.len());
    match origin {
        None => {
            for (out, v) in lines.iter_mut().zip(whole) {
                T::line::<I::F64x8>(v).store(out);
            }
        }
        Some(origin) => {
            for ((out, v), o) in lines.iter_mut().zip(whole).zip(origin) {
                (T::line::<I::F64x8>(v) - I::F64x8::load(o)).store(out);
            }
        }
    }
    if let Some(out) = last.first_mut() {
        let o = origin.map_or(LineF64::ZERO, |origin| origin[whole.len()]);
        (T::part_of_line::<I::F64x8>(rest) - I::F64x8::load(&o)).store(out);
    }
}

/// Some lines of a query's vectors, `[rows, width]`.
struct Piece<'a> {
    vectors: &'a [LineF64],
    width: usize,
    /// Whether there are no sums yet to add to.
    is_first: bool,
}

impl Piece<'_> {
    /// Adds the products of all pairs of the rows to `partial`, a packed lower triangle, in tiles of `N` rows and columns. The
    /// rows that fill no tile are multiplied one by one. What was in `partial` before the first piece is not read.
    #[inline(always)]
    fn multiply_all<I: Simd, const N: usize>(
        &self,
        rows: usize,
        next: &Next<'_>,
        partial: &mut [LineF64],
    ) {
        let (whole, mut done) = (rows - rows % N, 0);
        let tiles = packed(whole / N, 0);
        for row in (0..whole).step_by(N) {
            for column in (0..=row).step_by(N) {
                next.prefetch(done, tiles);
                match column < row {
                    true => self.multiply::<I, N, N>(row, column, partial),
                    false => self.multiply_diagonal::<I, N>(row, partial),
                }
                done += 1;
            }
        }
        for row in whole..rows {
            for column in (0..=row).step_by(N) {
                self.multiply::<I, 1, N>(row, column, partial);
            }
        }
    }

    /// `N` rows from `first` on. In place of those beyond `last` there is `last`.
    #[inline(always)]
    fn rows<const N: usize>(&self, first: usize, last: usize) -> [&[LineF64]; N] {
        let mut rows: [&[LineF64]; N] = [&[]; N];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = &self.vectors[(first + i).min(last) * self.width..][..self.width];
        }
        rows
    }

    /// Adds the products of the `R` rows from `row` on with the `C` rows from `column` on. Of a single row, columns beyond it
    /// are multiplied as the row itself, and the same products come out more than once.
    #[inline(always)]
    fn multiply<I: Simd, const R: usize, const C: usize>(
        &self,
        row: usize,
        column: usize,
        partial: &mut [LineF64],
    ) {
        let (left, right) = (
            self.rows::<R>(row, row + R - 1),
            self.rows::<C>(column, row),
        );
        let mut sums = [[I::F64x8::splat(0.0); C]; R];
        if !self.is_first {
            for (i, sums) in sums.iter_mut().enumerate() {
                for (j, sum) in sums.iter_mut().enumerate() {
                    *sum = I::F64x8::load(&partial[packed(row + i, (column + j).min(row))]);
                }
            }
        }
        for t in 0..self.width {
            let mut b = [I::F64x8::splat(0.0); C];
            for (b, right) in b.iter_mut().zip(right) {
                *b = I::F64x8::load(&right[t]);
            }
            for (sums, left) in sums.iter_mut().zip(left) {
                let a = I::F64x8::load(&left[t]);
                for (sum, &b) in sums.iter_mut().zip(&b) {
                    *sum = a.mul_add(b, *sum);
                }
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            for (j, sum) in sums.into_iter().enumerate() {
                sum.store(&mut partial[packed(row + i, (column + j).min(row))]);
            }
        }
    }

    /// Adds the products of the `N` rows from `row` on with each other.
    #[inline(always)]
    fn multiply_diagonal<I: Simd, const N: usize>(&self, row: usize, partial: &mut [LineF64]) {
        let rows = self.rows::<N>(row, row + N - 1);
        let mut sums = [[I::F64x8::splat(0.0); N]; N];
        if !self.is_first {
            for (i, sums) in sums.iter_mut().enumerate() {
                for (j, sum) in sums.iter_mut().enumerate().take(i + 1) {
                    *sum = I::F64x8::load(&partial[packed(row + i, row + j)]);
                }
            }
        }
        for t in 0..self.width {
            let mut values = [I::F64x8::splat(0.0); N];
            for (i, row) in rows.into_iter().enumerate() {
                values[i] = I::F64x8::load(&row[t]);
                for j in 0..=i {
                    sums[i][j] = values[i].mul_add(values[j], sums[i][j]);
                }
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            for (j, sum) in sums.into_iter().enumerate().take(i + 1) {
                sum.store(&mut partial[packed(row + i, row + j)]);
            }
        }
    }
}
