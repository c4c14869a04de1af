//! What a measure reads from: layers of activations, in blocks of rows.

use crate::Result;
use crate::tensor::{DType, LayerShape};
use std::ops::Range;

/// One layer of activations `A[N, C, H, W]`, in a file or in memory.
///
/// Values come out as `f32` whatever the stored type; a stored finite value that `f32` cannot hold
/// comes out as an infinity and is reported like one.
pub trait Layer: Send + Sync {
    /// Name of the layer: file stem or tensor key.
    fn name(&self) -> &str;
    /// Shape; 2-D input is one channel.
    fn shape(&self) -> LayerShape;
    /// Stored element type.
    fn dtype(&self) -> DType;
    /// Reads samples `rows` of `channels` into `out`, channel-major `[channels, rows, H * W]`.
    fn read_channels(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()>;
    /// Reads samples `rows` of `channels` into `out`, sample-major `[rows, channels, H * W]`.
    fn read_rows(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()>;
}
