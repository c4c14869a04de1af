//! Exact non-negative kernel regression.

use super::{Candidates, Cpu, Points};
use crate::Result;
use crate::device::{GraphBlock, GraphParams, Vectors};
use std::ops::Range;

pub(super) fn scratch_bytes(_threads: usize, _k: usize, _dim: usize) -> u64 {
    0
}

pub(super) fn solve(
    _queries: &Points,
    _rows: Range<usize>,
    _candidates: &Candidates,
    _vectors: Vectors<'_, Cpu>,
    _params: &GraphParams,
) -> Result<GraphBlock> {
    Err(crate::Error::Usage("not built yet".into()))
}
