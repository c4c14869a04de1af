//! Working memory of a thread that solves queries, whether eight at a time or alone.

use super::active_set::ActiveSet;
use super::gram::Gram;
use super::lanes::GramLanes;
use super::source::Sources;
use crate::ops::near::Near;
use crate::simd::{F64_LANES, LineF64};

/// Working memory that does not depend on the type of the bit sets.
#[derive(Default)]
pub(super) struct Workspace<'a> {
    /// Slots of the usable candidates in the query's candidate list, per lane.
    pub(super) used: [Vec<u16>; F64_LANES],
    /// The lanes' queries and the vectors of their usable candidates, in the order of `used`.
    pub(super) sources: Sources<'a>,
    /// Kernel matrices of eight queries.
    pub(super) lanes: GramLanes,
    /// Kernel matrix of a query that is solved alone.
    pub(super) gram: Gram,
    pub(super) active: ActiveSet,
    /// Weights of a query that is solved alone.
    pub(super) theta: Vec<LineF64>,
    pub(super) near: Near,
    /// Weights of the query whose results are written.
    pub(super) weights: Vec<f64>,
}
