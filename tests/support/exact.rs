//! Whether graphs of real activations are exact: candidates, weights and supports against the oracles.

use super::digits::Activations;
use crate::oracle::{knn, nnk};
use chanscope::ops::{
    Backend, GraphParams, Identical, Kernel, PointsBlock, SUPPORT_THRESHOLD, Sigma, Vectors,
};
use chanscope::tensor::Values;
use std::ops::Range;

/// What was found in how many queries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Not degenerate.
    pub solved: usize,
    /// Of those, with a single optimal support, by a margin.
    pub unique: usize,
    /// Of those, with another support than the optimal one.
    pub mismatched: usize,
    /// Largest relative gap of the objective, as reported and of the weights as stored.
    pub gap: f64,
    pub gap_of_weights: f64,
}

/// Measures the graphs of the samples `rows` in every channel. Candidates must be the oracle's.
pub fn measure<B: Backend>(
    backend: &B,
    data: &Activations,
    rows: Range<usize>,
    kernel: Kernel,
    k: usize,
) -> Tally {
    let params = GraphParams {
        k,
        kernel,
        sigma: Sigma::KthThird,
        identical: Identical::Keep,
        pca_dimension: true,
    };
    let block = PointsBlock {
        data: Values::F32(&data.x),
        groups: data.channels,
        rows: data.samples,
        dim: data.dim,
        first: 0,
    };
    let points = backend.points(block, kernel).unwrap();
    let mut found = backend.candidates(data.channels, rows.len(), k).unwrap();
    backend
        .knn(&points, rows.clone(), &points, &params, &mut found)
        .unwrap();
    let vectors = Vectors::Points(&points);
    let graph = backend
        .nnk(&points, rows.clone(), &found, vectors, &params)
        .unwrap();
    let mut tally = Tally::default();
    for c in 0..data.channels {
        let x = data.channel(c);
        for (at, query) in rows.clone().enumerate() {
            let q = c * rows.len() + at;
            let slots = q * k..(q + 1) * k;
            let problem = Problem {
                x,
                dim: data.dim,
                query,
                kernel,
                neighbors: &graph.neighbors[slots.clone()],
                weights: &graph.weights[slots],
            };
            problem.candidates_are_exact();
            match problem.kernel() {
                Some(kind) => problem.compare(kind, graph.objective[q], &mut tally),
                None => assert!(graph.degenerate[q], "channel {c}, query {query}"),
            }
        }
    }
    tally
}

/// One query and what was found for it.
struct Problem<'a> {
    x: &'a [f32],
    dim: usize,
    query: usize,
    kernel: Kernel,
    neighbors: &'a [i32],
    weights: &'a [f32],
}

impl Problem<'_> {
    fn row(&self, i: usize) -> &[f32] {
        &self.x[i * self.dim..][..self.dim]
    }

    /// The k nearest, in order. Under cosine the oracle's own rounding decides between neighbours whose
    /// distances agree to 1e-13.
    fn candidates_are_exact(&self) {
        let all = knn::neighbors(self.x, self.dim, self.query, self.kernel, Identical::Keep);
        let found = self.neighbors.iter().filter(|&&j| j >= 0).count();
        assert_eq!(found, all.len().min(self.neighbors.len()));
        for (&j, &(d, expected)) in self.neighbors.iter().zip(&all) {
            let j = j as usize;
            if j != expected {
                let own = knn::distance(self.row(self.query), self.row(j), self.kernel);
                let tied = self.kernel == Kernel::Cosine
                    && own.is_some_and(|own| (own - d).abs() <= 1e-13);
                assert!(tied, "query {}: {j} instead of {expected}", self.query);
            }
        }
    }

    /// The oracle's kernel, `None` for a degenerate query.
    fn kernel(&self) -> Option<nnk::Kernel> {
        let own = self.row(self.query);
        let last = self.neighbors.iter().rev().find(|&&j| j >= 0)?;
        match self.kernel {
            Kernel::Cosine => own.iter().any(|&v| v != 0.0).then_some(nnk::Kernel::Cosine),
            Kernel::Gaussian => {
                let d = nnk::sq_distance(self.row(*last as usize), own).sqrt();
                (d > 0.0).then_some(nnk::Kernel::Gaussian(d / 3.0))
            }
        }
    }

    fn compare(&self, kind: nnk::Kernel, objective: f64, tally: &mut Tally) {
        // Equal points share their weight in any way; together they are one point.
        let mut vectors: Vec<&[f32]> = Vec::new();
        let mut theta: Vec<f64> = Vec::new();
        for (&j, &w) in self.neighbors.iter().zip(self.weights) {
            if j < 0 {
                continue;
            }
            let vector = self.row(j as usize);
            match vectors.iter().position(|v| *v == vector) {
                Some(at) => theta[at] += f64::from(w),
                None => {
                    vectors.push(vector);
                    theta.push(f64::from(w));
                }
            }
        }
        let (gram, b) = nnk::problem(kind, self.row(self.query), &vectors);
        let best = nnk::lawson_hanson(&gram, &b);
        let gap = |found: f64| (found - best.objective).abs() / best.objective.abs();
        tally.gap = tally.gap.max(gap(objective));
        let stored = gap(nnk::objective(&gram, &b, &theta));
        tally.gap_of_weights = tally.gap_of_weights.max(stored);
        tally.solved += 1;
        if best.unique {
            tally.unique += 1;
            let differs = |(&t, &w): (&f64, &f64)| (t > 1e-6) != (w > f64::from(SUPPORT_THRESHOLD));
            tally.mismatched += usize::from(best.theta.iter().zip(&theta).any(differs));
        }
    }
}
