//! Non-negative kernel regression of points.

use crate::context::Context;
use crate::status::{Failure, Outcome, Status, guard};
use crate::view::{elements, optional_target, reference, slice};
use chanscope::io::array::ArrayLayer;
use chanscope::io::layer::Layer;
use chanscope::measure::redundancy::{GraphRows, GraphShape, GraphSink, Space};
use chanscope::measure::{self, RedundancyInput};
use chanscope::ops::{self, GraphParams, Sigma};
use chanscope::tensor::LayerShape;
use std::sync::{Mutex, PoisonError};

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

/// The caller's arrays; those that are not wanted are `None`.
struct Target<'a> {
    neighbors: Option<&'a mut [i32]>,
    sq_distances: Option<&'a mut [f64]>,
    weights: Option<&'a mut [f32]>,
    objective: Option<&'a mut [f64]>,
    degenerate: Option<&'a mut [bool]>,
}

/// Copies finished blocks to their place.
struct Sink<'a>(Mutex<Target<'a>>);

impl GraphSink for Sink<'_> {
    fn begin(&self, _: &str, _: GraphShape) -> chanscope::Result<()> {
        Ok(())
    }

    fn put(&self, _: Space, rows: GraphRows<'_>) -> chanscope::Result<()> {
        let target = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        copy(
            &mut target.neighbors,
            rows.first_query * rows.k,
            rows.neighbors,
        );
        copy(
            &mut target.sq_distances,
            rows.first_query * rows.k,
            rows.sq_distances,
        );
        copy(&mut target.weights, rows.first_query * rows.k, rows.weights);
        copy(&mut target.objective, rows.first_query, rows.objective);
        copy(&mut target.degenerate, rows.first_query, rows.degenerate);
        Ok(())
    }

    fn end(&self) -> chanscope::Result<()> {
        Ok(())
    }
}

fn copy<T: Copy>(target: &mut Option<&mut [T]>, first: usize, values: &[T]) {
    if let Some(target) = target {
        target[first..first + values.len()].copy_from_slice(values);
    }
}

/// The NNK graph of `samples` points of `dim` numbers each: every point is a query among all others. Any output may be
/// NULL where it is not wanted: `neighbors` [samples, k] (indices by distance, -1 where there is none), `sq_distances`
/// [samples, k] (2 - 2 cos under cosine), `weights` [samples, k], `objective` [samples], `degenerate` [samples].
/// Where the call fails the outputs may be partly written.
///
/// # Safety
/// `context` came from chanscope_context_new; the other pointers point to arrays of these shapes, which do not overlap.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments)]
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
        let (context, options) = unsafe {
            (
                reference(context, "context")?,
                reference(options, "options")?,
            )
        };
        let params = options.params(false)?;
        let listed = elements(&[samples, options.k], "neighbors")?;
        // SAFETY: as above.
        let points = unsafe { slice(points, elements(&[samples, dim], "points")?, "points") }?;
        // SAFETY: as above.
        let target = unsafe {
            Target {
                neighbors: optional_target(neighbors, listed),
                sq_distances: optional_target(sq_distances, listed),
                weights: optional_target(weights, listed),
                objective: optional_target(objective, samples),
                degenerate: optional_target(degenerate, samples),
            }
        };
        let layer = ArrayLayer::new("points", LayerShape::new(samples, 1, 1, dim)?, points)?;
        let sink = Sink(Mutex::new(target));
        let layers = [&layer as &dyn Layer];
        let input = RedundancyInput::new(&layers).with_graphs(Some(&sink));
        let options = measure::RedundancyOptions::default()
            .with_graph(params)
            .with_baselines(false);
        context.run(|ctx| measure::redundancy(ctx, &input, &options))?;
        Ok(())
    })
}
