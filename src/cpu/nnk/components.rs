//! The principal components of the queries' polytopes: the step after the weights are known.

use super::pca::{self, Pca};
use super::source::Source;
use super::task::{Inputs, Task};
use crate::ops::SUPPORT_THRESHOLD;
use crate::simd::{LineF64, Simd, SimdKernel};
use crate::tensor::Values;
use std::ops::Range;

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
        let total = task.pca_dimension.len();
        for first in (0..total).step_by(pca::BATCH) {
            let end = total.min(first + pca::BATCH);
            for (at, polytope) in (first..).zip(polytopes.iter_mut()) {
                if at < end {
                    set_polytope(inputs, polytope, task, at);
                } else {
                    polytope.query = Values::default();
                    polytope.vectors.clear();
                }
            }
            let out = &mut task.pca_dimension[first..end];
            pca.dimensions::<I>(polytopes, inputs.queries.dim, out);
        }
    }
}

/// The kernel: counts the principal components of `queries`, at most [`pca::BATCH`], whose inner products `pca` has taken.
pub(super) struct CountTaken<'a, 's, 't> {
    pub(super) inputs: &'s Inputs<'a>,
    pub(super) polytope: &'s mut Source<'a>,
    pub(super) pca: &'s mut Pca,
    pub(super) task: &'s mut Task<'t>,
    pub(super) queries: Range<usize>,
}

impl SimdKernel for CountTaken<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Simd, const R: usize, const V: usize>(self) {
        let Self {
            inputs,
            polytope,
            pca,
            task,
            queries,
        } = self;
        let found = pca.count_taken::<I>();
        for (l, at) in queries.enumerate() {
            task.pca_dimension[at] = match found.get(l) {
                Some(count) => count,
                None => {
                    set_polytope(inputs, polytope, task, at);
                    pca.count_alone(polytope)
                }
            };
        }
    }
}

/// Hands the inner products between the support points of a query, whose weights are known by now, to `pca`. `used` lists the
/// slots of the candidates whose products are in `lane` of `dots`; the vectors have `dim` numbers.
#[inline(always)]
pub(super) fn take_dots(
    pca: &mut Pca,
    (dots, lane): (&[LineF64], usize),
    used: &[u16],
    weights: &[f32],
    dim: usize,
) {
    let used = used.iter().enumerate();
    let support = used.filter(|(_, slot)| weights[usize::from(**slot)] > SUPPORT_THRESHOLD);
    let support = support.map(|(j, _)| j);
    pca.take(dots, lane, support, dim);
}

/// Makes a query and the vectors of its support a polytope.
#[inline(always)]
fn set_polytope<'a>(inputs: &Inputs<'a>, polytope: &mut Source<'a>, task: &Task<'_>, at: usize) {
    let k = inputs.params.k;
    let (group, query) = inputs.place(task.first + at);
    polytope.query = inputs.queries.row(group, inputs.rows.start + query);
    polytope.vectors.clear();
    let weights = &task.weights[at * k..][..k];
    let slots = weights.iter().zip(&task.neighbors[at * k..]).enumerate();
    for (slot, (&weight, &index)) in slots {
        if weight > SUPPORT_THRESHOLD {
            // A positive weight belongs to a usable candidate, so its vector exists.
            let vector = inputs.vector(group, query, slot, index as u32);
            polytope.vectors.extend(vector);
        }
    }
}
