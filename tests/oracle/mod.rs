//! Plain float64 loops written from docs/definitions.md, for reading. Shares no code with `src/`.

#![allow(clippy::needless_range_loop)]
// Indices as in the formulas.
pub mod ablate;
pub mod baselines;
pub mod between;
pub mod conv2d;
pub mod correlate;
pub mod filters;
pub mod gram;
pub mod knn;
pub mod linkage;
pub mod minimize;
pub mod near;
pub mod net;
pub mod nnk;
pub mod overlap;
pub mod pca;
pub mod rank;
pub mod reduce;
pub mod redundancy;
pub mod winograd;
