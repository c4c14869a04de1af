//! Exact k nearest neighbours.

use super::Tensor;
use crate::Result;
use crate::device::{GraphParams, Kernel, PointsBlock};
use std::ops::Range;

/// Rows of a few channels prepared for neighbour search.
pub struct Points {
    /// Channels.
    pub(super) groups: usize,
    /// Samples in this block.
    pub(super) rows: usize,
    /// Numbers per sample and channel.
    pub(super) dim: usize,
    /// Index of the first sample among all.
    pub(super) first: usize,
    /// `[groups, rows, dim]` as read.
    raw: Vec<f32>,
}

impl Points {
    pub(super) fn new(block: PointsBlock<'_>, _kernel: Kernel) -> Result<Self> {
        Ok(Self {
            groups: block.groups,
            rows: block.rows,
            dim: block.dim,
            first: block.first,
            raw: block.data.to_vec(),
        })
    }

    /// The values of one sample in one group, as read.
    pub(super) fn row(&self, group: usize, row: usize) -> &[f32] {
        let start = (group * self.rows + row) * self.dim;
        &self.raw[start..start + self.dim]
    }
}

/// One candidate: exact (float64) squared distance, then index, is the order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Squared distance, `2 - 2 cos` under cosine; never negative.
    pub sq_distance: f64,
    /// Sample index.
    pub index: u32,
}

/// Running k nearest of a block of queries.
pub struct Candidates {
    queries: usize,
    lists: Vec<Vec<Candidate>>,
}

impl Candidates {
    pub(super) fn new(groups: usize, queries: usize, _k: usize) -> Self {
        Self {
            queries,
            lists: vec![Vec::new(); groups * queries],
        }
    }

    /// Candidates of one query, in order.
    pub(super) fn list(&self, group: usize, query: usize) -> &[Candidate] {
        &self.lists[group * self.queries + query]
    }
}

pub(super) fn points_bytes(_groups: usize, _rows: usize, _dim: usize) -> u64 {
    0
}

pub(super) fn state_bytes(_groups: usize, _queries: usize, _k: usize) -> u64 {
    0
}

pub(super) fn search(
    _queries: &Points,
    _rows: Range<usize>,
    _points: &Points,
    _params: &GraphParams,
    _state: &mut Candidates,
) -> Result<()> {
    Err(crate::Error::Usage("not built yet".into()))
}

pub(super) fn gather(_points: &Points, _candidates: &Candidates, _into: &mut Tensor) -> Result<()> {
    Err(crate::Error::Usage("not built yet".into()))
}
