//! What a graph keeps of the file it was read from: the layout of its input, its outputs by name, and what was
//! left out. `origin` answers questions about them.

use super::node::ValueId;
use crate::{Error, Result};

/// Order of the axes of images after the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Channels, height, width.
    Nchw,
    /// Height, width, channels.
    Nhwc,
}

impl Layout {
    /// Name as in options and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nchw => "nchw",
            Self::Nhwc => "nhwc",
        }
    }

    /// Places of channels, height and width in the shape of a sample.
    pub const fn axes(self) -> [usize; 3] {
        match self {
            Self::Nchw => [0, 1, 2],
            Self::Nhwc => [2, 0, 1],
        }
    }
}

impl std::str::FromStr for Layout {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        [Self::Nchw, Self::Nhwc]
            .into_iter()
            .find(|l| l.name() == s)
            .ok_or_else(|| Error::unknown("layout", s, "nchw or nhwc"))
    }
}

/// An output of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Name in the model file.
    pub name: String,
    /// Its value, or why it is not computed.
    pub value: Result<ValueId, String>,
}

/// Something of the model file that is not in the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// A node, or a layer that it would have made.
    pub name: String,
    /// Why it is left out.
    pub reason: String,
}

/// What a [`Graph`](super::graph::Graph) keeps of its file.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) layout: Option<Layout>,
    pub(super) outputs: Vec<Output>,
    /// Nodes that cannot be computed themselves.
    pub(super) nodes: Vec<LeftOut>,
    /// Convolutions that are such nodes, or that need one.
    pub(super) layers: Vec<LeftOut>,
    /// Values that nodes left out read, with the place of the node in `nodes`, and whether it may be an activation.
    pub(super) cuts: Vec<(ValueId, usize, bool)>,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            layout: Some(Layout::Nchw),
            outputs: vec![],
            nodes: vec![],
            layers: vec![],
            cuts: vec![],
        }
    }
}
