//! A network as nodes over named values, shapes known but for the batch.

use super::shape;
use crate::ops::net::{Binary, Pool2dParams, Unary};
use crate::ops::{Activation, Conv2dParams};
use crate::{Error, Result};
use std::ops::Range;
use std::sync::Arc;

/// A value of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(super) usize);

impl ValueId {
    /// Position among the graph's values, below [`Graph::value_count`].
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
    pub data: Option<Arc<[f32]>>,
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
    /// Mean over neighbouring axes, kept as 1 or removed.
    Mean {
        /// Axes.
        axes: Range<usize>,
        /// Whether 1 stays in their place.
        keep: bool,
    },
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
            Self::Mean { .. } => "ReduceMean",
            Self::Softmax(_) => "Softmax",
            Self::Concat(_) => "Concat",
            Self::Reshape(_) => "Reshape",
            Self::Transpose(_) => "Transpose",
            Self::Pad { .. } => "Pad",
            Self::Slice(_) => "Slice",
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

/// A network with one input. Nodes are in an order in which they can run.
#[derive(Clone, Debug)]
pub struct Graph {
    values: Vec<Value>,
    nodes: Vec<Node>,
    outputs: Vec<ValueId>,
    /// Nodes that read each value.
    readers: Vec<Vec<usize>>,
}

impl Graph {
    /// A network whose input has `shape` per sample.
    ///
    /// # Errors
    /// [`Error::Model`] on an unusable shape.
    pub fn new(input: &str, shape: &[usize]) -> Result<Self> {
        shape::check_size(shape).map_err(|e| Error::Model(format!("input '{input}': {e}")))?;
        Ok(Self {
            values: vec![Value {
                name: input.into(),
                shape: shape.to_vec(),
                data: None,
            }],
            nodes: vec![],
            outputs: vec![],
            readers: vec![vec![]],
        })
    }

    /// Adds a constant.
    ///
    /// # Errors
    /// [`Error::Model`] if `data` does not fill `shape`.
    pub fn constant(
        &mut self,
        name: &str,
        shape: &[usize],
        data: impl Into<Arc<[f32]>>,
    ) -> Result<ValueId> {
        let data = data.into();
        let fits = shape::check_size(shape).is_ok_and(|n| n == data.len());
        if !fits {
            return Err(Error::Model(format!(
                "constant '{name}' has {} elements, not shape {shape:?}",
                data.len()
            )));
        }
        self.values.push(Value {
            name: name.into(),
            shape: shape.to_vec(),
            data: Some(data),
        });
        self.readers.push(vec![]);
        Ok(ValueId(self.values.len() - 1))
    }

    /// Adds a node that reads `inputs`; its output is called `output`.
    ///
    /// # Errors
    /// [`Error::Model`] names the node whose inputs do not fit its operation.
    pub fn push(
        &mut self,
        name: &str,
        output: &str,
        op: Op,
        inputs: &[ValueId],
    ) -> Result<ValueId> {
        let operator = op.name();
        (self.try_push(name, output, op, inputs))
            .map_err(|e| Error::Model(format!("node '{name}' ({operator}): {e}")))
    }

    /// As [`Graph::push`]; the error does not name the node.
    pub(super) fn try_push(
        &mut self,
        name: &str,
        output: &str,
        op: Op,
        inputs: &[ValueId],
    ) -> Result<ValueId, String> {
        let values: Vec<&Value> = inputs.iter().map(|&i| self.value(i)).collect();
        let shape = shape::infer(&op, &values)?;
        shape::check_size(&shape)?;
        self.values.push(Value {
            name: output.into(),
            shape,
            data: None,
        });
        let output = ValueId(self.values.len() - 1);
        for input in inputs {
            // A node that reads a value twice is one reader.
            let readers = &mut self.readers[input.0];
            if readers.last() != Some(&self.nodes.len()) {
                readers.push(self.nodes.len());
            }
        }
        self.readers.push(vec![]);
        self.nodes.push(Node {
            name: name.into(),
            op,
            inputs: inputs.to_vec(),
            output,
        });
        Ok(output)
    }

    /// The input.
    pub const fn input(&self) -> ValueId {
        ValueId(0)
    }

    /// Shape of the input per sample.
    pub fn input_shape(&self) -> &[usize] {
        &self.values[0].shape
    }

    /// The outputs.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// Says which values are the outputs.
    pub fn set_outputs(&mut self, outputs: &[ValueId]) {
        self.outputs = outputs.to_vec();
    }

    /// A value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// Number of values: ids are below it.
    pub fn value_count(&self) -> usize {
        self.values.len()
    }

    /// All nodes, in running order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Changes nodes in place where shapes stay the same; used by rewrites.
    pub(super) fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// Nodes that read a value.
    pub fn readers(&self, id: ValueId) -> impl Iterator<Item = &Node> {
        self.readers[id.0].iter().map(|&i| &self.nodes[i])
    }

    /// The node that writes a value.
    pub(super) fn maker(&self, id: ValueId) -> Option<&Node> {
        // Nodes write ascending ids.
        let at = self.nodes.binary_search_by_key(&id, |n| n.output).ok()?;
        self.nodes.get(at)
    }

    /// Finds the readers of every value anew, after inputs have changed.
    pub(super) fn index_readers(&mut self) {
        self.readers = vec![vec![]; self.values.len()];
        for (i, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                let readers = &mut self.readers[input.0];
                if readers.last() != Some(&i) {
                    readers.push(i);
                }
            }
        }
    }

    /// Values a change of `id` reaches, `id` included: `[value_count]` flags.
    pub fn dependents(&self, id: ValueId) -> Vec<bool> {
        let mut reached = vec![false; self.values.len()];
        reached[id.0] = true;
        for node in &self.nodes {
            if node.inputs.iter().any(|i| reached[i.0]) {
                reached[node.output.0] = true;
            }
        }
        reached
    }
}
