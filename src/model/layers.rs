//! Convolutional layers of a network and where their activations are tapped (docs/definitions.md#taps).

use super::graph::Graph;
use super::node::{Node, Op, ValueId};
use crate::io::names::{Namer, module_path};
use crate::ops::net::Binary;
use crate::{Error, Result};

/// Which value of a layer is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tap {
    /// The convolution's output.
    Conv,
    /// After the batch normalisation and activation that follow directly.
    #[default]
    Activation,
    /// After the pooling that follows that.
    Pool,
}

impl Tap {
    /// Name as in options and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conv => "conv",
            Self::Activation => "activation",
            Self::Pool => "pool",
        }
    }
}

impl std::str::FromStr for Tap {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        [Self::Conv, Self::Activation, Self::Pool]
            .into_iter()
            .find(|t| t.name() == s)
            .ok_or_else(|| Error::unknown("tap", s, "conv, activation or pool"))
    }
}

/// A convolutional layer: values `[M, H, W]` per sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvLayer {
    /// Name: module path of the weight, made safe for files and unique.
    pub name: String,
    /// Output of the convolution.
    pub conv: ValueId,
    /// After batch normalisation and activation; the same as `conv` where none follows.
    pub activation: ValueId,
    /// After the pooling that follows; the same as `activation` where none does.
    pub pool: ValueId,
    /// What the next convolution or linear layer consumes: after pooling, residual addition and
    /// whatever else keeps the channels.
    pub consumed: ValueId,
}

impl ConvLayer {
    /// The value at a tap.
    pub const fn tap(&self, tap: Tap) -> ValueId {
        match tap {
            Tap::Conv => self.conv,
            Tap::Activation => self.activation,
            Tap::Pool => self.pool,
        }
    }
}

impl Graph {
    /// The convolutional layers, in running order.
    pub fn layers(&self) -> Vec<ConvLayer> {
        let nodes: Vec<&Node> = (self.nodes().iter())
            .filter(|n| matches!(n.op, Op::Conv(_)))
            .collect();
        let names = self.layer_names(&nodes);
        (nodes.iter().zip(names))
            .map(|(node, name)| self.layer(node, name))
            .collect()
    }

    fn layer(&self, node: &Node, name: String) -> ConvLayer {
        let conv = node.output;
        let normalised = self.follow(conv, |op| matches!(op, Op::Normalise { .. }));
        let normalised = self.follow(normalised, |op| matches!(op, Op::BatchNorm(_)));
        let activation = self.activated(normalised);
        let pool = self.follow(activation, |op| matches!(op, Op::Pool(_)));
        ConvLayer {
            name,
            conv,
            activation,
            pool,
            consumed: self.consumed(conv),
        }
    }

    /// The value after the activation that alone reads `id`, also one written as `x f(x)`.
    fn activated(&self, id: ValueId) -> ValueId {
        let alone = |op: &Op| matches!(op, Op::Unary(_) | Op::Binary(Binary::PRelu, _));
        let gate = self.readers(id).find(|n| self.gated(n) == Some(id));
        match gate {
            Some(product) if self.readers(id).count() == 2 => product.output,
            _ => self.follow(id, alone),
        }
    }

    /// The output of the only reader of `id` if that is what is looked for, else `id`.
    fn follow(&self, id: ValueId, wanted: impl Fn(&Op) -> bool) -> ValueId {
        let mut readers = self.readers(id);
        match (readers.next(), readers.next()) {
            (Some(node), None) if wanted(&node.op) => node.output,
            _ => id,
        }
    }

    /// Follows a layer's output through operations that keep its channels until a convolution or
    /// linear layer reads it.
    fn consumed(&self, mut id: ValueId) -> ValueId {
        let channels = self.value(id).shape[0];
        loop {
            let mut next = None;
            for node in self.readers(id) {
                match node.op {
                    Op::Conv(_) | Op::Linear(_) => return id,
                    Op::BatchNorm(_)
                    | Op::Normalise { .. }
                    | Op::Unary(_)
                    | Op::Pool(_)
                    | Op::Binary(..) => {
                        next = next.or(Some(node.output));
                    }
                    _ => {}
                }
            }
            match next {
                Some(n) if matches!(self.value(n).shape[..], [c, _, _] if c == channels) => id = n,
                _ => return id,
            }
        }
    }

    /// Module paths of the weights where they have one, else the node names.
    fn layer_names(&self, nodes: &[&Node]) -> Vec<String> {
        let mut namer = Namer::new();
        // `output.npy` and `labels.npy` lie beside the layers in a dump.
        namer.reserve("output");
        namer.reserve("labels");
        (nodes.iter())
            .map(|n| {
                let weight = self.value(n.inputs[1]).name.as_str();
                match module_path(weight) {
                    module if module != weight => namer.name(module),
                    _ => namer.name(&n.name),
                }
            })
            .collect()
    }
}
