//! What a device says of itself.

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
