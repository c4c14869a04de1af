//! Halves against what their bits mean.

use crate::simd::narrow::Narrow;
use crate::simd::{F64x8, InstructionSet, LineF64, Number, Simd, SimdKernel, widen};
use half::f16;

/// Halves as `f32` by vectors and by rows of any length, and as `f64`.
struct Halves<'a>(&'a [f16]);

impl SimdKernel for Halves<'_> {
    type Output = (Vec<f32>, Vec<f64>);
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) -> (Vec<f32>, Vec<f64>) {
        let mut singles = vec![-1.0; self.0.len() + 1];
        widen::<S>(self.0, &mut singles);
        let mut doubles = Vec::new();
        let (whole, rest) = self.0.as_chunks();
        let mut line = LineF64::ZERO;
        for row in whole {
            f16::line::<S::F64x8>(row).store(&mut line);
            doubles.extend(line.0);
        }
        f16::part_of_line::<S::F64x8>(rest).store(&mut line);
        doubles.extend(line.0);
        (singles, doubles)
    }
}

/// What a half without a sign means by its two fields.
fn magnitude(bits: u16) -> f64 {
    let (exponent, fraction) = (bits >> 10, f64::from(bits & 0x3ff));
    match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction > 0.0 => f64::NAN,
        31 => f64::INFINITY,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(i32::from(exponent) - 15),
    }
}

/// Every half.
pub(super) fn are_widened_exactly(set: InstructionSet) {
    let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    for (from, len) in (0..40)
        .map(|len| (1000 * len, len))
        .chain([(0, halves.len())])
    {
        let halves = &halves[from..from + len];
        let (singles, doubles) = set.run(Halves(halves));
        assert_eq!(singles[len], -1.0, "{set:?}");
        assert!(doubles[len..].iter().all(|&x| x == 0.0), "{set:?}");
        for ((half, single), double) in halves.iter().zip(singles).zip(doubles) {
            let bits = half.to_bits();
            let size = magnitude(bits & 0x7fff);
            let wanted = if bits >> 15 == 1 { -size } else { size };
            // Not the payload of a NaN.
            let same = |x: f64| x.to_bits() == wanted.to_bits() || x.is_nan() && wanted.is_nan();
            assert!(same(double), "{set:?} {bits:x}: {double}");
            assert!(same(f64::from(single)), "{set:?} {bits:x}: {single}");
        }
    }
}

/// Every half, the middle between every two neighbours, and the singles beside it, with both signs. What is infinite as a half
/// begins in the middle between the largest half and the number that would come after it.
pub(super) fn are_the_nearest_to_singles(set: InstructionSet) {
    let (mut values, mut wanted) = (Vec::new(), Vec::new());
    for bits in 0..0x7c00 {
        let upper = if bits == 0x7bff {
            65536.0
        } else {
            magnitude(bits + 1)
        };
        let middle = ((magnitude(bits) + upper) / 2.0) as f32;
        let even = bits + (bits & 1);
        values.extend([
            magnitude(bits) as f32,
            middle.next_down(),
            middle,
            middle.next_up(),
        ]);
        wanted.extend([bits, bits, even, bits + 1]);
    }
    values.extend([f32::MAX, f32::INFINITY, f32::from_bits(1)]);
    wanted.extend([0x7c00, 0x7c00, 0]);
    values.extend(values.clone().iter().map(|v| -v));
    wanted.extend(wanted.clone().iter().map(|bits| bits | 0x8000));
    let check = |from: usize, to: usize| {
        let values = &values[from..to];
        let mut halves = vec![f16::ONE; values.len()];
        let largest = set.run(Narrow {
            values,
            halves: &mut halves,
        });
        let bits: Vec<u16> = halves.iter().map(|half| half.to_bits()).collect();
        assert_eq!(bits, wanted[from..to], "{set:?} from {from}");
        assert_eq!(
            largest,
            values.iter().fold(0.0, |a: f32, v| a.max(v.abs())),
            "{set:?}"
        );
    };
    check(0, values.len());
    for len in 0..40 {
        check(1000 * len, 1001 * len);
    }
    for place in 0..40 {
        let mut values = [f32::INFINITY; 40];
        values[place] = f32::NAN;
        let mut halves = [f16::ONE; 40];
        let largest = set.run(Narrow {
            values: &values,
            halves: &mut halves,
        });
        assert!(
            largest.is_nan() && halves[place].is_nan(),
            "{set:?} {place}"
        );
    }
}
