//! What a network consists of: values, and nodes that compute one value from others.

use super::data::Data;
use crate::ops::net::{Binary, Pool2dParams, Reduction, Resampling, Unary};
use crate::ops::{Activation, Conv2dParams};
use std::ops::Range;
use std::sync::Arc;

/// A value of a [`Graph`](super::graph::Graph).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(super) usize);

impl ValueId {
    /// Position among the graph's values, below [`Graph::value_count`](super::graph::Graph::value_count).
    pub const fn index(self) -> usize {
        self.0
    }
}

/// Something a node reads or writes.
#[derive(Clone, Debug)]
pub struct Value {
    /// Name in the model file.
    pub name: String,
    /// Shape; of a computed value without its first axis, the batch.
    pub shape: Vec<usize>,
    /// Elements of a constant, C order; `None` for what is computed.
    pub data: Option<Data>,
}

impl Value {
    /// Elements, per sample if computed.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a node does. Axes count the batch as axis 0, which no operation may touch.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Convolution of `x [C, H, W]` with constants `weight [M, C / groups, kh, kw]` and perhaps `bias [M]`.
    Conv(Conv2dParams),
    /// `x * scale [C] + shift [C]` along axis 1, constants: a batch normalisation at inference.
    BatchNorm(Activation),
    /// `x [..., K]` times the constant `weight [K, M]`, perhaps plus the constant `bias [M]`.
    Linear(Activation),
    /// A function of every element.
    Unary(Unary),
    /// A function of two values, one of which may be constant.
    Binary(Binary, Activation),
    /// 2-D pooling.
    Pool(Pool2dParams),
    /// Neighbouring axes reduced, kept as 1 or removed.
    Reduce {
        /// To what.
        kind: Reduction,
        /// Axes.
        axes: Range<usize>,
        /// Whether 1 stays in their place.
        keep: bool,
    },
    /// Every run of `len` elements of a sample to mean 0 and variance 1: what layer, instance and group
    /// normalisation have in common.
    Normalise {
        /// Elements of a run.
        len: usize,
        /// Added to the variance.
        epsilon: f32,
    },
    /// The product of the matrices in the last two axes of two values; the axes before are broadcast.
    MatMul,
    /// Softmax along an axis.
    Softmax(usize),
    /// Values one after the other along an axis.
    Concat(usize),
    /// Another shape, without the batch.
    Reshape(Vec<usize>),
    /// Axis `i` of the result is axis `perm[i]` of the value; `perm[0] = 0`.
    Transpose(Vec<usize>),
    /// Elements around a value, per axis after the batch.
    Pad {
        /// Elements before.
        before: Vec<usize>,
        /// Elements after.
        after: Vec<usize>,
        /// What they are.
        fill: Fill,
    },
    /// Part of a value.
    Slice(SliceSpec),
    /// Axes of 1 repeated to a shape, without the batch. A constant is repeated for every sample.
    Expand(Vec<usize>),
    /// Zeros between and around the elements, per axis after the batch.
    Spread {
        /// Distance of neighbouring elements in the result.
        step: Vec<usize>,
        /// Zeros before the first.
        before: Vec<usize>,
        /// Zeros after the last.
        after: Vec<usize>,
    },
    /// Weighted sums along an axis: interpolation, repetition, selection.
    Resample {
        /// Axis.
        axis: usize,
        /// Elements and weights.
        by: Arc<Resampling>,
    },
}

/// What padding consists of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// A number.
    Constant(f32),
    /// The value mirrored at its edge, the edge itself not repeated.
    Reflect,
    /// The nearest element.
    Edge,
    /// The value again from its other end.
    Wrap,
}

/// Which part of a value a slice takes, per axis after the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceSpec {
    /// First index.
    pub start: Vec<usize>,
    /// Step between indices, not 0.
    pub step: Vec<isize>,
    /// Number of indices.
    pub count: Vec<usize>,
}

impl Op {
    /// Name for messages, as ONNX has it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Conv(_) => "Conv",
            Self::BatchNorm(_) => "BatchNormalization",
            Self::Linear(_) => "Gemm",
            Self::Unary(_) => "elementwise",
            Self::Binary(..) => "binary",
            Self::Pool(_) => "Pool",
            Self::Reduce { .. } => "Reduce",
            Self::Normalise { .. } => "normalisation",
            Self::MatMul => "MatMul",
            Self::Softmax(_) => "Softmax",
            Self::Concat(_) => "Concat",
            Self::Reshape(_) => "Reshape",
            Self::Transpose(_) => "Transpose",
            Self::Pad { .. } => "Pad",
            Self::Slice(_) => "Slice",
            Self::Expand(_) => "Expand",
            Self::Spread { .. } => "spread",
            Self::Resample { .. } => "Resize",
        }
    }
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name in the model file.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// What it reads, constants included.
    pub inputs: Vec<ValueId>,
    /// What it writes.
    pub output: ValueId,
}
