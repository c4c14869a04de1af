//! Tasks: the inputs that all queries share, and the parts of the results that one task fills.

use crate::Result;
use crate::cpu::{Candidates, Cpu, Points};
use crate::ops::{GraphBlock, GraphParams, Vectors, VectorsShape, check_nnk};
use crate::tensor::Values;
use std::ops::Range;

/// The inputs that all queries share. The queries are numbered through all groups, `[groups, count]`.
pub(super) struct Inputs<'a> {
    pub(super) queries: &'a Points,
    /// The rows of `queries` that are solved, in every group.
    pub(super) rows: Range<usize>,
    pub(super) candidates: &'a Candidates,
    /// Where the candidates' vectors are.
    pub(super) vectors: Vectors<'a, Cpu>,
    pub(super) params: &'a GraphParams,
    pub(super) groups: usize,
    /// Queries per group: the length of `rows`.
    pub(super) count: usize,
}

impl<'a> Inputs<'a> {
    /// Checks that the shapes agree.
    ///
    /// # Errors
    /// Those of [`check_nnk`].
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

    /// The group of query number `at` of `[groups, count]`, and its number in that group.
    #[inline(always)]
    pub(super) fn place(&self, at: usize) -> (usize, usize) {
        (at / self.count, at % self.count)
    }

    /// The vector of the candidate in `slot` of a query's list, which is sample `index`; `None` if it is not
    /// among the vectors given.
    #[inline(always)]
    pub(super) fn vector(
        &self,
        group: usize,
        query: usize,
        slot: usize,
        index: u32,
    ) -> Option<Values<'a>> {
        match self.vectors {
            Vectors::Points(p) => {
                let row = (index as usize).checked_sub(p.first)?;
                (row < p.rows).then(|| p.row(group, row))
            }
            Vectors::Gathered(t) => t.vector((group * self.count + query) * self.params.k + slot),
        }
    }
}

/// The results of some consecutive queries. The first has number `first` in `[groups, count]`.
pub(super) struct Task<'a> {
    pub(super) first: usize,
    pub(super) neighbors: &'a mut [i32],
    pub(super) sq_distances: &'a mut [f64],
    pub(super) weights: &'a mut [f32],
    pub(super) objective: &'a mut [f64],
    pub(super) kkt_residual: &'a mut [f32],
    pub(super) pca_dimension: &'a mut [u16],
    pub(super) degenerate: &'a mut [bool],
    pub(super) not_unique: &'a mut [bool],
}

/// Cuts the results into tasks of `size` queries, in order.
pub(super) fn split(block: &mut GraphBlock, k: usize, size: usize) -> Vec<Task<'_>> {
    let slots = block
        .neighbors
        .chunks_mut(size * k)
        .zip(block.sq_distances.chunks_mut(size * k))
        .zip(block.weights.chunks_mut(size * k));
    let queries = block
        .objective
        .chunks_mut(size)
        .zip(block.kkt_residual.chunks_mut(size))
        .zip(block.pca_dimension.chunks_mut(size))
        .zip(block.degenerate.chunks_mut(size))
        .zip(block.not_unique.chunks_mut(size));
    let tasks = slots.zip(queries).enumerate().map(
        |(
            i,
            (
                ((neighbors, sq_distances), weights),
                ((((objective, kkt_residual), pca_dimension), degenerate), not_unique),
            ),
        )| Task {
            first: i * size,
            neighbors,
            sq_distances,
            weights,
            objective,
            kkt_residual,
            pca_dimension,
            degenerate,
            not_unique,
        },
    );
    tasks.collect()
}
