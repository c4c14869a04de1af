//! Kernels that write a row in the types of the filters, as bytes or as `f32`, into a column of a tile.
//!
//! No multiply-add is fused, so that every instruction set writes the same numbers.

use crate::simd::{F64_LANES, F64x8, INTEGER_SHIFT, LineF64, Number, Simd, SimdKernel};
use crate::tensor::Values;

/// Bytes that are multiplied and added up by one instruction.
pub(super) const QUAD: usize = 4;

/// What is measured of a row while its bytes are written.
pub(super) struct Sums {
    /// `|Y|^2`.
    pub(super) sq_norm: f64,
    /// A bound on `|e|`: more than float64 rounds is added.
    pub(super) error: f64,
    /// `|B|^2`.
    pub(super) sq_bytes: f64,
    /// Sum of `B`.
    pub(super) sum: i32,
}

/// A row, and what is done to it: `(x * factor - centre) * scale`.
pub(super) struct Row<'a> {
    /// `[dim]`.
    pub(super) values: Values<'a>,
    /// 1 / norm under cosine, else 1.
    pub(super) factor: f64,
    /// `[dim]`, and zeros up to a whole line.
    pub(super) centre: &'a [LineF64],
    pub(super) scale: f64,
}

/// A column of a tile `[numbers, width]`.
pub(super) struct Column<'a, T> {
    /// The tile from the column's first number on.
    pub(super) tile: &'a mut [T],
    pub(super) width: usize,
}

impl<T: Copy> Column<'_, T> {
    /// Writes numbers `first..` of the column, as many as it has.
    #[inline(always)]
    fn write(&mut self, first: usize, numbers: &[T]) {
        let places = self.tile.get_mut(first * self.width..).unwrap_or_default();
        for (place, &number) in places.iter_mut().step_by(self.width).zip(numbers) {
            *place = number;
        }
    }
}

/// What takes the numbers of a row, eight at a time.
trait Take<D> {
    /// Takes numbers `first..first + 8`; those that the row lacks are 0.
    fn take(&mut self, first: usize, numbers: D);
}

impl Row<'_> {
    /// The `count` numbers from `first` on, a multiple of [`F64_LANES`], or as many as there are.
    pub(super) fn piece(self, first: usize, count: usize) -> Self {
        let end = self.values.len().min(first + count);
        Self {
            values: self.values.slice(first..end),
            centre: &self.centre[first / F64_LANES..],
            ..self
        }
    }

    #[inline(always)]
    fn each<D: F64x8>(&self, to: &mut impl Take<D>) {
        match self.values {
            Values::F16(values) => self.each_of(values, to),
            Values::F32(values) => self.each_of(values, to),
        }
    }

    #[inline(always)]
    fn each_of<D: F64x8, T: Number>(&self, values: &[T], to: &mut impl Take<D>) {
        let (factor, scale) = (D::splat(self.factor), D::splat(self.scale));
        let (whole, rest) = values.as_chunks::<F64_LANES>();
        for (i, (row, centre)) in whole.iter().zip(self.centre).enumerate() {
            let difference = T::line::<D>(row) * factor - D::load(centre);
            to.take(i * F64_LANES, difference * scale);
        }
        if let (false, Some(centre)) = (rest.is_empty(), self.centre.get(whole.len())) {
            let difference = T::part_of_line::<D>(rest) * factor - D::load(centre);
            to.take(whole.len() * F64_LANES, difference * scale);
        }
    }
}

/// Writes a row as signed bytes, four to a number of the column.
pub(super) struct PackBytes<'a> {
    pub(super) row: Row<'a>,
    /// Whether 128 is added to every byte.
    pub(super) biased: bool,
    pub(super) column: Column<'a, i32>,
}

struct Bytes<'a, D> {
    column: Column<'a, i32>,
    /// Flips the highest bit of every byte, which adds 128, or does not.
    flip: u64,
    sq_norm: D,
    sq_error: D,
    sq_bytes: D,
    sum: D,
}

impl<D: F64x8> Take<D> for Bytes<'_, D> {
    #[inline(always)]
    fn take(&mut self, first: usize, numbers: D) {
        let shift = D::splat(INTEGER_SHIFT);
        let shifted = numbers.max(D::splat(-127.0)).min(D::splat(127.0)) + shift;
        let rounded = shifted - shift;
        let error = numbers - rounded;
        self.sq_norm = self.sq_norm + numbers * numbers;
        self.sq_error = self.sq_error + error * error;
        self.sq_bytes = self.sq_bytes + rounded * rounded;
        self.sum = self.sum + rounded;
        let mut line = LineF64::ZERO;
        shifted.store(&mut line);
        let mut bytes = [0; F64_LANES];
        for (byte, integer) in bytes.iter_mut().zip(line.0) {
            *byte = integer.to_bits() as u8;
        }
        let bytes = u64::from_le_bytes(bytes) ^ self.flip;
        self.column
            .write(first / QUAD, &[bytes as i32, (bytes >> 32) as i32]);
    }
}

impl SimdKernel for PackBytes<'_> {
    type Output = Sums;

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) -> Sums {
        let zero = S::F64x8::splat(0.0);
        let mut bytes = Bytes {
            column: self.column,
            flip: if self.biased {
                0x8080_8080_8080_8080
            } else {
                0
            },
            sq_norm: zero,
            sq_error: zero,
            sq_bytes: zero,
            sum: zero,
        };
        self.row.each(&mut bytes);
        Sums {
            sq_norm: bytes.sq_norm.sum(),
            // More than float64 rounds.
            error: bytes.sq_error.sum().sqrt() * (1.0 + 1e-9),
            sq_bytes: bytes.sq_bytes.sum(),
            sum: bytes.sum.sum() as i32,
        }
    }
}

/// Writes a row as `f32`. Returns the squared norm of what is written.
pub(super) struct PackFloats<'a> {
    pub(super) row: Row<'a>,
    pub(super) column: Column<'a, f32>,
}

struct Floats<'a, D> {
    column: Column<'a, f32>,
    sq_norm: D,
}

impl<D: F64x8> Take<D> for Floats<'_, D> {
    #[inline(always)]
    fn take(&mut self, first: usize, numbers: D) {
        let mut line = LineF64::ZERO;
        numbers.store(&mut line);
        // One rounding: difference and scaling are float64.
        let mut singles = [0.0; F64_LANES];
        for (single, number) in singles.iter_mut().zip(line.0) {
            *single = number as f32;
        }
        let rounded = D::widen(&singles);
        self.sq_norm = self.sq_norm + rounded * rounded;
        self.column.write(first, &singles);
    }
}

impl SimdKernel for PackFloats<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) -> f64 {
        let mut floats = Floats {
            column: self.column,
            sq_norm: S::F64x8::splat(0.0),
        };
        self.row.each(&mut floats);
        floats.sq_norm.sum()
    }
}
