//! From blocks of rows to results: what is read when, and how partial results add up.

pub mod plan;
pub mod run;
pub mod sum;
