//! Convolutional layers of a network and where their activations are tapped (docs/definitions.md#taps).

use super::graph::Graph;
use super::node::{Node, Op, ValueId};
use super::parts::LeftOut;
use crate::io::names::{Namer, module_path};
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

/// A convolutional layer: values `[M, H, W]` per sample, or `[M, L]` for a convolution along lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvLayer {
    /// Name: module path of the weight, made safe for files and unique.
    pub name: String,
    /// Output of the convolution.
    pub conv: ValueId,
    /// After batch normalisation and activation; the same as `conv` where neither follows.
    pub activation: ValueId,
    /// After the pooling that follows; the same as `activation` where none does.
    pub pool: ValueId,
    /// What the next convolution or linear layer consumes: after pooling, residual addition and
    /// whatever else keeps the channels.
    pub consumed: ValueId,
    /// Another name: the module path that the node's name holds, where the weight has none.
    pub module: Option<String>,
    /// Why only the tap `conv` is known, where the activation may lie in what was left out of the graph.
    pub unsure: Option<String>,
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
    /// The layers whose value at `tap` is computed, and those of the file whose value is not, with the reason.
    pub fn layers_at(&self, tap: Tap) -> (Vec<ConvLayer>, Vec<LeftOut>) {
        let mut left_out = vec![];
        let mut layers = self.layers();
        layers.retain(|layer| match &layer.unsure {
            Some(reason) if tap != Tap::Conv => {
                left_out.push(LeftOut {
                    name: layer.name.clone(),
                    reason: reason.clone(),
                });
                false
            }
            _ => true,
        });
        left_out.extend_from_slice(self.lost_layers());
        (layers, left_out)
    }

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
        let normalised = self.follow(self.line(conv), |op| matches!(op, Op::Normalise { .. }));
        let end = self.elementwise_end(normalised);
        let unsure = (!end.curved)
            .then(|| self.lost_activation(end.value))
            .flatten();
        let activation = end.value;
        let image = self.line(activation);
        let pool = match self.follow(image, |op| matches!(op, Op::Pool(_))) {
            none if none == image => activation,
            pool => self.line(pool),
        };
        ConvLayer {
            name,
            module: node_module(&node.name).filter(|_| self.weight_module(node).is_none()),
            conv,
            activation,
            pool,
            consumed: self.consumed(conv),
            unsure: unsure.map(|next| {
                format!(
                    "what follows it, {}, may be its activation, and cannot be computed",
                    next.name
                )
            }),
        }
    }

    /// The value as a line `[M, L]` that is an image `[M, 1, L]` for one operation, or the other way round: what
    /// the only reader of `id` makes of it, or `id` where it does something else.
    fn line(&self, id: ValueId) -> ValueId {
        let shape = self.value(id).shape.as_slice();
        let turned = |op: &Op| match (op, shape) {
            (Op::Reshape(to), &[m, 1, l]) => *to == [m, l],
            (Op::Reshape(to), &[m, l]) => *to == [m, 1, l],
            _ => false,
        };
        self.follow(id, turned)
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
                    Op::Reshape(_) if self.line(id) == node.output => {
                        next = next.or(Some(node.output));
                    }
                    _ => {}
                }
            }
            match next {
                Some(n) if matches!(self.value(n).shape[..], [c, _, _] | [c, _] if c == channels) => {
                    id = n
                }
                _ => return id,
            }
        }
    }

    /// Module paths of the weights where they have one, else the node names.
    fn layer_names(&self, nodes: &[&Node]) -> Vec<String> {
        let mut namer = layer_namer();
        (nodes.iter())
            .map(|n| namer.name(self.weight_module(n).unwrap_or(&n.name)))
            .collect()
    }

    /// The module that a convolution's weight belongs to, if its name tells.
    fn weight_module(&self, node: &Node) -> Option<&str> {
        let weight = self.value(node.inputs[1]).name.as_str();
        Some(module_path(weight)).filter(|&module| module != weight)
    }
}

/// Makes the names of layers, of which `output` and `labels` are none: their files lie beside those of the
/// layers in a dump.
pub(crate) fn layer_namer() -> Namer {
    let mut namer = Namer::new();
    namer.reserve("output");
    namer.reserve("labels");
    namer
}

/// The module path in a node's name as PyTorch writes it: `layer1.0.conv1` in `/layer1/layer1.0/conv1/Conv`.
/// A part that continues the one before it, as `layer1.0` does `layer1`, stands for both.
fn node_module(name: &str) -> Option<String> {
    let (path, operator) = name.strip_prefix('/')?.rsplit_once('/')?;
    if !operator.starts_with("Conv") {
        return None;
    }
    let mut module: Vec<&str> = vec![];
    for part in path.split('/') {
        let last = module.last().copied().unwrap_or_default();
        let continued = part
            .strip_prefix(last)
            .is_some_and(|rest| rest.starts_with('.'));
        if continued {
            module.pop();
        }
        module.push(part);
    }
    Some(module.join("."))
}
