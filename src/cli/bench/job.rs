//! What a job of the benchmark is, and the numbers that jobs run on.

use chanscope::Result;
use serde_json::Value;

/// One kernel at one shape, and the least it has to do: operations in whatever precision, and bytes that
/// must be read and written at least once.
pub struct Job {
    pub kernel: &'static str,
    pub shape: String,
    /// The shape by its parts, for whoever repeats the job with another library.
    pub sizes: Value,
    pub flops: u64,
    /// Operations run on matrices of f16 numbers where the device has them.
    pub half: bool,
    pub bytes: u64,
    /// What a user counts, and its name.
    pub items: u64,
    pub unit: &'static str,
}

/// What happens at each job.
pub trait Visit {
    /// Whether to prepare jobs of this kernel.
    fn wants(&self, kernel: &str) -> bool;
    /// `run` does the job once, to the end.
    fn job(&mut self, job: Job, run: &mut dyn FnMut() -> Result<()>) -> Result<()>;
}

/// Values in `[-1, 1)`, always the same.
pub fn noise(len: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(next).collect()
}

/// `[rows, dim]` around ten centres, as samples of ten classes would be.
pub fn clusters(rows: usize, dim: usize) -> Vec<f32> {
    let values = noise((rows + 10) * dim);
    let (centres, rest) = values.split_at(10 * dim);
    let around = |(i, x): (usize, &f32)| {
        let (row, t) = (i / dim, i % dim);
        x + 0.7 * centres[row * 7 % 10 * dim + t]
    };
    rest.iter().enumerate().map(around).collect()
}
