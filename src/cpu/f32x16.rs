//! Names from before [`crate::simd`], for kernels that are not converted yet.

pub(super) use crate::simd::{F32_LANES as LANES, F32x16, LineF32 as Pack};
