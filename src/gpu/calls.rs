//! The calls in which drivers fail, and how they do. `guard` tells where they are made.

/// Calls in which drivers fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Allocating a buffer (`memory`).
    Allocate,
    /// Copying from the host to a buffer, for which wgpu allocates memory of its own (`context`).
    Write,
    /// Submitting commands (`context`).
    Submit,
    /// Waiting for what was submitted (`guard`).
    Wait,
}

#[cfg(feature = "internals")]
impl Call {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Allocate, Self::Write, Self::Submit, Self::Wait];
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The device's memory is used up. In all calls but [`Call::Allocate`], wgpu takes the device for lost.
    OutOfMemory,
    /// The device is lost.
    Lost,
}
