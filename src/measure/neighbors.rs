//! Nearest neighbours and NNK graphs of plain vectors (docs/definitions.md#nnk): of one array among themselves, or of
//! other vectors among them.

use super::Context;
use super::setters::setters;
use crate::control::Step;
use crate::device::on_backend;
use crate::ops::{Backend, GraphBlock, GraphParams, PointsBlock, Vectors};
use crate::tensor::{ValueType, Values};
use crate::{Error, Result};
use ndarray::{Array2, ArrayView2};
use std::ops::Range;

/// Most queries at a time; fewer where memory is short.
const QUERIES: usize = 1 << 14;
/// Fewest queries at a time.
const FEW: usize = 64;

/// What is searched, and for what.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NeighborsInput<'a> {
    /// `[N, D]` vectors in C order among which neighbours are looked for.
    pub points: ArrayView2<'a, f32>,
    /// `[Q, D]` vectors in C order whose neighbours are looked for; `None`: the points themselves, each without itself.
    pub queries: Option<ArrayView2<'a, f32>>,
}

impl<'a> NeighborsInput<'a> {
    /// The neighbours of every point among the others.
    pub const fn new(points: ArrayView2<'a, f32>) -> Self {
        let queries = None;
        Self { points, queries }
    }

    /// The neighbours of these vectors in place of the points' own.
    #[must_use]
    pub const fn with_queries(mut self, queries: Option<ArrayView2<'a, f32>>) -> Self {
        self.queries = queries;
        self
    }
}

/// Options of [`neighbors`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct NeighborsOptions {
    /// Candidates, kernel, bandwidth, identical points.
    pub graph: GraphParams,
    /// Also the weights of the NNK graph; without them the neighbours are found and no more.
    pub weights: bool,
}

impl Default for NeighborsOptions {
    fn default() -> Self {
        let mut graph = super::RedundancyOptions::default().graph;
        graph.pca_dimension = false;
        let weights = true;
        Self { graph, weights }
    }
}

setters!(NeighborsOptions {
    with_graph(graph: GraphParams),
    with_weights(weights: bool),
});

/// Neighbours of `Q` queries, by (distance, index).
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbors {
    /// `[Q, k]` indices of points, -1 where there are no more.
    pub neighbors: Array2<i32>,
    /// `[Q, k]` squared distances (`2 - 2 cos` under cosine), 0 where there is no neighbour.
    pub sq_distances: Array2<f64>,
    /// The NNK graph, if asked for.
    pub graph: Option<NeighborWeights>,
}

/// The NNK graph of `Q` queries.
#[derive(Clone, Debug, PartialEq)]
pub struct NeighborWeights {
    /// `[Q, k]` raw theta, 0 where unused.
    pub weights: Array2<f32>,
    /// `[Q]` value of the objective, 0 where degenerate.
    pub objective: Vec<f64>,
    /// `[Q]` queries without a usable neighbourhood.
    pub degenerate: Vec<bool>,
    /// Largest KKT violation over all queries.
    pub kkt_residual_max: f32,
}

/// Finds the `k` nearest neighbours of every query, exactly, and the weights of non-negative kernel regression. The same
/// numbers as those of [`super::redundancy()`] for a layer of one channel.
///
/// # Errors
/// [`Error::Argument`] for parameters out of range; [`Error::WrongShape`] for queries of other vectors than the points, and
/// for arrays without values or not in C order; [`Error::NonFinite`]; [`Error::Memory`] where the points do not fit under
/// the cap; [`Error::Cancelled`], and what the device reports.
pub fn neighbors(
    ctx: &Context<'_>,
    input: &NeighborsInput<'_>,
    options: &NeighborsOptions,
) -> Result<Neighbors> {
    super::redundancy::check_params(&options.graph)?;
    let points = Rows::of("points", input.points)?;
    let queries = input.queries.map(|q| Rows::of("queries", q)).transpose()?;
    if let Some(queries) = queries.filter(|q| q.dim != points.dim) {
        let expected = vec!["Q".into(), points.dim.into()];
        return Err(Error::wrong_shape(
            "queries",
            expected,
            &[queries.rows, queries.dim],
        ));
    }
    ctx.run(|| {
        points.check_finite()?;
        queries.map_or(Ok(()), |q| q.check_finite())?;
        on_backend!(ctx.device(), |backend| {
            search(backend, ctx, points, queries, options)
        })
    })
}

/// Vectors in C order.
#[derive(Clone, Copy)]
struct Rows<'a> {
    name: &'static str,
    values: &'a [f32],
    rows: usize,
    dim: usize,
}

impl<'a> Rows<'a> {
    fn of(name: &'static str, array: ArrayView2<'a, f32>) -> Result<Self> {
        let (rows, dim) = array.dim();
        match array.to_slice() {
            Some(values) if !values.is_empty() => Ok(Self {
                name,
                values,
                rows,
                dim,
            }),
            _ => {
                let expected = vec!["N".into(), "D".into()];
                Err(Error::wrong_shape(name, expected, &[rows, dim]))
            }
        }
    }

    fn check_finite(&self) -> Result<()> {
        let bad = self.values.iter().position(|v| !v.is_finite());
        bad.map_or(Ok(()), |at| {
            Err(Error::NonFinite {
                what: format!("values of {}", self.name),
                at: vec![at / self.dim, at % self.dim],
                advice: "leave these vectors out",
            })
        })
    }

    fn block(&self, rows: Range<usize>, first: usize) -> PointsBlock<'a> {
        PointsBlock {
            data: Values::F32(&self.values[rows.start * self.dim..rows.end * self.dim]),
            groups: 1,
            rows: rows.len(),
            dim: self.dim,
            first,
        }
    }
}

/// Queries at a time that fit under the cap beside the points.
fn step<B: Backend>(backend: &B, points: Rows<'_>, k: usize, memory: u64) -> Result<usize> {
    let bytes = |queries: usize| {
        let block = backend.points_bytes(1, queries, points.dim, ValueType::F32);
        let graph = backend.graph_bytes(1, queries, k, points.dim);
        backend.points_bytes(1, points.rows, points.dim, ValueType::F32) + block + graph
    };
    let mut queries = QUERIES;
    while queries > FEW && bytes(queries) > memory {
        queries /= 2;
    }
    match bytes(queries) {
        needed if needed > memory => Err(Error::Memory {
            what: format!("{} vectors of {} values", points.rows, points.dim),
            needed,
            cap: memory,
        }),
        _ => Ok(queries),
    }
}

fn search<B: Backend>(
    backend: &B,
    ctx: &Context<'_>,
    points: Rows<'_>,
    queries: Option<Rows<'_>>,
    options: &NeighborsOptions,
) -> Result<Neighbors> {
    let params = &options.graph;
    let k = params.k;
    let step = step(backend, points, k, ctx.memory())?;
    let total = queries.map_or(points.rows, |q| q.rows);
    let all = backend.points_for(points.block(0..points.rows, 0), params.kernel, total)?;
    let mut found = Collected::default();
    for first in (0..total).step_by(step) {
        ctx.control().check()?;
        let rows = first..(first + step).min(total);
        let mut state = backend.candidates(1, rows.len(), k)?;
        // Indices beyond those of the points: no query is one of them.
        let others = queries.map(|q| {
            let block = q.block(rows.clone(), points.rows + first);
            // Nothing is searched among them.
            backend.points_for(block, params.kernel, 0)
        });
        let others = others.transpose()?;
        let (own, local) = match &others {
            Some(block) => (block, 0..rows.len()),
            None => (&all, rows.clone()),
        };
        backend.knn(own, local.clone(), &all, params, &mut state)?;
        if options.weights {
            let vectors = Vectors::Points(&all);
            found.add(backend.nnk(own, local, &state, vectors, params)?);
        } else {
            let (neighbors, sq_distances) = backend.nearest(own, &state)?;
            found.neighbors.extend(neighbors);
            found.sq_distances.extend(sq_distances);
        }
        ctx.control().report(Step {
            stage: "neighbours",
            done: rows.end as u64,
            total: total as u64,
            unit: "queries",
        });
    }
    found.finish(total, k, options.weights)
}

/// Blocks of queries put together.
#[derive(Default)]
struct Collected {
    neighbors: Vec<i32>,
    sq_distances: Vec<f64>,
    weights: Vec<f32>,
    objective: Vec<f64>,
    degenerate: Vec<bool>,
    kkt_residual_max: f32,
}

impl Collected {
    fn add(&mut self, block: GraphBlock) {
        self.neighbors.extend(block.neighbors);
        self.sq_distances.extend(block.sq_distances);
        self.weights.extend(block.weights);
        self.objective.extend(block.objective);
        self.degenerate.extend(block.degenerate);
        let worst = block.kkt_residual.iter().copied().fold(0.0, f32::max);
        self.kkt_residual_max = self.kkt_residual_max.max(worst);
    }

    fn finish(self, queries: usize, k: usize, weights: bool) -> Result<Neighbors> {
        let graph = weights.then(|| -> Result<_> {
            Ok(NeighborWeights {
                weights: array(queries, k, self.weights)?,
                objective: self.objective,
                degenerate: self.degenerate,
                kkt_residual_max: self.kkt_residual_max,
            })
        });
        Ok(Neighbors {
            neighbors: array(queries, k, self.neighbors)?,
            sq_distances: array(queries, k, self.sq_distances)?,
            graph: graph.transpose()?,
        })
    }
}

fn array<T>(queries: usize, k: usize, values: Vec<T>) -> Result<Array2<T>> {
    let got = values.len();
    Array2::from_shape_vec((queries, k), values).map_err(|_| Error::WrongLength {
        name: "block",
        expected: queries * k,
        got,
    })
}
