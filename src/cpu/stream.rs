//! Names from before [`crate::simd`], for kernels that are not converted yet.

pub(super) use crate::simd::{stream_copy as copy, stream_fence as finish};

/// Values from which on an array is larger than most last-level caches.
pub(super) const LARGE: usize = 1 << 23;
