//! Plain float64 loops written from the definitions, for reading. Shares no code with `src/`.

pub mod gram;
pub mod knn;
pub mod net;
