//! What can be wrong with a device, and which devices there are.

use std::fmt::{Display, Formatter};

/// An adapter that was found while looking for another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundAdapter {
    /// Position by which it can be named.
    pub index: usize,
    /// Name.
    pub name: String,
    /// `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: &'static str,
    /// Graphics interface, such as `vulkan`.
    pub backend: String,
}

impl Display for FoundAdapter {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self {
            index,
            name,
            kind,
            backend,
        } = self;
        write!(f, "{index}: {name} ({kind}, {backend})")
    }
}

/// `no GPU adapter 'x'; found: 0: llvmpipe (software, vulkan)`.
pub(super) fn no_adapter(wanted: Option<&str>, found: &[FoundAdapter]) -> String {
    let wanted = match wanted {
        Some(name) => format!("no GPU adapter '{name}'"),
        None => "no GPU adapter (software adapters are used only when named)".into(),
    };
    let found: Vec<String> = found.iter().map(FoundAdapter::to_string).collect();
    match found.is_empty() {
        true => format!("{wanted}; found: none"),
        false => format!("{wanted}; found: {}", found.join(", ")),
    }
}

/// Why a device cannot do its work. [`DeviceProblem::advice`] says what the caller can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceProblem {
    /// The device could not be opened.
    Refused {
        /// The driver's reason.
        reason: String,
    },
    /// The device lacks what the options ask for.
    Lacks {
        /// What it lacks: "float64 shaders".
        feature: &'static str,
        /// What to do instead.
        advice: &'static str,
    },
    /// The device's memory is used up.
    OutOfMemory {
        /// The kernel that was to run, or what was to be stored.
        what: String,
        /// Bytes asked for, where known.
        bytes: Option<u64>,
    },
    /// An array exceeds what a kernel or a buffer can hold.
    TooLarge {
        /// The array.
        what: String,
        /// The limit, bytes, where it counts bytes.
        limit: Option<u64>,
    },
    /// A software adapter would end the kernel's loops before their time, without saying so.
    LoopLimit {
        /// The work.
        what: String,
    },
    /// The device was lost, as when it is reset or unplugged.
    Lost {
        /// The driver's reason.
        reason: String,
    },
    /// The device does not answer.
    NoAnswer {
        /// What was waited for, and how it failed.
        reason: String,
    },
    /// A kernel failed.
    Failed {
        /// The kernel.
        what: String,
        /// The driver's reason.
        reason: String,
    },
    /// The threads of the CPU backend could not be started.
    Threads {
        /// How many; 0 stands for one per core.
        threads: usize,
        /// The system's reason.
        reason: String,
    },
}

/// What the caller can do about a [`DeviceProblem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceAdvice {
    /// Update the driver, or compute on the CPU.
    UpdateDriver,
    /// Allow less memory, or close other programs.
    LessMemory,
    /// Work on smaller batches.
    SmallerBatches,
    /// Compute on the CPU.
    UseCpu,
    /// Try again, or compute on the CPU.
    RunAgain,
    /// Use fewer threads.
    FewerThreads,
    /// Something else, in words.
    Other(&'static str),
    /// Nothing: the failure is this crate's or the driver's fault.
    None,
}

impl DeviceProblem {
    /// What the caller can do.
    pub const fn advice(&self) -> DeviceAdvice {
        match self {
            Self::Refused { .. } => DeviceAdvice::UpdateDriver,
            Self::Lacks { advice, .. } => DeviceAdvice::Other(advice),
            Self::OutOfMemory { .. } => DeviceAdvice::LessMemory,
            Self::TooLarge { .. } => DeviceAdvice::SmallerBatches,
            Self::LoopLimit { .. } => DeviceAdvice::UseCpu,
            Self::Lost { .. } | Self::NoAnswer { .. } => DeviceAdvice::RunAgain,
            // Fewer than one cannot be asked for.
            Self::Threads { threads: 1, .. } => {
                DeviceAdvice::Other("close other programs, or allow more processes")
            }
            Self::Threads { .. } => DeviceAdvice::FewerThreads,
            Self::Failed { .. } => DeviceAdvice::None,
        }
    }

    /// What happened, without the advice.
    pub fn summary(&self) -> String {
        match self {
            Self::Refused { reason } => format!("refused to open: {reason}"),
            Self::Lacks { feature, .. } => format!("has no {feature}"),
            Self::OutOfMemory { what, bytes: None } => format!("out of memory in {what}"),
            Self::OutOfMemory {
                what,
                bytes: Some(bytes),
            } => format!("out of memory: no room for the {bytes} bytes of {what}"),
            Self::TooLarge { what, limit: None } => {
                format!("{what} exceeds what a kernel can count")
            }
            Self::TooLarge {
                what,
                limit: Some(limit),
            } => format!("{what} exceeds the largest buffer, {limit} bytes"),
            Self::LoopLimit { what } => format!("{what} is beyond a software adapter"),
            Self::Lost { reason } => format!("the device was lost ({reason})"),
            Self::NoAnswer { reason } => format!("does not answer ({reason})"),
            Self::Failed { what, reason } => format!("{what} failed: {reason}"),
            Self::Threads { threads: 1, reason } => format!("cannot start a thread: {reason}"),
            Self::Threads { threads, reason } => {
                format!("cannot start {threads} threads: {reason}")
            }
        }
    }
}

impl Display for DeviceProblem {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let advice = match self.advice() {
            DeviceAdvice::UpdateDriver => "update its driver, or use the CPU backend",
            DeviceAdvice::LessMemory => "allow less memory, or close other programs",
            DeviceAdvice::SmallerBatches => "use smaller batches",
            DeviceAdvice::UseCpu => "use the CPU backend",
            DeviceAdvice::RunAgain => "try again, or use the CPU backend",
            DeviceAdvice::FewerThreads => "use fewer threads",
            DeviceAdvice::Other(advice) => advice,
            DeviceAdvice::None => return self.summary().fmt(f),
        };
        write!(f, "{}; {advice}", self.summary())
    }
}

impl std::error::Error for DeviceProblem {}
