//! Nearest neighbours of points, and non-negative kernel regression.

use crate::context::Context;
use crate::status::{Failure, Outcome, Status, guard};
use crate::view::{elements, optional_target, reference, slice};
use chanscope::measure::{self, Neighbors, NeighborsInput, NeighborsOptions};
use chanscope::ops::{self, GraphParams, Sigma};
use ndarray::ArrayView2;

/// Similarity of two vectors.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum Kernel {
    /// exp(-|x - y|^2 / (2 s^2)).
    ChanscopeGaussian = 0,
    /// 1/2 + 1/2 cos(x, y).
    ChanscopeCosine = 1,
}

/// What happens to candidates at distance 0 from the query.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum Identical {
    /// They are candidates like any other.
    ChanscopeKeep = 0,
    /// They keep their place and get the weight 0, unless all candidates are at distance 0.
    ChanscopeDrop = 1,
    /// The next candidates take their places.
    ChanscopeReplace = 2,
}

/// How a graph is built. chanscope_graph_options_default() gives the usual values.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GraphOptions {
    /// Candidates per query, 1 to 1024.
    pub k: usize,
    /// One of chanscope_kernel.
    pub kernel: u32,
    /// Bandwidth of the Gaussian kernel; 0 for a third of the distance to the last candidate, per query.
    pub sigma: f64,
    /// One of chanscope_identical.
    pub identical: u32,
}

/// k 25, the Gaussian kernel with a bandwidth per query, identical points kept.
#[unsafe(no_mangle)]
pub extern "C" fn chanscope_graph_options_default() -> GraphOptions {
    GraphOptions {
        k: 25,
        kernel: Kernel::ChanscopeGaussian as u32,
        sigma: 0.0,
        identical: Identical::ChanscopeKeep as u32,
    }
}

impl GraphOptions {
    /// The same for the library. Numbers of enumerations come from outside and are checked here.
    pub fn params(&self, pca_dimension: bool) -> Outcome<GraphParams> {
        let unknown = |name: &str, got| {
            Err(Failure::argument(format!(
                "{name} is {got}, which is none of its values"
            )))
        };
        Ok(GraphParams {
            k: self.k,
            kernel: match self.kernel {
                0 => ops::Kernel::Gaussian,
                1 => ops::Kernel::Cosine,
                got => return unknown("kernel", got),
            },
            sigma: if self.sigma == 0.0 {
                Sigma::KthThird
            } else {
                Sigma::Fixed(self.sigma)
            },
            identical: match self.identical {
                0 => ops::Identical::Keep,
                1 => ops::Identical::Drop,
                2 => ops::Identical::Replace,
                got => return unknown("identical", got),
            },
            pca_dimension,
        })
    }
}

/// Neighbours, and weights if asked for, of points [samples, dim].
///
/// # Safety
/// As the exported functions demand.
unsafe fn search(
    context: *const Context,
    (points, samples, dim): (*const f32, usize, usize),
    params: GraphParams,
    weights: bool,
) -> Outcome<Neighbors> {
    // SAFETY: the caller's promise, here and below.
    let context = unsafe { reference(context, "context") }?;
    // SAFETY: as above.
    let points = unsafe { slice(points, elements(&[samples, dim], "points")?, "points") }?;
    let points = ArrayView2::from_shape((samples, dim), points);
    let points = points.map_err(|e| Failure::argument(format!("points: {e}")))?;
    let input = NeighborsInput::new(points);
    let options = NeighborsOptions::default()
        .with_graph(params)
        .with_weights(weights);
    context.run(|ctx| measure::neighbors(ctx, &input, &options))
}

/// Copies values to an array of the caller, unless it is not wanted.
///
/// # Safety
/// `target` is null or points to an array of as many elements.
unsafe fn copy<'a, T: Copy + 'a>(values: impl ExactSizeIterator<Item = &'a T>, target: *mut T) {
    // SAFETY: the caller's promise.
    let target = unsafe { optional_target(target, values.len()) };
    let target = target.into_iter().flatten();
    target.zip(values).for_each(|(to, from)| *to = *from);
}

/// The `k` nearest neighbours of each of `samples` points of `dim` numbers among the others, exactly. `kernel` is one of
/// chanscope_kernel: the Gaussian one stands for Euclidean distances, the other for cosines. Either output may be NULL
/// where it is not wanted: `neighbors` [samples, k] (indices by distance and index, -1 where there is none) and
/// `sq_distances` [samples, k] (2 - 2 cos under cosine).
///
/// # Safety
/// `context` came from chanscope_context_new; the other pointers point to arrays of these shapes, which do not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chanscope_knn(
    context: *const Context,
    points: *const f32,
    samples: usize,
    dim: usize,
    k: usize,
    kernel: u32,
    neighbors: *mut i32,
    sq_distances: *mut f64,
) -> Status {
    guard(|| {
        let usual = chanscope_graph_options_default();
        let params = GraphOptions { k, kernel, ..usual }.params(false)?;
        // SAFETY: the caller's promise, here and below.
        let found = unsafe { search(context, (points, samples, dim), params, false) }?;
        // SAFETY: as above.
        unsafe {
            copy(found.neighbors.iter(), neighbors);
            copy(found.sq_distances.iter(), sq_distances);
        }
        Ok(())
    })
}

/// The NNK graph of `samples` points of `dim` numbers each: every point is a query among all others. Any output may be
/// NULL where it is not wanted: `neighbors` and `sq_distances` as of chanscope_knn, `weights` [samples, k], and one number per
/// sample in `objective` and `degenerate`.
///
/// # Safety
/// `context` came from chanscope_context_new; the other pointers point to arrays of these shapes, which do not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chanscope_nnk(
    context: *const Context,
    points: *const f32,
    samples: usize,
    dim: usize,
    options: *const GraphOptions,
    neighbors: *mut i32,
    sq_distances: *mut f64,
    weights: *mut f32,
    objective: *mut f64,
    degenerate: *mut bool,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let params = unsafe { reference(options, "options") }?.params(false)?;
        // SAFETY: as above.
        let found = unsafe { search(context, (points, samples, dim), params, true) }?;
        // SAFETY: as above.
        unsafe {
            copy(found.neighbors.iter(), neighbors);
            copy(found.sq_distances.iter(), sq_distances);
            if let Some(graph) = &found.graph {
                copy(graph.weights.iter(), weights);
                copy(graph.objective.iter(), objective);
                copy(graph.degenerate.iter(), degenerate);
            }
        }
        Ok(())
    })
}
