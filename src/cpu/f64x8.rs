//! Names from before [`crate::simd`], for kernels that are not converted yet.

pub(super) use crate::simd::{F64_LANES as LANES, F64x8, LineF64 as Pack};
use crate::simd::{InstructionSet, Simd, SimdKernel};

/// [`Simd`] by its old name.
pub(super) trait Isa: Simd {
    type F64: F64x8;
}

impl<S: Simd> Isa for S {
    type F64 = S::F64x8;
}

/// [`SimdKernel`] without tiles.
pub(super) trait Work {
    type Output;
    fn run<I: Isa>(self) -> Self::Output;
}

/// Runs old work on the new dispatcher.
pub(super) fn dispatch<W: Work>(set: InstructionSet, work: W) -> W::Output {
    struct Kernel<W>(W);
    impl<W: Work> SimdKernel for Kernel<W> {
        type Output = W::Output;
        #[inline(always)]
        fn run<S: Simd, const R: usize, const V: usize>(self) -> W::Output {
            self.0.run::<S>()
        }
    }
    set.run(Kernel(work))
}
