//! Stored elements to values in memory, in loops that compilers vectorise.

use crate::simd::{self, InstructionSet, Simd, SimdKernel};
use crate::tensor::{DType, Value};
use half::f16;

/// How an element lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) dtype: DType,
    pub(crate) big_endian: bool,
}

/// What elements are read as.
pub(crate) trait ReadAs: Value {
    /// The elements that lie in files as these values lie in memory.
    const SAME: DType;

    /// Converts `bytes` (whole elements) to `out`, one value each. As `f32` any type can be read, and a finite `f64`
    /// outside the range of `f32` becomes an infinity; as `f16` only `f16` itself.
    fn convert(element: Element, bytes: &[u8], out: &mut [Self]);
}

impl ReadAs for f32 {
    const SAME: DType = DType::F32;

    fn convert(element: Element, bytes: &[u8], out: &mut [Self]) {
        debug_assert_eq!(bytes.len(), out.len() * element.dtype.size());
        // Bound by memory: wider vectors gain nothing.
        InstructionSet::Avx2.or_portable().run(Widen {
            element,
            bytes,
            out,
        });
    }
}

impl ReadAs for f16 {
    const SAME: DType = DType::F16;

    fn convert(element: Element, bytes: &[u8], out: &mut [Self]) {
        debug_assert_eq!(element.dtype, DType::F16);
        let from = match element.big_endian {
            true => Self::from_be_bytes,
            false => Self::from_le_bytes,
        };
        for (&bytes, value) in bytes.as_chunks::<2>().0.iter().zip(out) {
            *value = from(bytes);
        }
    }
}

impl Element {
    /// Whether the bytes already are such values of this machine.
    pub(crate) fn is_native<T: ReadAs>(self) -> bool {
        self.dtype == T::SAME && self.big_endian == cfg!(target_endian = "big")
    }
}

struct Widen<'a> {
    element: Element,
    bytes: &'a [u8],
    out: &'a mut [f32],
}

impl SimdKernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        let Self {
            element,
            bytes,
            out,
        } = self;
        let big = element.big_endian;
        match element.dtype {
            DType::U8 => each(bytes, out, |[b]: [u8; 1]| f32::from(b)),
            DType::I8 => each(bytes, out, |b: [u8; 1]| f32::from(i8::from_le_bytes(b))),
            DType::F16 if big => each(bytes, out, |b| f16::from_be_bytes(b).to_f32_const()),
            DType::F16 => widen_f16(bytes, out),
            DType::BF16 if big => each(bytes, out, |b| bf16(u16::from_be_bytes(b))),
            DType::BF16 => each(bytes, out, |b| bf16(u16::from_le_bytes(b))),
            DType::F32 if big => each(bytes, out, f32::from_be_bytes),
            DType::F32 => each(bytes, out, f32::from_le_bytes),
            DType::F64 if big => each(bytes, out, |b| f64::from_be_bytes(b) as f32),
            DType::F64 => each(bytes, out, |b| f64::from_le_bytes(b) as f32),
        }
    }
}

#[inline(always)]
fn bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[inline(always)]
fn each<const S: usize>(bytes: &[u8], out: &mut [f32], f: impl Fn([u8; S]) -> f32) {
    for (chunk, value) in bytes.as_chunks::<S>().0.iter().zip(out) {
        *value = f(*chunk);
    }
}

/// Little-endian halves: eight at a time where the processor can, else by arithmetic.
#[inline(always)]
fn widen_f16(bytes: &[u8], out: &mut [f32]) {
    let (chunks, rest) = bytes.as_chunks::<16>();
    let (eights, tail) = out.as_chunks_mut::<8>();
    if simd::f16_to_f32(chunks, eights) {
        each(rest, tail, |b| f16::from_le_bytes(b).to_f32_const());
    } else {
        each(bytes, out, |b| f16::from_le_bytes(b).to_f32_const());
    }
}
