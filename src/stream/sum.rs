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

    /// Whether this can be the sum of at most so many terms. Sums that were read from a file may be anything.
    pub fn is_of(&self, most: u64) -> bool {
        let largest = u128::from(self.count).saturating_mul(1 << 100);
        self.count <= most && self.sum.unsigned_abs() <= largest
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

/// Order-independent sum, sum of squares and count of values of moderate size (`|x| < 2^30`): a mean, and how far the terms
/// scatter about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FixedMoments {
    sum: FixedSum,
    /// Sums of the terms and of their squares, rounded towards 0 to multiples of 2^-32 before.
    coarse: i128,
    squares: u128,
}

/// 2^32: terms below 2^30 have 62 bits.
const COARSE: f64 = (1u64 << 32) as f64;

impl FixedMoments {
    /// Adds one term, which must be finite.
    pub fn add(&mut self, x: f64) {
        self.sum.add(x);
        let coarse = (x * COARSE) as i64;
        self.coarse += i128::from(coarse);
        let square = u128::from(coarse.unsigned_abs()).pow(2);
        self.squares = self.squares.wrapping_add(square);
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        self.sum.merge(&other.sum);
        self.coarse += other.coarse;
        self.squares = self.squares.wrapping_add(other.squares);
    }

    /// As [`FixedSum::is_of`].
    pub fn is_of(&self, most: u64) -> bool {
        let largest = u128::from(self.count()) << 62;
        self.sum.is_of(most) && self.coarse.unsigned_abs() <= largest
    }

    /// Number of terms.
    pub const fn count(&self) -> u64 {
        self.sum.count()
    }

    /// The mean, or `None` without terms.
    pub fn mean(&self) -> Option<f64> {
        self.sum.mean()
    }

    /// Sum of the squared differences of the terms from their mean.
    pub fn squared_deviations(&self) -> f64 {
        let n = i128::from(self.count());
        if n == 0 {
            return 0.0;
        }
        // About the whole number next below the mean. The parts may exceed 128 bits where their sum does not, and what
        // wraps around cancels with them.
        let about = self.coarse.div_euclid(n);
        let rest = self.coarse - n * about;
        let cross = about.wrapping_mul(self.coarse).wrapping_mul(2);
        let own = n.wrapping_mul(about.wrapping_mul(about));
        let squares = (self.squares as i128).wrapping_sub(cross).wrapping_add(own) as u128;
        (squares as f64 - (rest as f64).powi(2) / n as f64).max(0.0) / COARSE / COARSE
    }
}
