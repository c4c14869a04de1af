//! What tests and benchmarks need and users do not; above all tests of private functions that depend on the instruction set.
//!
//! `tests/instruction_sets` runs each of them once for every set and reports those of missing sets as ignored. The
//! standard harness cannot do that, because a set is detected only when the tests run. Tests in that folder, in turn,
//! cannot reach private functions. So these tests stay beside what they test, in modules that the feature `internals`
//! compiles, and this module lists them.

pub use crate::cpu::internals::{COARSE, PCA, PRODUCTS, TREE};
/// The kernels as WGSL, for `benches/shader_stats`.
pub use crate::gpu::listing::{Source, sources};
pub use crate::simd::tests::SIMD;
/// For `tests/fuzz`.
pub use crate::units::signed_plan;

use crate::simd::InstructionSet;

/// Tests with their names. Each runs once for every instruction set.
pub type OnEachSet = &'static [(&'static str, fn(InstructionSet))];

/// Lists functions with their names.
macro_rules! tests {
    ($($test:path),* $(,)?) => { &[$((stringify!($test), $test)),*] };
}
pub(crate) use tests;
