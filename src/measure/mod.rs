//! A paper's quantity a file. Knows devices and streams, no file format.

pub mod baselines;
pub mod filters;
pub mod impulse;
pub mod redundancy;
pub mod shuffle;
