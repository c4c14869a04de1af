//! Where the graphs themselves go, for those who want them.

use super::SupportSource;
use crate::Result;
use crate::io::supports::SupportShape;
use crate::ops::SUPPORT_THRESHOLD;
use ndarray::{Array2, Array3, ArrayView2, ArrayViewMut1, s};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whose graph a block belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Position in the selection of channels.
    Channel(usize),
    /// All selected channels as one vector per sample.
    Aggregate,
}

/// Graph rows of consecutive queries in one space. `Q` queries, `k` slots.
#[derive(Clone, Copy, Debug)]
pub struct GraphRows<'a> {
    /// First query.
    pub first_query: usize,
    /// Slots per query.
    pub k: usize,
    /// `[Q, k]` sample indices by (distance, index), -1 where there is none. Indices are those of the layer as it was
    /// given; queries count the samples that were not left out, or where queries were drawn, those.
    pub neighbors: &'a [i32],
    /// `[Q, k]` squared distances (`2 - 2 cos` under cosine), 0 where there is none.
    pub sq_distances: &'a [f64],
    /// `[Q, k]` raw theta.
    pub weights: &'a [f32],
    /// `[Q]` objective.
    pub objective: &'a [f64],
    /// `[Q]` degenerate queries.
    pub degenerate: &'a [bool],
}

/// How much a sink is going to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphShape {
    /// Selected channels.
    pub channels: usize,
    /// Queries in each: the samples that were not skipped, or those of them that were drawn.
    pub queries: usize,
    /// Slots per query.
    pub k: usize,
    /// Whether the aggregate comes too.
    pub aggregate: bool,
}

/// Receives graphs block by block, each query of each space once, from several threads in any order.
pub trait GraphSink: Sync {
    /// Announces a layer, before its first block. Layers come one after another.
    ///
    /// # Errors
    /// Whatever the sink runs into; the run stops with it.
    fn begin(&self, layer: &str, shape: GraphShape) -> Result<()>;
    /// Takes the rows of one block of the layer that was announced last.
    ///
    /// # Errors
    /// Whatever the sink runs into; the run stops with it.
    fn put(&self, space: Space, rows: GraphRows<'_>) -> Result<()>;
    /// Says that the layer has no more blocks.
    ///
    /// # Errors
    /// Whatever the sink runs into; the run stops with it.
    fn end(&self) -> Result<()>;
}

/// The supports of a layer that was measured.
#[derive(Clone, Copy)]
pub struct LayerSupports<'a> {
    /// Layer.
    pub layer: &'a str,
    /// Their sizes.
    pub shape: SupportShape,
    /// The samples that were measured, by their indices in the layer as it was given, where some were left out. Members in
    /// `source` count these.
    pub kept: Option<&'a [usize]>,
    /// Supports of any range of queries.
    pub source: &'a dyn SupportSource,
    /// Bytes that may be used to pass them on.
    pub memory: u64,
}

/// Receives the supports of every layer, once all of its graphs are computed.
pub trait SupportSink: Sync {
    /// Takes the supports of a layer.
    ///
    /// # Errors
    /// Whatever the sink runs into; the run stops with it.
    fn take(&self, supports: &LayerSupports<'_>) -> Result<()>;
}

/// Graphs kept in memory.
#[derive(Debug, Default)]
pub struct GraphArrays {
    layers: Mutex<Vec<LayerGraphs>>,
}

/// The graphs of one layer.
#[derive(Clone, Debug, Default)]
pub struct LayerGraphs {
    /// Layer.
    pub name: String,
    /// Graphs of the selected channels.
    pub channels: Arrays,
    /// The graph of all of them as one vector per sample; no spaces unless it was asked for.
    pub aggregate: Arrays,
}

/// The arrays themselves. `C` spaces, `N` queries, `k` slots. Where queries were drawn, `N` counts them.
#[derive(Clone, Debug, Default)]
pub struct Arrays {
    /// `[C, N, k]` sample indices, -1 where there is none.
    pub neighbors: Array3<i32>,
    /// `[C, N, k]` squared distances.
    pub sq_distances: Array3<f64>,
    /// `[C, N, k]` raw theta.
    pub weights: Array3<f32>,
    /// `[C, N]` objective.
    pub objective: Array2<f64>,
    /// `[C, N]` degenerate queries.
    pub degenerate: Array2<bool>,
}

impl Arrays {
    fn new(spaces: usize, queries: usize, k: usize) -> Self {
        let shape = (spaces, queries, k);
        Self {
            neighbors: Array3::from_elem(shape, -1),
            sq_distances: Array3::zeros(shape),
            weights: Array3::zeros(shape),
            objective: Array2::zeros((spaces, queries)),
            degenerate: Array2::from_elem((spaces, queries), false),
        }
    }

    fn put(&mut self, space: usize, rows: &GraphRows<'_>) {
        for (i, &degenerate) in rows.degenerate.iter().enumerate() {
            let (query, slots) = (rows.first_query + i, i * rows.k..(i + 1) * rows.k);
            fill(
                self.neighbors.slice_mut(s![space, query, ..]),
                &rows.neighbors[slots.clone()],
            );
            fill(
                self.sq_distances.slice_mut(s![space, query, ..]),
                &rows.sq_distances[slots.clone()],
            );
            fill(
                self.weights.slice_mut(s![space, query, ..]),
                &rows.weights[slots],
            );
            self.objective[[space, query]] = rows.objective[i];
            self.degenerate[[space, query]] = degenerate;
        }
    }
}

fn fill<T: Copy>(mut row: ArrayViewMut1<'_, T>, values: &[T]) {
    row.iter_mut().zip(values).for_each(|(slot, &v)| *slot = v);
}

impl GraphArrays {
    /// The arrays of every layer, in the order in which they were measured.
    pub fn into_layers(self) -> Vec<LayerGraphs> {
        let layers = self.layers.into_inner();
        layers.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<LayerGraphs>> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GraphSink for GraphArrays {
    fn begin(&self, layer: &str, shape: GraphShape) -> Result<()> {
        let GraphShape { queries, k, .. } = shape;
        self.lock().push(LayerGraphs {
            name: layer.to_string(),
            channels: Arrays::new(shape.channels, queries, k),
            aggregate: Arrays::new(usize::from(shape.aggregate), queries, k),
        });
        Ok(())
    }

    fn put(&self, space: Space, rows: GraphRows<'_>) -> Result<()> {
        if let Some(layer) = self.lock().last_mut() {
            match space {
                Space::Channel(c) => layer.channels.put(c, &rows),
                Space::Aggregate => layer.aggregate.put(0, &rows),
            }
        }
        Ok(())
    }

    fn end(&self) -> Result<()> {
        Ok(())
    }
}

/// An undirected edge of a symmetrised NNK graph.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SymmetricEdge {
    /// Lower sample index.
    pub low: usize,
    /// Higher sample index.
    pub high: usize,
    /// Weight.
    pub weight: f32,
}

/// Undirected graph of one space from its directed one (docs/definitions.md#symmetric-graph): where both directions
/// exist the query with the smaller reconstruction error keeps its edge (ties: the lower query).
/// `neighbors`, `weights` are `[N, k]`, `objective` is `[N]`; edges come ordered by (low, high).
pub fn symmetric_graph(
    neighbors: ArrayView2<'_, i32>,
    weights: ArrayView2<'_, f32>,
    objective: &[f64],
) -> Vec<SymmetricEdge> {
    let mut edges: BTreeMap<(usize, usize), (usize, f32)> = BTreeMap::new();
    for ((query, slot), &weight) in weights.indexed_iter() {
        let Ok(neighbor) = usize::try_from(neighbors[[query, slot]]) else {
            continue;
        };
        if weight <= SUPPORT_THRESHOLD {
            continue;
        }
        // K_ii is the same for all queries, so the objective orders the errors.
        edges
            .entry((query.min(neighbor), query.max(neighbor)))
            .and_modify(|kept| {
                if objective[query] < objective[kept.0] {
                    *kept = (query, weight);
                }
            })
            .or_insert((query, weight));
    }
    let edge = |((low, high), (_, weight))| SymmetricEdge { low, high, weight };
    edges.into_iter().map(edge).collect()
}
