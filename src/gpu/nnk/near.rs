//! Queries that the device leaves to the host: those of whose vectors it does not resolve the kernel, and those that have
//! to tell equal candidates apart.
//!
//! After a pass the vectors of such queries and of their candidates are brought to the host, those of many queries in one
//! copy, and solved there by the solver that the CPU backend uses too ([`crate::ops::near`]). A pass without such queries
//! costs nothing more.

use super::Source;
use super::kernels::{NEAR_BYTES, NnkParams, per_near};
use super::pass::Solve;
use crate::Result;
use crate::gpu::context::Context;
use crate::gpu::guard::halve;
use crate::gpu::knn;
use crate::gpu::memory::{Buffer, Kind, tile};
use crate::gpu::record::Recorder;
use crate::gpu::wide::Wide;
use crate::ops::near::{Near, RANGE, settle};
use crate::ops::{
    Components, GraphBlock, GraphParams, Identical, Kernel, SUPPORT_THRESHOLD, Source as Problem,
};
use crate::tensor::Values;
use rayon::prelude::*;
use std::ops::Range;

/// The parameters of the shader that say which vectors are near, and which are equal.
///
/// A wide number of two float32 has seven bits less than float64, so vectors are near from a distance on that is as much
/// larger. Under the cosine kernel its rounding errors also hide which vectors are equal, and all of them count as near.
/// The Gaussian kernel is exactly 1 for copies, whatever the arithmetic, and everything else may count as near.
pub(super) fn limits(wide: Wide, kernel: Kernel) -> NnkParams {
    let near = match wide {
        Wide::Float64 => RANGE.end,
        Wide::DoubleFloat => 128.0 * RANGE.end,
    };
    let equal = match (kernel, wide) {
        (Kernel::Gaussian, _) => f64::from(f32::MIN_POSITIVE),
        (Kernel::Cosine, Wide::Float64) => RANGE.start,
        (Kernel::Cosine, Wide::DoubleFloat) => -1.0,
    };
    NnkParams {
        near: near as f32,
        equal: equal as f32,
        ..NnkParams::default()
    }
}

/// A query that is left to the host.
struct Left {
    /// Its number among all queries.
    list: usize,
    /// The slots of the candidates that it uses.
    slots: Range<usize>,
    /// Where the vectors of these candidates begin, counted in vectors.
    at: usize,
}

/// Vectors on the host.
struct Fetched {
    /// `[vectors, dim]` of all candidates of some queries.
    vectors: Vec<f32>,
    /// `[queries, dim]`.
    queries: Vec<f32>,
}

/// What is found for a query.
struct Found {
    weights: Vec<f32>,
    objective: f64,
    residual: f32,
    dimension: u16,
    not_unique: bool,
}

/// Working memory of a thread.
#[derive(Default)]
struct Scratch {
    near: Near,
    weights: Vec<f64>,
    components: Components,
}

impl Solve<'_> {
    /// Solves the queries `lists` on the host. `block` holds their candidates, and gets the rest.
    pub(super) fn solve_near(&self, lists: &[usize], block: &mut GraphBlock) -> Result<()> {
        let (k, dim) = (self.candidates.k, self.queries.dim);
        let mut step = tile(lists.len(), per_near(k, dim), NEAR_BYTES);
        let mut first = 0;
        while first < lists.len() {
            let part = &lists[first..lists.len().min(first + step)];
            let left = choose(part, self.graph, block);
            let fetched = match self.fetch(&left, block) {
                Ok(fetched) => fetched,
                Err(e) => {
                    halve(&mut step, e)?;
                    continue;
                }
            };
            let work = left.par_iter().enumerate();
            let found: Vec<Found> = work
                .map_init(Scratch::default, |scratch, (i, query)| {
                    self.solve_one(scratch, query, i, &fetched, block)
                })
                .collect();
            for (query, found) in left.iter().zip(found) {
                let weights = &mut block.weights[query.list * k..][..k];
                weights.fill(0.0);
                weights[query.slots.clone()].copy_from_slice(&found.weights);
                block.objective[query.list] = found.objective;
                block.kkt_residual[query.list] = found.residual;
                block.pca_dimension[query.list] = found.dimension;
                block.not_unique[query.list] = found.not_unique;
            }
            first += part.len();
        }
        Ok(())
    }

    /// Solves query `i` of those that are fetched.
    fn solve_one(
        &self,
        scratch: &mut Scratch,
        left: &Left,
        i: usize,
        fetched: &Fetched,
        block: &GraphBlock,
    ) -> Found {
        let (k, dim) = (self.candidates.k, self.queries.dim);
        let Scratch {
            near,
            weights,
            components,
        } = scratch;
        let vector = |at: usize| Values::F32(&fetched.vectors[at * dim..][..dim]);
        let first = left.list * k;
        let last = block.sq_distances[first + left.slots.end - 1];
        // Vectors that the device holds times a power of two are read so.
        let group = left.list / self.candidates.queries;
        let lift = self.queries.scale(group) / f64::from(self.queries.scales[group]);
        let gamma = self.graph.gamma(last).unwrap_or(0.0) / (lift * lift);
        let mut problem = Problem {
            query: Values::F32(&fetched.queries[i * dim..][..dim]),
            vectors: (left.at..).take(left.slots.len()).map(vector).collect(),
            gamma,
        };
        let optimum = near.solve(&problem, self.kernel);
        weights.clear();
        weights.extend(near.weights());
        let index = |j: usize| block.neighbors[first + left.slots.start + j] as u32;
        let threshold = f64::from(SUPPORT_THRESHOLD);
        let equal = |i: usize, j: usize| near.equal(i, j);
        let not_unique = settle(weights, equal, &problem, index, threshold);
        let weights: Vec<f32> = weights.iter().map(|&weight| weight as f32).collect();
        let mut dimension = 0;
        if self.graph.pca_dimension {
            let mut weight = weights.iter();
            (problem.vectors).retain(|_| weight.next().is_some_and(|w| *w > SUPPORT_THRESHOLD));
            if !problem.vectors.is_empty() {
                dimension = components.dimension(&problem);
            }
        }
        Found {
            weights,
            objective: optimum.objective,
            residual: optimum.residual as f32,
            dimension,
            not_unique,
        }
    }

    /// Brings the vectors of some queries and of their candidates to the host.
    fn fetch(&self, left: &[Left], block: &GraphBlock) -> Result<Fetched> {
        let (context, params, k) = (self.context, &self.params, self.candidates.k);
        let place = |list: usize| {
            (
                list / self.candidates.queries,
                list % self.candidates.queries,
            )
        };
        let rows = left.iter().map(|query| {
            let (group, own) = place(query.list);
            group * self.queries.rows + params.query_first as usize + own
        });
        let queries = self.rows_of(
            &self.queries.raw,
            self.queries.groups * self.queries.rows,
            rows,
        )?;
        let vectors = match &self.source {
            Source::Points(points) => {
                let rows = left.iter().flat_map(|query| {
                    let group = place(query.list).0;
                    let slots = &block.neighbors[query.list * k..][query.slots.clone()];
                    (slots.iter()).map(move |&i| group * points.rows + i as usize - points.first)
                });
                self.rows_of(&points.raw, points.groups * points.rows, rows)?
            }
            Source::Gathered(tensor) => self.gathered(context, &tensor.buffer, left)?,
        };
        Ok(Fetched { vectors, queries })
    }

    /// Some rows of a buffer of `all` rows, on the host.
    fn rows_of(
        &self,
        from: &Buffer,
        all: usize,
        rows: impl Iterator<Item = usize>,
    ) -> Result<Vec<f32>> {
        let rows: Vec<usize> = rows.collect();
        knn::fetch(self.context, from, [all, self.queries.dim], &rows)
    }

    /// The vectors of candidates that are gathered already.
    fn gathered(&self, context: &Context, from: &Buffer, left: &[Left]) -> Result<Vec<f32>> {
        let (k, row) = (self.candidates.k, self.queries.dim as u64 * 4);
        let count: usize = left.iter().map(|query| query.slots.len()).sum();
        let into = context.pool.get(Kind::Storage, count as u64 * row)?;
        let mut recorder = Recorder::new(context);
        for query in left {
            let first = (query.list * k + query.slots.start) as u64;
            let (from, to) = ((&**from, first * row), (&*into, query.at as u64 * row));
            recorder.copy_to(from, to, query.slots.len() as u64 * row);
        }
        recorder.submit()?;
        context.read(&into, count * self.queries.dim)
    }
}

/// Which candidates the queries use, as `nnk_prepare` chooses them.
fn choose(lists: &[usize], params: &GraphParams, block: &GraphBlock) -> Vec<Left> {
    let k = params.k;
    let mut at = 0;
    let choose = |&list: &usize| {
        let slots = list * k..(list + 1) * k;
        let listed = block.neighbors[slots.clone()].iter();
        let length = listed.take_while(|&&i| i >= 0).count();
        let distances = block.sq_distances[slots][..length].iter();
        let identical = distances.take_while(|&&distance| distance <= 0.0).count();
        let skip = match params.identical {
            Identical::Drop if identical < length => identical,
            _ => 0,
        };
        let first = at;
        at += length - skip;
        Left {
            list,
            slots: skip..length,
            at: first,
        }
    };
    lists.iter().map(choose).collect()
}
