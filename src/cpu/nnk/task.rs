//! Queries in tasks, and what is given and wanted of each.

use super::TASK;
use crate::Result;
use crate::cpu::{Candidates, Cpu, Points};
use crate::ops::{GraphBlock, GraphParams, Vectors, VectorsShape, check_nnk};
use std::ops::Range;

/// What all queries share.
pub(super) struct Inputs<'a> {
    pub(super) queries: &'a Points,
    pub(super) rows: Range<usize>,
    pub(super) candidates: &'a Candidates,
    pub(super) vectors: Vectors<'a, Cpu>,
    pub(super) params: &'a GraphParams,
    pub(super) groups: usize,
    pub(super) count: usize,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(
        queries: &'a Points,
        rows: Range<usize>,
        candidates: &'a Candidates,
        vectors: Vectors<'a, Cpu>,
        params: &'a GraphParams,
    ) -> Result<Self> {
        let shape = match vectors {
            Vectors::Points(p) => VectorsShape::Points(p.shape()),
            Vectors::Gathered(t) => VectorsShape::Gathered(t.shape()),
        };
        check_nnk(queries.shape(), &rows, candidates.lists(), shape, params)?;
        let (groups, count) = (queries.groups, rows.len());
        Ok(Self {
            queries,
            rows,
            candidates,
            vectors,
            params,
            groups,
            count,
        })
    }

    /// Group of query `at` of `[groups, Q]`, and its place there.
    #[inline(always)]
    pub(super) fn place(&self, at: usize) -> (usize, usize) {
        (at / self.count, at % self.count)
    }

    /// Vector of candidate `slot` (sample `index`) of a query, `None` if it is not there.
    #[inline(always)]
    pub(super) fn vector(
        &self,
        group: usize,
        query: usize,
        slot: usize,
        index: u32,
    ) -> Option<&'a [f32]> {
        match self.vectors {
            Vectors::Points(p) => {
                let row = (index as usize).checked_sub(p.first)?;
                (row < p.rows).then(|| p.row(group, row))
            }
            Vectors::Gathered(t) => {
                let dim = self.queries.dim;
                let at = ((group * self.count + query) * self.params.k + slot) * dim;
                t.data().get(at..at + dim)
            }
        }
    }
}

/// Results of [`TASK`] queries, the first of them `first` in `[groups, Q]`.
pub(super) struct Task<'a> {
    pub(super) first: usize,
    pub(super) neighbors: &'a mut [i32],
    pub(super) sq_distances: &'a mut [f32],
    pub(super) weights: &'a mut [f32],
    pub(super) objective: &'a mut [f64],
    pub(super) kkt_residual: &'a mut [f32],
    pub(super) pca_dimension: &'a mut [u16],
    pub(super) degenerate: &'a mut [bool],
}

pub(super) fn split(block: &mut GraphBlock, k: usize) -> Vec<Task<'_>> {
    let slots = block
        .neighbors
        .chunks_mut(TASK * k)
        .zip(block.sq_distances.chunks_mut(TASK * k))
        .zip(block.weights.chunks_mut(TASK * k));
    let queries = block
        .objective
        .chunks_mut(TASK)
        .zip(block.kkt_residual.chunks_mut(TASK))
        .zip(block.pca_dimension.chunks_mut(TASK))
        .zip(block.degenerate.chunks_mut(TASK));
    let tasks = slots.zip(queries).enumerate().map(
        |(
            i,
            (
                ((neighbors, sq_distances), weights),
                (((objective, kkt_residual), pca_dimension), degenerate),
            ),
        )| Task {
            first: i * TASK,
            neighbors,
            sq_distances,
            weights,
            objective,
            kkt_residual,
            pca_dimension,
            degenerate,
        },
    );
    tasks.collect()
}
