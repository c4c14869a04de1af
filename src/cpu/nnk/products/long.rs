//! Inner products of long vectors, one query after the other.
//!
//! A vector is a row of cache lines of eight numbers, and a product is a register of eight partial sums. Eight
//! products are finished together: one shuffle network adds up the lanes of all eight. So products are computed
//! in tiles of eight pairs, listed once in [`Tile::list`]: the list tells both what to multiply and where the
//! products belong.
//!
//! Vectors are converted and multiplied in pieces that stay in the second-level cache. The partial sums of each tile are
//! kept from piece to piece, so that every sum has the same terms in the same order as it would in one piece.

use crate::cpu::nnk::layout::{lines, packed};
use crate::cpu::nnk::source::{Source, Sources, prefetch_values};
use crate::simd::{F64_LANES, F64x8, LineF64, Number, Simd};
use crate::tensor::Values;
use std::ops::Range;

/// Lines of a vector in a piece: 25 candidates take 100 KiB.
const PIECE: usize = 64;

/// Eight partial sums of the eight products of a tile.
type Partial = [LineF64; F64_LANES];

/// Working memory.
#[derive(Default)]
pub(super) struct Long {
    /// A piece of the query's vector in float64, `[lines]`; zeros if vectors are not centred.
    origin: Vec<LineF64>,
    /// A piece of the vectors of one query in float64, `[rows, lines]`.
    vectors: Vec<LineF64>,
    /// `[tile]`, of one query, between two pieces.
    partial: Vec<Partial>,
    /// `[lane, tile]`: the eight products of each tile, for each query.
    products: Vec<LineF64>,
    /// The tiles that cover the lower triangle of `tiled_rows` rows.
    tiles: Vec<Tile>,
    tiled_rows: usize,
}

/// Bytes of [`Long`] for `rows` vectors of `dim` numbers.
pub(super) fn bytes(rows: usize, dim: usize) -> u64 {
    let tiles = packed(rows + 1, 0) / F64_LANES + 3 * rows;
    let lines = (rows + 1) * lines(dim).min(PIECE) + 2 * F64_LANES * tiles;
    (size_of::<LineF64>() * lines + size_of::<Tile>() * tiles) as u64
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
        if self.tiled_rows != rows {
            self.tiled_rows = rows;
            self.tiles = Tile::list(rows);
        }
        let (whole, tiles) = (lines(dim), self.tiles.len());
        self.origin.resize(whole.min(PIECE), LineF64::ZERO);
        self.vectors.resize(rows * whole.min(PIECE), LineF64::ZERO);
        self.partial.resize(tiles, [LineF64::ZERO; F64_LANES]);
        self.products.resize(F64_LANES * tiles, LineF64::ZERO);
        for (lane, source) in sources.iter().enumerate() {
            let products = &mut self.products[lane * tiles..][..tiles];
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
                let ends = (first == 0, first + width == whole);
                let next = match ends.1 {
                    true => Next::new(sources.get(lane + 1), 0),
                    false => Next::new(Some(source), numbers.end),
                };
                let sums = products.iter_mut().zip(&mut self.partial);
                for (t, (tile, (out, partial))) in self.tiles.iter().zip(sums).enumerate() {
                    next.prefetch(t, tiles);
                    tile.multiply::<I>(vectors, width, ends, partial, out);
                }
            }
        }
        // Eight products of eight queries become eight lines of a query per lane.
        for (t, tile) in self.tiles.iter().enumerate() {
            let mut lanes = [I::F64x8::splat(0.0); F64_LANES];
            for (lane, products) in lanes.iter_mut().zip(self.products.chunks_exact(tiles)) {
                *lane = I::F64x8::load(&products[t]);
            }
            let products = I::F64x8::transposed(lanes);
            for (product, &place) in products.into_iter().zip(tile.places()) {
                product.store(&mut out[place as usize]);
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

/// Height and width of a tile.
#[derive(Clone, Copy)]
enum Shape {
    FourByTwo,
    TwoByFour,
    OneByEight,
    /// Two rows with each other: three products.
    Diagonal,
}

/// Up to eight products of rows from `row` on with rows from `column` on.
struct Tile {
    shape: Shape,
    row: u16,
    column: u16,
    /// Places of the products in the packed triangle. Where a tile reaches past the diagonal, some places are
    /// listed twice; both products are the same.
    places: [u32; F64_LANES],
}

impl Tile {
    /// The tiles that cover the lower triangle of `rows` rows.
    fn list(rows: usize) -> Vec<Self> {
        let mut tiles = Vec::new();
        let whole = rows - rows % 4;
        for row in (0..whole).step_by(4) {
            for column in (0..=row).step_by(2) {
                tiles.push(Self::new(Shape::FourByTwo, row, column));
            }
            // The tiles of this row of tiles end two columns before the diagonal's last corner.
            tiles.push(Self::new(Shape::Diagonal, row + 2, row + 2));
        }
        let mut row = whole;
        if row + 2 <= rows {
            for column in (0..row + 2).step_by(4) {
                tiles.push(Self::new(Shape::TwoByFour, row, column));
            }
            row += 2;
        }
        if row < rows {
            for column in (0..=row).step_by(8) {
                tiles.push(Self::new(Shape::OneByEight, row, column));
            }
        }
        tiles
    }

    fn new(shape: Shape, row: usize, column: usize) -> Self {
        // Columns beyond the last row are multiplied as that row.
        let pair = |i: usize, height: usize, width: usize| {
            let last = row + height - 1;
            (row + i / width, (column + i % width).min(last))
        };
        let places = std::array::from_fn(|i| {
            let (r, c) = match shape {
                Shape::FourByTwo => pair(i, 4, 2),
                Shape::TwoByFour => pair(i, 2, 4),
                Shape::OneByEight => pair(i, 1, 8),
                // (0, 0), (1, 0), (1, 1); the rest is not used.
                Shape::Diagonal => (row + i.min(1), row + i.saturating_sub(1).min(1)),
            };
            packed(r.max(c), r.min(c)) as u32
        });
        Self {
            shape,
            row: row as u16,
            column: column as u16,
            places,
        }
    }

    /// Places of the products, in the order in which [`Self::multiply`] leaves them.
    #[inline(always)]
    fn places(&self) -> &[u32] {
        match self.shape {
            Shape::Diagonal => &self.places[..3],
            _ => &self.places,
        }
    }

    /// Adds the products of a piece, `vectors [rows, width]`, to `partial`. `ends` tells whether it is the first piece,
    /// before which `partial` is 0, and whether it is the last, whose sums go to `out`.
    #[inline(always)]
    fn multiply<I: Simd>(
        &self,
        vectors: &[LineF64],
        width: usize,
        ends: (bool, bool),
        partial: &mut Partial,
        out: &mut LineF64,
    ) {
        let (row, column) = (usize::from(self.row), usize::from(self.column));
        let mut sums = [I::F64x8::splat(0.0); F64_LANES];
        if !ends.0 {
            for (sum, line) in sums.iter_mut().zip(&*partial) {
                *sum = I::F64x8::load(line);
            }
        }
        match self.shape {
            Shape::FourByTwo => multiply::<I, 4, 2>(vectors, width, row, column, &mut sums),
            Shape::TwoByFour => multiply::<I, 2, 4>(vectors, width, row, column, &mut sums),
            Shape::OneByEight => multiply::<I, 1, 8>(vectors, width, row, column, &mut sums),
            Shape::Diagonal => multiply_diagonal::<I>(vectors, width, row, &mut sums),
        }
        if ends.1 {
            I::F64x8::sums(sums).store(out);
        } else {
            for (line, sum) in partial.iter_mut().zip(sums) {
                sum.store(line);
            }
        }
    }
}

/// Products of the `R` rows from `row` on with the `C` rows from `column` on, `R C = 8`. Columns beyond the last
/// of the former rows repeat that row.
#[inline(always)]
fn multiply<I: Simd, const R: usize, const C: usize>(
    vectors: &[LineF64],
    width: usize,
    row: usize,
    column: usize,
    sums: &mut [I::F64x8; F64_LANES],
) {
    let mut left: [&[LineF64]; R] = [&[]; R];
    for (i, left) in left.iter_mut().enumerate() {
        *left = &vectors[(row + i) * width..][..width];
    }
    let mut right: [&[LineF64]; C] = [&[]; C];
    for (i, right) in right.iter_mut().enumerate() {
        *right = &vectors[(column + i).min(row + R - 1) * width..][..width];
    }
    let mut partial = [[I::F64x8::splat(0.0); C]; R];
    for (partial, sum) in partial.as_flattened_mut().iter_mut().zip(&*sums) {
        *partial = *sum;
    }
    for t in 0..width {
        let mut b = [I::F64x8::splat(0.0); C];
        for (b, right) in b.iter_mut().zip(right) {
            *b = I::F64x8::load(&right[t]);
        }
        for (partial, left) in partial.iter_mut().zip(left) {
            let a = I::F64x8::load(&left[t]);
            for (sum, &b) in partial.iter_mut().zip(&b) {
                *sum = a.mul_add(b, *sum);
            }
        }
    }
    for (sum, partial) in sums.iter_mut().zip(partial.as_flattened()) {
        *sum = *partial;
    }
}

/// Products of the two rows from `row` on with each other; the last five lines are not used.
#[inline(always)]
fn multiply_diagonal<I: Simd>(
    vectors: &[LineF64],
    width: usize,
    row: usize,
    sums: &mut [I::F64x8; F64_LANES],
) {
    let (upper, lower) = vectors[row * width..][..2 * width].split_at(width);
    for (upper, lower) in upper.iter().zip(lower) {
        let (a, b) = (I::F64x8::load(upper), I::F64x8::load(lower));
        sums[0] = a.mul_add(a, sums[0]);
        sums[1] = b.mul_add(a, sums[1]);
        sums[2] = b.mul_add(b, sums[2]);
    }
}
