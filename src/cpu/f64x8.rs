//! Eight `f64` lanes on whatever the processor has, chosen when the program runs.
//!
//! For the kernels that compute in float64; `simd` is its sister for `f32`. Code is written once,
//! generic over [`Isa`], and compiled for each instruction set behind [`dispatch`]. Everything under a [`Work::run`] must be `inline(always)`,
//! or it would be compiled without the wider instructions.

use super::f32x16::{F32x16, Lanes};
use super::simd::{self, InstructionSet};

/// Vector types of an instruction set.
pub(super) trait Isa: Copy + Send + Sync + 'static {
    /// Eight `f64`.
    type F64: F64x8;
    /// Sixteen `f32`.
    type F32: F32x16;
}

/// Work compiled for every instruction set.
pub(super) trait Work {
    /// What it returns.
    type Output;
    /// Does it. Implementations are `inline(always)`.
    fn run<I: Isa>(self) -> Self::Output;
}

/// Runs the copy of `work` compiled for `set` (the portable one where the processor lacks it).
pub(super) fn dispatch<W: Work>(set: InstructionSet, work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,popcnt,bmi1,bmi2")]
        fn avx512<W: Work>(work: W) -> W::Output {
            work.run::<x86::Avx512>()
        }
        #[target_feature(enable = "avx2,fma,popcnt,bmi1,bmi2")]
        fn avx2<W: Work>(work: W) -> W::Output {
            work.run::<x86::Avx2>()
        }
        match set {
            // SAFETY: the guard checks for the feature (a cached load).
            InstructionSet::Avx512Vnni | InstructionSet::Avx512 if set.is_available() => {
                return unsafe { avx512(work) };
            }
            // SAFETY: as above.
            InstructionSet::Avx2 if set.is_available() => return unsafe { avx2(work) },
            _ => {}
        }
    }
    let _ = set;
    work.run::<Portable>()
}

/// Lanes per vector.
pub(super) const LANES: usize = 8;

/// Eight `f64`, cache-line aligned, as stored in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(super) struct Pack(pub(super) [f64; LANES]);

impl Pack {
    /// All lanes zero.
    pub(super) const ZERO: Self = Self([0.0; LANES]);
}

/// Arithmetic on eight `f64`. Each lane's result depends on that lane alone.
pub(super) trait F64x8: Copy {
    /// The same value in each lane.
    fn splat(x: f64) -> Self;
    /// From memory.
    fn load(p: &Pack) -> Self;
    /// To memory.
    fn store(self, p: &mut Pack);
    /// `self + o`.
    fn add(self, o: Self) -> Self;
    /// `self - o`.
    fn sub(self, o: Self) -> Self;
    /// `self * o`.
    fn mul(self, o: Self) -> Self;
    /// `self / o`.
    fn div(self, o: Self) -> Self;
    /// Larger of the two; neither may be NaN.
    fn max(self, o: Self) -> Self;
    /// Smaller of the two; neither may be NaN.
    fn min(self, o: Self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// `self * a + c`, fused where the processor can.
    fn mul_add(self, a: Self, c: Self) -> Self;
    /// `c - self * a`, fused where the processor can.
    fn neg_mul_add(self, a: Self, c: Self) -> Self;
    /// Bit `l` set where lane `l` of `self` is below that of `o`.
    fn lt(self, o: Self) -> u8;
    /// Lanes of `self` where the bit is set, of `o` elsewhere.
    fn select(mask: u8, a: Self, b: Self) -> Self;
    /// From `f32`.
    fn widen(row: &[f32; LANES]) -> Self;
    /// From at most eight `f32`, the other lanes 0.
    #[inline(always)]
    fn widen_part(row: &[f32]) -> Self {
        let mut all = [0f32; LANES];
        all[..row.len()].copy_from_slice(row);
        Self::widen(&all)
    }
    /// Rows of `f32` to columns.
    fn columns(rows: [&[f32; LANES]; LANES]) -> [Self; LANES];
    /// `self * 2^n` where `shifted = n + 1.5 * 2^52`; the result must be a normal number.
    fn scale(self, shifted: Self) -> Self;

    /// Rows to columns.
    #[inline(always)]
    fn transposed(rows: [Self; LANES]) -> [Self; LANES] {
        let mut columns = [Pack::ZERO; LANES];
        for (r, row) in rows.into_iter().enumerate() {
            let mut p = Pack::ZERO;
            row.store(&mut p);
            for (column, x) in columns.iter_mut().zip(p.0) {
                column.0[r] = x;
            }
        }
        let mut out = [Self::splat(0.0); LANES];
        for (out, column) in out.iter_mut().zip(&columns) {
            *out = Self::load(column);
        }
        out
    }

    /// Lane `l`: `((a + b) + (c + d)) + ((e + f) + (g + h))` of the lanes of row `l`.
    #[inline(always)]
    fn sums(rows: [Self; LANES]) -> Self {
        let mut sums = Pack::ZERO;
        for (sum, row) in sums.0.iter_mut().zip(rows) {
            let mut p = Pack::ZERO;
            row.store(&mut p);
            let [a, b, c, d, e, f, g, h] = p.0;
            *sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
        }
        Self::load(&sums)
    }

    /// Sum of the lanes, always in the same order.
    #[inline(always)]
    fn sum(self) -> f64 {
        let mut p = Pack::ZERO;
        self.store(&mut p);
        let [a, b, c, d, e, f, g, h] = p.0;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }

    /// `e^self`, at most 2 ulp off; 0 below -708. `self` must not exceed 700.
    #[inline(always)]
    fn exp(self) -> Self {
        // Adding 1.5 * 2^52 rounds to an integer and leaves it in the low bits.
        const SHIFT: f64 = 6_755_399_441_055_744.0;
        // ln 2 in two parts; the first has 21 trailing zero bits, so its product with n is exact.
        const LN2_HI: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
        const LN2_LO: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
        // (e^r - 1 - r) / r^2, interpolated at the Chebyshev nodes of |r| <= ln 2 / 2: at most 1.7e-17
        // of e^r off, a seventh of half an ulp.
        const C: [f64; 10] = [
            2.510_037_679_881_25e-8,
            2.762_007_713_646_922e-7,
            2.755_726_847_827_900_4e-6,
            2.480_152_131_972_762e-5,
            1.984_126_986_308_504e-4,
            1.388_888_891_719_841_9e-3,
            8.333_333_333_330_065e-3,
            4.166_666_666_662_416e-2,
            1.666_666_666_666_666_9e-1,
            5.000_000_000_000_001e-1,
        ];
        let floor = Self::splat(-708.0);
        let x = self.max(floor);
        let shifted = x.mul_add(Self::splat(std::f64::consts::LOG2_E), Self::splat(SHIFT));
        let n = shifted.sub(Self::splat(SHIFT));
        let r = n.neg_mul_add(Self::splat(LN2_HI), x);
        let r = n.neg_mul_add(Self::splat(LN2_LO), r);
        let mut p = Self::splat(C[0]);
        for &c in &C[1..] {
            p = p.mul_add(r, Self::splat(c));
        }
        // 1 + r + r^2 p, the small part last.
        let p = p.mul(r).mul_add(r, r).add(Self::splat(1.0));
        Self::select(self.lt(floor), Self::splat(0.0), p.scale(shifted))
    }
}

/// No special instructions.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Isa for Portable {
    type F64 = Pack;
    type F32 = Lanes<simd::Portable, 4>;
}

#[inline(always)]
fn map2(a: Pack, b: Pack, f: impl Fn(f64, f64) -> f64) -> Pack {
    Pack(std::array::from_fn(|l| f(a.0[l], b.0[l])))
}

impl F64x8 for Pack {
    #[inline(always)]
    fn splat(x: f64) -> Self {
        Self([x; LANES])
    }
    #[inline(always)]
    fn load(p: &Pack) -> Self {
        *p
    }
    #[inline(always)]
    fn store(self, p: &mut Pack) {
        *p = self;
    }
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        map2(self, o, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        map2(self, o, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        map2(self, o, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        map2(self, o, |a, b| a / b)
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        map2(self, o, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        map2(self, o, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn widen(row: &[f32; LANES]) -> Self {
        Self(row.map(f64::from))
    }
    #[inline(always)]
    fn columns(rows: [&[f32; LANES]; LANES]) -> [Self; LANES] {
        std::array::from_fn(|c| Self(std::array::from_fn(|r| f64::from(rows[r][c]))))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.map(f64::sqrt))
    }
    #[inline(always)]
    fn mul_add(self, a: Self, c: Self) -> Self {
        self.mul(a).add(c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self, c: Self) -> Self {
        c.sub(self.mul(a))
    }
    #[inline(always)]
    fn lt(self, o: Self) -> u8 {
        (0..LANES).fold(0, |m, l| m | (u8::from(self.0[l] < o.0[l]) << l))
    }
    #[inline(always)]
    fn select(mask: u8, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|l| {
            if mask >> l & 1 == 1 { a.0[l] } else { b.0[l] }
        }))
    }
    #[inline(always)]
    fn scale(self, shifted: Self) -> Self {
        map2(self, shifted, |p, s| {
            f64::from_bits(p.to_bits().wrapping_add(s.to_bits() << 52))
        })
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86;

#[cfg(test)]
mod tests {
    use super::*;

    struct Exp<'a>(&'a [f64], &'a mut Vec<f64>);

    impl Work for Exp<'_> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self) {
            for chunk in self.0.chunks(LANES) {
                let mut p = Pack::ZERO;
                p.0[..chunk.len()].copy_from_slice(chunk);
                I::F64::load(&p).exp().store(&mut p);
                self.1.extend_from_slice(&p.0[..chunk.len()]);
            }
        }
    }

    const SETS: [InstructionSet; 4] = [
        InstructionSet::Portable,
        InstructionSet::Avx2,
        InstructionSet::Avx512,
        InstructionSet::Avx512Vnni,
    ];

    struct Columns<'a>(&'a [[f32; LANES]; LANES], &'a mut [Pack; LANES]);

    impl Work for Columns<'_> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self) {
            for (out, column) in self.1.iter_mut().zip(I::F64::columns(self.0.each_ref())) {
                column.store(out);
            }
        }
    }

    #[test]
    fn rows_become_columns() {
        let rows = std::array::from_fn(|r| std::array::from_fn(|c| (10 * r + c) as f32));
        for set in SETS {
            let mut columns = [Pack::ZERO; LANES];
            dispatch(set, Columns(&rows, &mut columns));
            for (c, column) in columns.iter().enumerate() {
                for (r, &v) in column.0.iter().enumerate() {
                    assert_eq!(v, (10 * r + c) as f64, "{set:?}");
                }
            }
        }
    }

    struct Squares<'a>(&'a [Pack; LANES], &'a mut [Pack; LANES], &'a mut Pack);

    impl Work for Squares<'_> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self) {
            let rows = self.0.each_ref().map(I::F64::load);
            for (out, column) in self.1.iter_mut().zip(I::F64::transposed(rows)) {
                column.store(out);
            }
            I::F64::sums(rows).store(self.2);
        }
    }

    #[test]
    fn rows_are_transposed_and_summed_in_one_order() {
        // Sums in any other order round otherwise.
        let number = |r: usize, c: usize| ((r * LANES + c) as f64 + 0.1).powi(7 - c as i32);
        let rows = std::array::from_fn(|r| Pack(std::array::from_fn(|c| number(r, c))));
        for set in SETS {
            let (mut columns, mut sums) = ([Pack::ZERO; LANES], Pack::ZERO);
            dispatch(set, Squares(&rows, &mut columns, &mut sums));
            for (r, row) in rows.iter().enumerate() {
                for (c, column) in columns.iter().enumerate() {
                    assert_eq!(column.0[r], row.0[c], "{set:?}");
                }
                let [a, b, c, d, e, f, g, h] = row.0;
                let sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
                assert_eq!(sums.0[r].to_bits(), sum.to_bits(), "{set:?}");
            }
        }
    }

    #[test]
    fn exp_is_within_two_ulp_and_zero_far_below() {
        let mut xs: Vec<f64> = (0..200_000).map(|i| -f64::from(i) * 0.003_541).collect();
        xs.extend([-0.0, 0.0, 1.0, 3.25, -1e-300, -1e-17, -708.0]);
        let far = [-708.1, -745.2, -1e4, -1e300, f64::MIN];
        for set in SETS {
            let mut out = Vec::new();
            dispatch(set, Exp(&xs, &mut out));
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
            dispatch(set, Exp(&far, &mut out));
            assert!(out.iter().all(|&y| y == 0.0), "{set:?} {out:?}");
        }
    }
}
