//! The instruction set of a run: detected or chosen, and the dispatcher that follows from it.

use super::SimdKernel;
use super::portable::Portable;
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512, Avx512Vnni};
use std::fmt;

/// Instruction set of the CPU kernels. Neighbour search gives the same bits with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstructionSet {
    /// As [`InstructionSet::Avx512`]; neighbour search also filters by products of bytes (AVX-512 VNNI).
    Avx512Vnni,
    /// 16 lanes of `f32` (x86-64 with AVX-512F).
    Avx512,
    /// 8 lanes of `f32` and fused multiply-add (x86-64 with AVX2 and FMA).
    Avx2,
    /// Whatever the compilation target guarantees.
    Portable,
}

impl InstructionSet {
    /// All of them, the widest first.
    const ALL: [Self; 4] = [Self::Avx512Vnni, Self::Avx512, Self::Avx2, Self::Portable];

    /// The widest one that this processor has.
    pub fn detect() -> Self {
        Self::available().next().unwrap_or(Self::Portable)
    }

    /// Those that this processor has, the widest first; [`InstructionSet::Portable`] is always among them.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|set| set.is_available())
    }

    /// Whether this processor has it.
    #[inline]
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => Avx512Vnni::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Avx512::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512Vnni | Self::Avx512 | Self::Avx2 => false,
            Self::Portable => true,
        }
    }

    /// This one, or [`InstructionSet::Portable`] where the processor does not have it.
    #[inline]
    pub(crate) fn or_portable(self) -> Self {
        if self.is_available() {
            self
        } else {
            Self::Portable
        }
    }

    /// Permission to add up products of bytes, if the set does so in one instruction.
    pub(crate) fn byte_products(self) -> Option<ByteProducts> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                Avx512Vnni::detect().map(|token| ByteProducts(ByteToken::Vnni(token)))
            }
            _ => None,
        }
    }

    /// Runs the copy of `kernel` that was compiled for this instruction set.
    ///
    /// # Panics
    /// If the processor does not have it. Nothing else would take its place unseen.
    #[inline]
    pub(crate) fn run<K: SimdKernel>(self, kernel: K) -> K::Output {
        match self {
            // Byte products are a capability of their own, so that other kernels need no fourth copy.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni | Self::Avx512 => match Avx512::detect() {
                Some(token) => token.run(kernel),
                None => self.is_missing(),
            },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => match Avx2::detect() {
                Some(token) => token.run(kernel),
                None => self.is_missing(),
            },
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512Vnni | Self::Avx512 | Self::Avx2 => self.is_missing(),
            Self::Portable => Portable.run(kernel),
        }
    }

    #[cold]
    #[inline(never)]
    fn is_missing(self) -> ! {
        panic!("this processor does not have {self}")
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avx512Vnni => "avx512+vnni",
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2+fma",
            Self::Portable => std::env::consts::ARCH,
        })
    }
}

/// Permission to add up products of bytes, held by whoever runs the int8 filter.
///
/// [`InstructionSet::byte_products`] gives it where the processor does so in one instruction. It wraps the token, so
/// that the token's type stays private.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteProducts(ByteToken);

#[derive(Clone, Copy, Debug)]
enum ByteToken {
    #[cfg(target_arch = "x86_64")]
    Vnni(Avx512Vnni),
    /// The same sums by single products, so that tests of the int8 filter run everywhere.
    #[cfg(any(feature = "internals", not(target_arch = "x86_64")))]
    #[cfg_attr(
        not(feature = "internals"),
        allow(dead_code, reason = "made by tests only")
    )]
    Portable(Portable),
}

impl ByteProducts {
    /// Byte products without an instruction for them. They are too slow to be of use outside of tests.
    #[cfg(feature = "internals")]
    pub(crate) const PORTABLE: Self = Self(ByteToken::Portable(Portable));

    /// Runs the copy of `kernel` whose [`I32x16`](super::I32x16) has that instruction.
    pub(crate) fn run<K: SimdKernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            ByteToken::Vnni(token) => token.run(kernel),
            #[cfg(any(feature = "internals", not(target_arch = "x86_64")))]
            ByteToken::Portable(token) => token.run(kernel),
        }
    }
}
