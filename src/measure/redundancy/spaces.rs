//! What a part of a run computes graphs of.

use super::input::Prepared;
use crate::stream::plan::GraphJob;
use std::ops::Range;

/// Whose graphs a part computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spaces {
    /// Positions in the selection of channels.
    Channels(Range<usize>),
    /// All selected channels as one vector per sample.
    Aggregate,
}

impl Spaces {
    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Self::Channels(range) => range.len(),
            Self::Aggregate => 1,
        }
    }

    /// Their graphs for so many queries.
    pub(super) fn job(&self, prepared: &Prepared<'_>, queries: usize) -> GraphJob {
        let shape = prepared.layer.shape();
        GraphJob {
            spaces: self.count(),
            samples: shape.samples,
            dim: match self {
                Self::Channels(_) => shape.dim(),
                Self::Aggregate => prepared.channels.len() * shape.dim(),
            },
            k: prepared.options.graph.k,
            queries,
            drawn: prepared.queries.is_some(),
            values: prepared.layer.value_type(),
        }
    }
}
