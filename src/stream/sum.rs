//! Sums whose result does not depend on the order of the terms.
//!
//! Blocks of queries finish in whatever order threads and the memory cap dictate; adding their
//! floating-point results would make the last bits depend on it. A fixed-point integer does not.

/// Order-independent sum and count of values of moderate size (`|x| < 2^40`), resolution `2^-60`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FixedSum {
    sum: i128,
    count: u64,
}

/// 2^60: leaves 68 bits for the integer part, sums of 2^27 terms below 2^40.
const SCALE: f64 = (1u64 << 60) as f64;

impl FixedSum {
    /// Adds one term. Terms must be finite; callers exclude degenerate values before.
    pub fn add(&mut self, x: f64) {
        debug_assert!(x.is_finite(), "non-finite term in a mean");
        self.sum += (x * SCALE) as i128;
        self.count += 1;
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.count += other.count;
    }

    /// Number of terms.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The sum.
    pub fn sum(&self) -> f64 {
        self.sum as f64 / SCALE
    }

    /// The mean, or `None` without terms.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum() / self.count as f64)
    }
}
