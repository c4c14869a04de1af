//! What a device says of itself.

use super::Kernel;
use crate::tensor::ValueType;

/// What the results record about the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Adapter or processor name.
    pub name: String,
    /// `cpu`, `vulkan`, `metal`, `dx12`.
    pub backend: String,
    /// Driver and version, or the instruction set used on a CPU.
    pub driver: String,
}

/// What a device can hold, for planning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest single tensor or prepared block, bytes of its `f32` data.
    pub max_block_bytes: u64,
    /// Whether device memory is the host's (CPU, software adapters): then one cap bounds both.
    pub shares_host_memory: bool,
}

/// What the bytes of a prepared block of points depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointsSize {
    /// Channels.
    pub groups: usize,
    /// Samples.
    pub rows: usize,
    /// Numbers of a sample in a channel.
    pub dim: usize,
    /// What the block is made of.
    pub values: ValueType,
    /// What distances mean.
    pub kernel: Kernel,
    /// Queries of each channel that are searched for among the points.
    pub queries: usize,
}

/// Bytes of a prepared block of points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointsBytes {
    /// At most while it is made, working memory included.
    pub making: u64,
    /// Once it is made.
    pub made: u64,
}
