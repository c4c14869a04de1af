//! The principal components of the queries' polytopes: the step after the weights are known.

use super::pca::{self, Pca};
use super::source::Source;
use super::task::{Inputs, Task};
use crate::ops::SUPPORT_THRESHOLD;
use crate::simd::{Simd, SimdKernel};
use crate::tensor::Values;

/// The kernel: counts the principal components of all queries of `task`, whose weights are known by now.
pub(super) struct Components<'a, 's, 't> {
    pub(super) inputs: &'s Inputs<'a>,
    pub(super) polytopes: &'s mut [Source<'a>; pca::BATCH],
    pub(super) pca: &'s mut Pca,
    pub(super) task: &'s mut Task<'t>,
}

impl SimdKernel for Components<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Simd, const R: usize, const V: usize>(self) {
        let Self {
            inputs,
            polytopes,
            pca,
            task,
        } = self;
        let k = inputs.params.k;
        let batches = task.pca_dimension.chunks_mut(pca::BATCH);
        for (first, out) in (0..).step_by(pca::BATCH).zip(batches) {
            for (at, polytope) in (first..).zip(polytopes.iter_mut()) {
                polytope.query = Values::default();
                polytope.vectors.clear();
                if at < first + out.len() {
                    let (group, query) = inputs.place(task.first + at);
                    polytope.query = inputs.queries.row(group, inputs.rows.start + query);
                    let slots = task.weights[at * k..][..k]
                        .iter()
                        .zip(&task.neighbors[at * k..]);
                    for (slot, (_, &index)) in slots
                        .enumerate()
                        .filter(|(_, (w, _))| **w > SUPPORT_THRESHOLD)
                    {
                        // A positive weight belongs to a usable candidate, so its vector exists.
                        polytope
                            .vectors
                            .extend(inputs.vector(group, query, slot, index as u32));
                    }
                }
            }
            pca.dimensions::<I>(polytopes, inputs.queries.dim, out);
        }
    }
}
