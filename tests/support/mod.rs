//! What several test modules share.

pub mod cli;
pub mod digits;
pub mod exact;
pub mod filters;
pub mod functions;
pub mod halves;
pub mod misuse;
pub mod model;
pub mod runs;
pub mod scale;

/// Deterministic values in `[-1, 1)`.
pub fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}
