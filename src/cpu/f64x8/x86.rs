//! Eight `f64` lanes on x86-64: one AVX-512 register, or two AVX2 registers.

// Every function here runs only under `dispatch`, behind a check that the processor has the
// instructions; that is the one safety condition of all of them.
#![allow(unsafe_code, clippy::undocumented_unsafe_blocks)]

use super::{F64x8, Isa, LANES, Pack};
use crate::cpu::f32x16::Lanes;
use crate::cpu::simd;
use std::arch::x86_64::*;

/// AVX-512 F, DQ, VL.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;
/// AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

/// One register of eight.
#[derive(Clone, Copy)]
pub(crate) struct Wide(__m512d);
/// Two registers of four.
#[derive(Clone, Copy)]
pub(crate) struct Pair(__m256d, __m256d);

impl Isa for Avx512 {
    type F64 = Wide;
    type F32 = Lanes<simd::x86::Avx512, 1>;
}

impl Isa for Avx2 {
    type F64 = Pair;
    type F32 = Lanes<simd::x86::Avx2, 2>;
}

// Functions, not closures: only what is inlined for certain gets the instructions.

#[inline(always)]
fn four(a: &[f32; LANES], b: &[f32; LANES], c: &[f32; LANES], d: &[f32; LANES]) -> [__m256; 4] {
    unsafe {
        let (a, b) = (_mm256_loadu_ps(a.as_ptr()), _mm256_loadu_ps(b.as_ptr()));
        let (c, d) = (_mm256_loadu_ps(c.as_ptr()), _mm256_loadu_ps(d.as_ptr()));
        let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let (low2, high2) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        [
            _mm256_shuffle_ps::<0x44>(low, low2),
            _mm256_shuffle_ps::<0xee>(low, low2),
            _mm256_shuffle_ps::<0x44>(high, high2),
            _mm256_shuffle_ps::<0xee>(high, high2),
        ]
    }
}

/// Rows to columns: pairs of rows are interleaved, then pairs of pairs, then halves go to their columns.
#[inline(always)]
fn transposed(rows: [&[f32; LANES]; LANES]) -> [__m256; LANES] {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
    let [a, b, c, d] = four(r0, r1, r2, r3);
    let [e, f, g, h] = four(r4, r5, r6, r7);
    unsafe {
        [
            _mm256_permute2f128_ps::<0x20>(a, e),
            _mm256_permute2f128_ps::<0x20>(b, f),
            _mm256_permute2f128_ps::<0x20>(c, g),
            _mm256_permute2f128_ps::<0x20>(d, h),
            _mm256_permute2f128_ps::<0x31>(a, e),
            _mm256_permute2f128_ps::<0x31>(b, f),
            _mm256_permute2f128_ps::<0x31>(c, g),
            _mm256_permute2f128_ps::<0x31>(d, h),
        ]
    }
}

/// Lanes of `a` where all of `bits` are set in `mask`, of `b` elsewhere.
#[inline(always)]
fn blend(mask: __m256i, bits: __m256i, a: __m256d, b: __m256d) -> __m256d {
    unsafe {
        let on = _mm256_cmpeq_epi64(_mm256_and_si256(mask, bits), bits);
        _mm256_blendv_pd(b, a, _mm256_castsi256_pd(on))
    }
}

#[inline(always)]
fn scaled(p: __m256d, shifted: __m256d) -> __m256d {
    unsafe {
        let n = _mm256_slli_epi64::<52>(_mm256_castpd_si256(shifted));
        _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(p), n))
    }
}

impl Wide {
    #[inline(always)]
    fn from_singles(v: __m256) -> Self {
        Self(unsafe { _mm512_cvtps_pd(v) })
    }
}

impl Pair {
    #[inline(always)]
    fn from_singles(v: __m256) -> Self {
        unsafe {
            Self(
                _mm256_cvtps_pd(_mm256_castps256_ps128(v)),
                _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(v)),
            )
        }
    }
}

/// Sums of neighbouring lanes, of `a` in even places and of `b` in odd ones.
#[inline(always)]
fn neighbours(a: __m512d, b: __m512d) -> __m512d {
    unsafe { _mm512_add_pd(_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b)) }
}

/// Sums of neighbouring pairs of lanes, those of `a` before those of `b`.
#[inline(always)]
fn pairs(a: __m512d, b: __m512d) -> __m512d {
    unsafe {
        _mm512_add_pd(
            _mm512_shuffle_f64x2::<0x88>(a, b),
            _mm512_shuffle_f64x2::<0xdd>(a, b),
        )
    }
}

/// Pairs of lanes of `a`, then of `b`: those in even places (0x88) or in odd ones (0xdd).
#[inline(always)]
fn every_other<const PICK: i32>(a: __m512d, b: __m512d) -> __m512d {
    unsafe { _mm512_shuffle_f64x2::<PICK>(a, b) }
}

/// Four rows to columns.
#[inline(always)]
fn four_columns(a: __m256d, b: __m256d, c: __m256d, d: __m256d) -> [__m256d; 4] {
    unsafe {
        let (even, odd) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        let (even2, odd2) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
        [
            _mm256_permute2f128_pd::<0x20>(even, even2),
            _mm256_permute2f128_pd::<0x20>(odd, odd2),
            _mm256_permute2f128_pd::<0x31>(even, even2),
            _mm256_permute2f128_pd::<0x31>(odd, odd2),
        ]
    }
}

/// Lane `l`: `(a + b) + (c + d)` of the lanes of row `l`.
#[inline(always)]
fn four_sums(a: __m256d, b: __m256d, c: __m256d, d: __m256d) -> __m256d {
    unsafe {
        let (ab, cd) = (_mm256_hadd_pd(a, b), _mm256_hadd_pd(c, d));
        _mm256_add_pd(
            _mm256_permute2f128_pd::<0x20>(ab, cd),
            _mm256_permute2f128_pd::<0x31>(ab, cd),
        )
    }
}

impl F64x8 for Wide {
    #[inline(always)]
    fn transposed(rows: [Self; LANES]) -> [Self; LANES] {
        let [a, b, c, d, e, f, g, h] = rows;
        unsafe {
            // Pairs of rows, then of pairs, then of those.
            let (ab, ab2) = (_mm512_unpacklo_pd(a.0, b.0), _mm512_unpackhi_pd(a.0, b.0));
            let (cd, cd2) = (_mm512_unpacklo_pd(c.0, d.0), _mm512_unpackhi_pd(c.0, d.0));
            let (ef, ef2) = (_mm512_unpacklo_pd(e.0, f.0), _mm512_unpackhi_pd(e.0, f.0));
            let (gh, gh2) = (_mm512_unpacklo_pd(g.0, h.0), _mm512_unpackhi_pd(g.0, h.0));
            // Columns 0 and 4, 2 and 6; 1 and 5, 3 and 7.
            let (p, q) = (every_other::<0x88>(ab, cd), every_other::<0xdd>(ab, cd));
            let (r, s) = (every_other::<0x88>(ef, gh), every_other::<0xdd>(ef, gh));
            let (p2, q2) = (every_other::<0x88>(ab2, cd2), every_other::<0xdd>(ab2, cd2));
            let (r2, s2) = (every_other::<0x88>(ef2, gh2), every_other::<0xdd>(ef2, gh2));
            [
                Self(every_other::<0x88>(p, r)),
                Self(every_other::<0x88>(p2, r2)),
                Self(every_other::<0x88>(q, s)),
                Self(every_other::<0x88>(q2, s2)),
                Self(every_other::<0xdd>(p, r)),
                Self(every_other::<0xdd>(p2, r2)),
                Self(every_other::<0xdd>(q, s)),
                Self(every_other::<0xdd>(q2, s2)),
            ]
        }
    }
    #[inline(always)]
    fn sums(rows: [Self; LANES]) -> Self {
        let [a, b, c, d, e, f, g, h] = rows;
        let left = pairs(neighbours(a.0, b.0), neighbours(c.0, d.0));
        let right = pairs(neighbours(e.0, f.0), neighbours(g.0, h.0));
        Self(pairs(left, right))
    }
    #[inline(always)]
    fn splat(x: f64) -> Self {
        Self(unsafe { _mm512_set1_pd(x) })
    }
    #[inline(always)]
    fn load(p: &Pack) -> Self {
        Self(unsafe { _mm512_load_pd(p.0.as_ptr()) })
    }
    #[inline(always)]
    fn store(self, p: &mut Pack) {
        unsafe { _mm512_store_pd(p.0.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        Self(unsafe { _mm512_add_pd(self.0, o.0) })
    }
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        Self(unsafe { _mm512_sub_pd(self.0, o.0) })
    }
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        Self(unsafe { _mm512_mul_pd(self.0, o.0) })
    }
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        Self(unsafe { _mm512_div_pd(self.0, o.0) })
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        Self(unsafe { _mm512_max_pd(self.0, o.0) })
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        Self(unsafe { _mm512_min_pd(self.0, o.0) })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(unsafe { _mm512_sqrt_pd(self.0) })
    }
    #[inline(always)]
    fn widen(row: &[f32; LANES]) -> Self {
        Self::from_singles(unsafe { _mm256_loadu_ps(row.as_ptr()) })
    }
    #[inline(always)]
    fn widen_part(row: &[f32]) -> Self {
        let lanes = (1u16 << row.len().min(LANES)) - 1;
        let v = unsafe { _mm512_maskz_loadu_ps(lanes, row.as_ptr()) };
        Self::from_singles(unsafe { _mm512_castps512_ps256(v) })
    }
    #[inline(always)]
    fn columns(rows: [&[f32; LANES]; LANES]) -> [Self; LANES] {
        let [a, b, c, d, e, f, g, h] = transposed(rows);
        [
            Self::from_singles(a),
            Self::from_singles(b),
            Self::from_singles(c),
            Self::from_singles(d),
            Self::from_singles(e),
            Self::from_singles(f),
            Self::from_singles(g),
            Self::from_singles(h),
        ]
    }
    #[inline(always)]
    fn mul_add(self, a: Self, c: Self) -> Self {
        Self(unsafe { _mm512_fmadd_pd(self.0, a.0, c.0) })
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self, c: Self) -> Self {
        Self(unsafe { _mm512_fnmadd_pd(self.0, a.0, c.0) })
    }
    #[inline(always)]
    fn lt(self, o: Self) -> u8 {
        unsafe { _mm512_cmp_pd_mask::<_CMP_LT_OQ>(self.0, o.0) }
    }
    #[inline(always)]
    fn select(mask: u8, a: Self, b: Self) -> Self {
        Self(unsafe { _mm512_mask_blend_pd(mask, b.0, a.0) })
    }
    #[inline(always)]
    fn scale(self, shifted: Self) -> Self {
        Self(unsafe {
            let n = _mm512_slli_epi64::<52>(_mm512_castpd_si512(shifted.0));
            _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(self.0), n))
        })
    }
}

impl F64x8 for Pair {
    #[inline(always)]
    fn sums(rows: [Self; LANES]) -> Self {
        let [a, b, c, d, e, f, g, h] = rows;
        unsafe {
            Self(
                _mm256_add_pd(four_sums(a.0, b.0, c.0, d.0), four_sums(a.1, b.1, c.1, d.1)),
                _mm256_add_pd(four_sums(e.0, f.0, g.0, h.0), four_sums(e.1, f.1, g.1, h.1)),
            )
        }
    }
    #[inline(always)]
    fn transposed(rows: [Self; LANES]) -> [Self; LANES] {
        let [a, b, c, d, e, f, g, h] = rows;
        let [a0, a1, a2, a3] = four_columns(a.0, b.0, c.0, d.0);
        let [a4, a5, a6, a7] = four_columns(a.1, b.1, c.1, d.1);
        let [e0, e1, e2, e3] = four_columns(e.0, f.0, g.0, h.0);
        let [e4, e5, e6, e7] = four_columns(e.1, f.1, g.1, h.1);
        [
            Self(a0, e0),
            Self(a1, e1),
            Self(a2, e2),
            Self(a3, e3),
            Self(a4, e4),
            Self(a5, e5),
            Self(a6, e6),
            Self(a7, e7),
        ]
    }
    #[inline(always)]
    fn splat(x: f64) -> Self {
        let v = unsafe { _mm256_set1_pd(x) };
        Self(v, v)
    }
    #[inline(always)]
    fn load(p: &Pack) -> Self {
        let p = p.0.as_ptr();
        unsafe { Self(_mm256_load_pd(p), _mm256_load_pd(p.add(4))) }
    }
    #[inline(always)]
    fn store(self, p: &mut Pack) {
        let p = p.0.as_mut_ptr();
        unsafe {
            _mm256_store_pd(p, self.0);
            _mm256_store_pd(p.add(4), self.1);
        }
    }
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        unsafe { Self(_mm256_add_pd(self.0, o.0), _mm256_add_pd(self.1, o.1)) }
    }
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        unsafe { Self(_mm256_sub_pd(self.0, o.0), _mm256_sub_pd(self.1, o.1)) }
    }
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        unsafe { Self(_mm256_mul_pd(self.0, o.0), _mm256_mul_pd(self.1, o.1)) }
    }
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        unsafe { Self(_mm256_div_pd(self.0, o.0), _mm256_div_pd(self.1, o.1)) }
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        unsafe { Self(_mm256_max_pd(self.0, o.0), _mm256_max_pd(self.1, o.1)) }
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        unsafe { Self(_mm256_min_pd(self.0, o.0), _mm256_min_pd(self.1, o.1)) }
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        unsafe { Self(_mm256_sqrt_pd(self.0), _mm256_sqrt_pd(self.1)) }
    }
    #[inline(always)]
    fn widen(row: &[f32; LANES]) -> Self {
        Self::from_singles(unsafe { _mm256_loadu_ps(row.as_ptr()) })
    }
    #[inline(always)]
    fn columns(rows: [&[f32; LANES]; LANES]) -> [Self; LANES] {
        let [a, b, c, d, e, f, g, h] = transposed(rows);
        [
            Self::from_singles(a),
            Self::from_singles(b),
            Self::from_singles(c),
            Self::from_singles(d),
            Self::from_singles(e),
            Self::from_singles(f),
            Self::from_singles(g),
            Self::from_singles(h),
        ]
    }
    #[inline(always)]
    fn mul_add(self, a: Self, c: Self) -> Self {
        unsafe {
            Self(
                _mm256_fmadd_pd(self.0, a.0, c.0),
                _mm256_fmadd_pd(self.1, a.1, c.1),
            )
        }
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self, c: Self) -> Self {
        unsafe {
            Self(
                _mm256_fnmadd_pd(self.0, a.0, c.0),
                _mm256_fnmadd_pd(self.1, a.1, c.1),
            )
        }
    }
    #[inline(always)]
    fn lt(self, o: Self) -> u8 {
        unsafe {
            let lo = _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(self.0, o.0));
            let hi = _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(self.1, o.1));
            (lo | hi << 4) as u8
        }
    }
    #[inline(always)]
    fn select(mask: u8, a: Self, b: Self) -> Self {
        unsafe {
            let mask = _mm256_set1_epi64x(i64::from(mask));
            Self(
                blend(mask, _mm256_setr_epi64x(1, 2, 4, 8), a.0, b.0),
                blend(mask, _mm256_setr_epi64x(16, 32, 64, 128), a.1, b.1),
            )
        }
    }
    #[inline(always)]
    fn scale(self, shifted: Self) -> Self {
        Self(scaled(self.0, shifted.0), scaled(self.1, shifted.1))
    }
}
