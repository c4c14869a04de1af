//! Vectors against arithmetic on single numbers, once for every instruction set (see `crate::internals`).

mod halves;

use super::portable::Portable;
use super::*;
use crate::internals::{OnEachSet, tests};

/// The tests of this file.
pub const SIMD: OnEachSet = tests![
    rows_become_columns,
    rows_are_transposed_and_summed_in_one_order,
    exp_is_within_two_ulp_and_zero_far_below,
    every_set_rounds_and_compares_floats_alike,
    masked_loads_touch_their_lanes,
    byte_products_are_those_of_single_bytes,
    halves::are_widened_exactly,
    halves::are_the_nearest_to_singles,
];

/// `e^x` of many numbers.
struct Exp<'a>(&'a [f64], &'a mut Vec<f64>);

impl SimdKernel for Exp<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        for chunk in self.0.chunks(F64_LANES) {
            let mut line = LineF64::ZERO;
            line.0[..chunk.len()].copy_from_slice(chunk);
            S::F64x8::load(&line).exp().store(&mut line);
            self.1.extend_from_slice(&line.0[..chunk.len()]);
        }
    }
}

struct Columns<'a>(
    &'a [[f32; F64_LANES]; F64_LANES],
    &'a mut [LineF64; F64_LANES],
);

impl SimdKernel for Columns<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        for (out, column) in self.1.iter_mut().zip(S::F64x8::columns(self.0.each_ref())) {
            column.store(out);
        }
    }
}

fn rows_become_columns(set: InstructionSet) {
    let rows = std::array::from_fn(|r| std::array::from_fn(|c| (10 * r + c) as f32));
    let mut columns = [LineF64::ZERO; F64_LANES];
    set.run(Columns(&rows, &mut columns));
    for (c, column) in columns.iter().enumerate() {
        for (r, &v) in column.0.iter().enumerate() {
            assert_eq!(v, (10 * r + c) as f64, "{set:?}");
        }
    }
}

struct Squares<'a>(
    &'a [LineF64; F64_LANES],
    &'a mut [LineF64; F64_LANES],
    &'a mut LineF64,
);

impl SimdKernel for Squares<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        let rows = self.0.each_ref().map(S::F64x8::load);
        for (out, column) in self.1.iter_mut().zip(S::F64x8::transposed(rows)) {
            column.store(out);
        }
        S::F64x8::sums(rows).store(self.2);
    }
}

fn rows_are_transposed_and_summed_in_one_order(set: InstructionSet) {
    // Sums in any other order round otherwise.
    let number = |r: usize, c: usize| ((r * F64_LANES + c) as f64 + 0.1).powi(7 - c as i32);
    let rows = std::array::from_fn(|r| LineF64(std::array::from_fn(|c| number(r, c))));
    let (mut columns, mut sums) = ([LineF64::ZERO; F64_LANES], LineF64::ZERO);
    set.run(Squares(&rows, &mut columns, &mut sums));
    for (r, row) in rows.iter().enumerate() {
        for (c, column) in columns.iter().enumerate() {
            assert_eq!(column.0[r], row.0[c], "{set:?}");
        }
        let [a, b, c, d, e, f, g, h] = row.0;
        let sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
        assert_eq!(sums.0[r].to_bits(), sum.to_bits(), "{set:?}");
    }
}

fn exp_is_within_two_ulp_and_zero_far_below(set: InstructionSet) {
    let mut xs: Vec<f64> = (0..200_000).map(|i| -f64::from(i) * 0.003_541).collect();
    xs.extend([-0.0, 0.0, 1.0, 3.25, -1e-300, -1e-17, -708.0]);
    let far = [-708.1, -745.2, -1e4, -1e300, f64::MIN];
    let mut out = Vec::new();
    set.run(Exp(&xs, &mut out));
    for (&x, &y) in xs.iter().zip(&out) {
        if x < -708.0 {
            assert_eq!(y, 0.0, "{set:?} exp({x})");
            continue;
        }
        // The library's exp is itself within 1 ulp.
        let off = y.to_bits().abs_diff(x.exp().to_bits());
        assert!(off <= 2, "{set:?} exp({x}) is {off} ulp off");
    }
    let mut out = Vec::new();
    set.run(Exp(&far, &mut out));
    assert!(out.iter().all(|&y| y == 0.0), "{set:?} {out:?}");
}

/// Numbers that tell operations and operands apart: signs, zeros, infinities, NaN.
const NUMBERS: [f32; 16] = [
    1.5,
    -2.25,
    0.0,
    -0.0,
    3.1,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    1e-30,
    -7.0,
    0.1,
    1e30,
    2.0,
    -0.3,
    9.0,
    0.5,
];

/// Bits of every lane of an operation.
type Bits = Vec<Vec<u32>>;

/// All operations of [`F32`] on lanes of `a`, `b` and `c`, and their masks.
struct Floats<'a>([&'a [f32; 16]; 3]);

impl SimdKernel for Floats<'_> {
    type Output = (Bits, Bits);
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) -> (Bits, Bits) {
        let (mut register, mut sixteen) = (vec![Vec::new(); 9], vec![Vec::new(); 9]);
        for first in (0..16).step_by(S::F32::LANES) {
            let [a, b, c] = self.0.map(|v| S::F32::from_slice(&v[first..]));
            let mask = a.not_less(b);
            let results = [
                a + b,
                a - b,
                a * b,
                a / b,
                a.max(b),
                a.min(b),
                a.sqrt(),
                S::F32::select(mask, a, c),
            ];
            let (masks, numbers) = register.split_first_mut().expect("nine");
            masks.extend((0..S::F32::LANES).map(|i| mask >> i & 1));
            for (out, result) in numbers.iter_mut().zip(results) {
                let mut lanes = [0.0; 16];
                result.copy_to(&mut lanes);
                out.extend(lanes[..S::F32::LANES].iter().map(|x| x.to_bits()));
            }
        }
        let [a, b, c] = self.0.map(|v| S::F32x16::load(&LineF32(*v)));
        let mask = a.not_less(b);
        let results = [
            a + b,
            a - b,
            a * b,
            a / b,
            a.max(b),
            a.min(b),
            a.sqrt(),
            S::F32x16::select(mask, a, c),
        ];
        let (masks, numbers) = sixteen.split_first_mut().expect("nine");
        masks.extend((0..16).map(|i| u32::from(mask >> i & 1)));
        for (out, result) in numbers.iter_mut().zip(results) {
            let mut line = LineF32::ZERO;
            result.store(&mut line);
            out.extend(line.0.iter().map(|x| x.to_bits()));
        }
        (register, sixteen)
    }
}

fn every_set_rounds_and_compares_floats_alike(set: InstructionSet) {
    let mut turned = NUMBERS;
    for turn in 0..16 {
        turned.rotate_left(1);
        let operands = [&NUMBERS, &turned, &[turn as f32; 16]];
        let is_nan = |bits: &u32| f32::from_bits(*bits).is_nan();
        // The sign and payload of a NaN are the processor's own business.
        let quiet = |all: Bits| -> Bits {
            let one = |bits: u32| if is_nan(&bits) { u32::MAX } else { bits };
            all.into_iter()
                .map(|bits| bits.into_iter().map(one).collect())
                .collect()
        };
        let (wanted, _) = Portable.run(Floats(operands));
        let wanted = quiet(wanted);
        for (i, (&a, &b)) in NUMBERS.iter().zip(&turned).enumerate() {
            let is_below = a < b;
            assert_eq!(wanted[0][i], u32::from(!is_below), "{a} < {b}");
            assert_eq!(f32::from_bits(wanted[5][i]) == a, a >= b, "{a}, {b}");
        }
        let (register, sixteen) = set.run(Floats(operands));
        assert_eq!(quiet(register), wanted, "{set:?} turned {turn}");
        assert_eq!(
            quiet(sixteen),
            wanted,
            "{set:?} turned {turn}, sixteen lanes"
        );
    }
}

/// Reads some lanes of a row.
struct SomeLanes<'a>(&'a [f32; 16], u32);

impl SimdKernel for SomeLanes<'_> {
    type Output = Vec<f32>;
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) -> Vec<f32> {
        let minus = S::F32::splat(-1.0);
        // SAFETY: all sixteen floats can be read.
        let lanes = unsafe { minus.load_lanes(self.1, self.0.as_ptr()) };
        let mut out = vec![0.0; S::F32::LANES];
        lanes.copy_to(&mut out);
        out
    }
}

fn masked_loads_touch_their_lanes(set: InstructionSet) {
    let row = std::array::from_fn(|i| i as f32);
    for mask in [0, 1, 0b1010, 0x5a5a, 0xffff] {
        let found = set.run(SomeLanes(&row, mask));
        for (i, &x) in found.iter().enumerate() {
            let wanted = if mask >> i & 1 == 1 { row[i] } else { -1.0 };
            assert_eq!(x, wanted, "{set:?} {mask:x}");
        }
    }
}

/// All operations of [`I32x16`] on two vectors.
struct Integers<'a>(&'a [i32; 16], &'a [i32; 16]);

impl SimdKernel for Integers<'_> {
    type Output = Vec<i32>;
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) -> Vec<i32> {
        let (a, b) = (S::I32x16::load(self.0), S::I32x16::load(self.1));
        let (lt, at_least) = (a.lt(b), a.at_least(b));
        let mut found = vec![i32::from(lt), i32::from(at_least), i32::from(a.nonzero())];
        found.push(a.least());
        let sums = S::I32x16::splat(7).add_byte_products(a, b);
        for result in [a + b, a.max(b), a.min(b), S::I32x16::select(lt, a, b), sums] {
            let mut lanes = [0; 16];
            result.store(&mut lanes);
            found.extend(lanes);
        }
        found
    }
}

fn byte_products_are_those_of_single_bytes(set: InstructionSet) {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as i32
    };
    for round in 0..200 {
        let mut a = std::array::from_fn(|_| next());
        let mut b = std::array::from_fn(|_| next());
        (a[round % 16], b[round % 16]) = (0, i32::MIN);
        b[round % 7] = a[round % 7];
        let wanted = Portable.run(Integers(&a, &b));
        let sums = &wanted[4 + 4 * 16..];
        for ((&sum, a), b) in sums.iter().zip(a).zip(b) {
            let bytes = a.to_le_bytes().into_iter().zip(b.to_le_bytes());
            let products = bytes.map(|(u, s)| i32::from(u) * i32::from(s.cast_signed()));
            assert_eq!(sum, 7 + products.sum::<i32>());
        }
        assert_eq!(set.run(Integers(&a, &b)), wanted, "{set:?}");
        if let Some(byte_products) = set.byte_products() {
            assert_eq!(byte_products.run(Integers(&a, &b)), wanted, "{set:?}");
        }
    }
}

#[test]
fn small_squares_are_transposed() {
    let rows = std::array::from_fn(|r| std::array::from_fn(|c| (4 * r + c) as f32));
    let columns = transpose_4x4(rows);
    for (r, row) in rows.iter().enumerate() {
        for (c, column) in columns.iter().enumerate() {
            assert_eq!(column[r], row[c]);
        }
    }
}
