//! Activations in memory: `f16` where they are stored so, which takes half the room, and `f32` of all other types.
//!
//! Kernels compute on `f32` and wider types. Every `f16` is an `f32`, so widening is exact, and it does not matter when it
//! is done: halves are kept as they are for as long as many of them are held, and widened a few rows at a time.

use crate::simd;
use bytemuck::Pod;
use half::f16;
use std::borrow::Cow;
use std::ops::Range;

/// Type of values in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// IEEE half precision.
    F16,
    /// IEEE single precision.
    F32,
}

impl ValueType {
    /// Bytes of one value.
    pub const fn size(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }
}

/// A type that values have in memory: `f16` or `f32`.
pub trait Value: Pod + PartialEq + Send + Sync {
    /// Which of them it is.
    const TYPE: ValueType;
    /// A slice of any of them.
    fn values(values: &[Self]) -> Values<'_>;
}

impl Value for f16 {
    const TYPE: ValueType = ValueType::F16;

    fn values(values: &[Self]) -> Values<'_> {
        Values::F16(values)
    }
}

impl Value for f32 {
    const TYPE: ValueType = ValueType::F32;

    fn values(values: &[Self]) -> Values<'_> {
        Values::F32(values)
    }
}

/// A slice of values of either type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values<'a> {
    /// Halves.
    F16(&'a [f16]),
    /// Singles.
    F32(&'a [f32]),
}

impl Default for Values<'_> {
    fn default() -> Self {
        Self::F32(&[])
    }
}

impl<'a> From<&'a [f32]> for Values<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::F32(values)
    }
}

impl<'a> From<&'a Vec<f32>> for Values<'a> {
    fn from(values: &'a Vec<f32>) -> Self {
        Self::F32(values)
    }
}

impl<'a> Values<'a> {
    /// How many there are.
    pub const fn len(self) -> usize {
        match self {
            Self::F16(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Their type.
    pub const fn value_type(self) -> ValueType {
        match self {
            Self::F16(_) => ValueType::F16,
            Self::F32(_) => ValueType::F32,
        }
    }

    /// Whether all are zero, of either sign.
    pub fn are_zero(self) -> bool {
        match self {
            Self::F16(values) => values.iter().all(|&v| v == f16::ZERO),
            Self::F32(values) => values.iter().all(|&v| v == 0.0),
        }
    }

    /// Some of them.
    ///
    /// # Panics
    /// Where the range does not lie in the slice.
    #[inline(always)]
    pub fn slice(self, range: Range<usize>) -> Self {
        match self {
            Self::F16(values) => Self::F16(&values[range]),
            Self::F32(values) => Self::F32(&values[range]),
        }
    }

    /// The values as `f32`: themselves, or widened at the start of `scratch`, which has room for them.
    ///
    /// # Panics
    /// Where it has not.
    #[inline(always)]
    pub fn widen<'b>(self, scratch: &'b mut [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        match self {
            Self::F32(values) => values,
            Self::F16(values) => {
                let wide = &mut scratch[..values.len()];
                simd::widen_slice(values, wide);
                wide
            }
        }
    }

    /// Writes the values to `out`, which has their length.
    ///
    /// # Panics
    /// Where it has not.
    #[inline(always)]
    pub fn copy_to(self, out: &mut [f32]) {
        match self {
            Self::F32(values) => out.copy_from_slice(values),
            Self::F16(values) => {
                assert_eq!(values.len(), out.len(), "room for the values");
                simd::widen_slice(values, out);
            }
        }
    }

    /// The values as `f32`, in memory of their own where they are halves.
    pub fn wide(self) -> Cow<'a, [f32]> {
        match self {
            Self::F32(values) => Cow::Borrowed(values),
            Self::F16(values) => {
                let mut wide = vec![0.0; values.len()];
                simd::widen_slice(values, &mut wide);
                Cow::Owned(wide)
            }
        }
    }

    /// A copy.
    pub fn to_buffer(self) -> ValueBuffer {
        match self {
            Self::F16(values) => ValueBuffer::F16(values.to_vec()),
            Self::F32(values) => ValueBuffer::F32(values.to_vec()),
        }
    }
}

/// Values of either type, owned.
#[derive(Clone, Debug)]
pub enum ValueBuffer {
    /// Halves.
    F16(Vec<f16>),
    /// Singles.
    F32(Vec<f32>),
}

impl From<Vec<f32>> for ValueBuffer {
    fn from(values: Vec<f32>) -> Self {
        Self::F32(values)
    }
}

impl ValueBuffer {
    /// Zeros.
    pub fn zeros(value_type: ValueType, len: usize) -> Self {
        match value_type {
            ValueType::F16 => Self::F16(vec![f16::ZERO; len]),
            ValueType::F32 => Self::F32(vec![0.0; len]),
        }
    }

    /// The values.
    #[inline(always)]
    pub fn values(&self) -> Values<'_> {
        match self {
            Self::F16(values) => Values::F16(values),
            Self::F32(values) => Values::F32(values),
        }
    }
}

/// Writes `values` to `halves`, rounded to the nearest half, to the even one of two. Values from 65,520 on become infinite,
/// and those of up to 2^-25 become 0. Returns the largest magnitude among `values`, NaN if one is NaN, and 0 if there are none.
///
/// Rounding keeps the order of numbers. So the largest half is the largest magnitude, rounded: whether halves are infinite, or
/// all of them 0 though the values were not, can be told from it.
///
/// # Panics
/// If the slices differ in length.
pub fn narrow(values: &[f32], halves: &mut [f16]) -> f32 {
    simd::narrow_slice(values, halves)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every half, and what it means by its three fields.
    #[test]
    fn widening_is_exact() {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        // Lengths around the eight that are widened at once.
        for len in (0..20).chain([halves.len()]) {
            let mut scratch = vec![0.0; len + 1];
            let values = Values::F16(&halves[..len]);
            let wide = values.widen(&mut scratch);
            assert_eq!(wide.len(), len);
            let mut copied = vec![0.0; len];
            values.copy_to(&mut copied);
            for (i, &v) in wide.iter().enumerate() {
                let bits = i as u32;
                let (exponent, fraction) = (bits >> 10 & 31, f64::from(bits & 0x3ff));
                let size = match exponent {
                    0 => fraction * 2f64.powi(-24),
                    31 if fraction > 0.0 => f64::NAN,
                    31 => f64::INFINITY,
                    _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent as i32 - 15),
                };
                assert_eq!(v.is_sign_negative(), bits >> 15 == 1, "{bits:x}");
                assert_eq!(v.is_nan(), size.is_nan(), "{bits:x}");
                assert!(v.is_nan() || f64::from(v.abs()) == size, "{bits:x}: {v}");
                assert_eq!(copied[i].to_bits(), v.to_bits());
            }
        }
    }
}
