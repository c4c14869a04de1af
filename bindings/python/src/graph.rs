//! `knn` and `nnk`: neighbours and NNK graphs of plain arrays.

use crate::call::{Settings, long};
use crate::output::Block;
use crate::redundancy::GraphArguments;
use chanscope::measure::{NeighborsInput, NeighborsOptions, neighbors};
use chanscope::report::folder::narrowed;
use ndarray::ArrayView2;
use pyo3::prelude::*;

/// Vectors `[N, D]` of float32 in C order: the address of the first, the shape, and the object that keeps them alive.
type Vectors = (usize, usize, usize, Py<PyAny>);

/// The vectors of a call, which are borrowed from the object beside them.
fn view<'a>(vectors: &'a Vectors) -> ArrayView2<'a, f32> {
    let &(address, rows, dim, _) = vectors;
    // SAFETY: Python passes an array in C order of float32 with this shape and address, which its owner keeps alive as long
    // as `vectors`. As with every library that works without the interpreter's lock, nobody is to write it meanwhile.
    unsafe { ArrayView2::from_shape_ptr((rows, dim), address as *const f32) }
}

/// Neighbours of `queries` among `points`, or of the points among themselves: `(neighbors i32 [Q, k], sq_distances f32
/// [Q, k])`, and with `weights` also `(weights f32 [Q, k], objective f32 [Q], degenerate bool [Q], kkt_residual_max)`.
#[pyfunction]
#[pyo3(signature = (points, queries, graph, weights, settings))]
#[allow(clippy::type_complexity)]
pub fn graph(
    py: Python<'_>,
    points: Vectors,
    queries: Option<Vectors>,
    graph: GraphArguments,
    weights: bool,
    settings: Settings,
) -> PyResult<(Block, Block, Option<(Block, Block, Block, f32)>)> {
    let options = NeighborsOptions::default()
        .with_graph(graph.params(py, false)?)
        .with_weights(weights);
    let found = long(py, settings, move |ctx| {
        let input = NeighborsInput::new(view(&points)).with_queries(queries.as_ref().map(view));
        Ok(neighbors(ctx, &input, &options)?)
    })?;
    let shape = vec![found.neighbors.nrows(), found.neighbors.ncols()];
    let (sq_distances, _) = narrowed(&found.sq_distances.into_raw_vec_and_offset().0);
    let neighbors = found.neighbors.into_raw_vec_and_offset().0;
    let graph = found.graph.map(|graph| {
        let queries = vec![graph.objective.len()];
        let objective: Vec<f32> = graph.objective.iter().map(|&j| j as f32).collect();
        let weights = graph.weights.into_raw_vec_and_offset().0;
        (
            Block::new("f4", shape.clone(), bytes(&weights, |v| v.to_ne_bytes())),
            Block::new(
                "f4",
                queries.clone(),
                bytes(&objective, |v| v.to_ne_bytes()),
            ),
            Block::new("b1", queries, bytes(&graph.degenerate, |v| [u8::from(v)])),
            graph.kkt_residual_max,
        )
    });
    Ok((
        Block::new("i4", shape.clone(), bytes(&neighbors, |v| v.to_ne_bytes())),
        Block::new("f4", shape, bytes(&sq_distances, |v| v.to_ne_bytes())),
        graph,
    ))
}

fn bytes<T: Copy, const N: usize>(values: &[T], of: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&v| of(v)).collect()
}
