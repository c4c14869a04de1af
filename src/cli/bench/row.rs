//! What was measured: one row a job, and the ceilings of the device.

use super::job::Job;

/// What one kernel took at one shape.
pub struct Row {
    pub job: Job,
    /// Median of the whole call, seconds.
    pub seconds: f64,
    /// Device time of its kernels, seconds, where there are timestamps.
    pub device_seconds: Option<f64>,
}

impl Row {
    /// Seconds to judge by: the device's where they are known.
    pub fn best(&self) -> f64 {
        self.device_seconds.unwrap_or(self.seconds)
    }

    /// The larger of the shares of both ceilings.
    pub fn share(&self, limits: &Limits) -> f64 {
        let ceiling = match self.job.half {
            true => limits.half_flops.unwrap_or(limits.flops),
            false => limits.flops,
        };
        let flops = self.job.flops as f64 / self.best() / ceiling;
        flops.max(self.job.bytes as f64 / self.best() / limits.bytes)
    }
}

/// What the device can do at most, per second.
pub struct Limits {
    pub flops: f64,
    /// On matrices of f16 numbers, where there are such.
    pub half_flops: Option<f64>,
    pub bytes: f64,
}
