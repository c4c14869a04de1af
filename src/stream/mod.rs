//! From blocks of rows to results: what is read when, and how partial results add up.
//!
//! - [`plan`]: from a job and a memory cap to block sizes, and how often that reads the file
//! - [`run`]: reads one block ahead of the work
//! - [`repack`]: a copy of a layer by channels, for plans that would read the file too often in small parts
//! - [`sum`]: sums that do not depend on the order of their terms

pub mod plan;
pub mod repack;
pub mod run;
pub mod sum;
