//! What a device can do at most, to measure the kernels against.

use super::Backend;
use crate::Result;

/// Work with nothing but one limit in its way. Callers time it, `finish` included.
pub trait Ceilings: Backend {
    /// Loops of independent float32 multiply-adds in registers, on all of the device. Returns the
    /// operations done: two per multiply-add.
    fn arithmetic(&self) -> Result<u64>;
    /// The same on matrices of f16 numbers with float32 sums (tensor cores); `None` where the device has
    /// none that its kernels use.
    fn half_products(&self) -> Result<Option<u64>> {
        Ok(None)
    }
    /// Copies a tensor to another of the same shape: every number is read once and written once.
    fn copy(&self, from: &Self::Tensor, to: &mut Self::Tensor) -> Result<()>;
    /// Waits until all that was asked for is done.
    fn finish(&self) -> Result<()>;
}
