//! From nodes of the file to nodes of the graph. A node that cannot be computed stops only what needs it.

use super::attributes::node_name;
use super::context::{BATCH_MOVED, Context, Done, Import, Item};
use super::fault::{Fault, plain};
use super::filters::layer_name;
use super::proto::{NodeProto, TensorProto};
use super::{fold, operators};
use crate::error::Node;
use crate::io::file::DataFile;
use crate::model::graph::Graph;
use crate::model::layers::layer_namer;
use crate::model::node::{Op, ValueId};
use crate::model::parts::{LeftOut, Output};
use std::collections::HashMap;
use std::sync::Arc;

/// Translates a model, node by node.
pub(super) struct Importer {
    import: Import,
    causes: Vec<Cause>,
    /// Convolutions that cannot be computed, with the place of the cause.
    lost: Vec<(String, usize)>,
    /// Values that nodes at fault read, with the place of the cause, and whether the node may be an activation.
    cuts: Vec<(ValueId, usize, bool)>,
}

/// Operators that are no activations, whatever else they do.
const STRUCTURE: [&str; 28] = [
    "ArgMax",
    "AveragePool",
    "Concat",
    "Conv",
    "ConvTranspose",
    "DepthToSpace",
    "Einsum",
    "Expand",
    "Flatten",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "GRU",
    "LSTM",
    "MatMul",
    "MaxPool",
    "NonMaxSuppression",
    "Pad",
    "Reshape",
    "Resize",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "TopK",
    "Transpose",
    "Unsqueeze",
];

/// Why outputs of a node are missing.
struct Cause {
    node: Node,
    what: String,
    /// Whether anything needs them, or the whole node cannot be computed.
    matters: bool,
}

impl Cause {
    fn new(node: &NodeProto, what: String, matters: bool) -> Self {
        Self {
            node: describe(node),
            what,
            matters,
        }
    }
}

fn describe(node: &NodeProto) -> Node {
    Node {
        name: node_name(node).into(),
        operator: node.op_type.clone(),
    }
}

impl Importer {
    /// A graph with its input alone. Outside files are looked for beside `file`.
    pub(super) fn new(
        file: Arc<DataFile>,
        opset: i64,
        input: &str,
        shape: &[usize],
    ) -> Result<Self, String> {
        Ok(Self {
            import: Import::new(file, opset, input, shape)?,
            causes: vec![],
            lost: vec![],
            cuts: vec![],
        })
    }

    /// Takes the initialisers.
    pub(super) fn constants(&mut self, tensors: Vec<TensorProto>) -> Result<(), String> {
        for tensor in tensors {
            let item = (self.import.find(&tensor))
                .map_err(|e| format!("initialiser '{}': {e}", tensor.name))?;
            self.import.define(&tensor.name, item)?;
        }
        Ok(())
    }

    /// Translates a node, or leaves it out.
    ///
    /// # Errors
    /// What makes the file unusable as a whole.
    pub(super) fn node(&mut self, node: &NodeProto) -> Result<(), Fault> {
        let fail = |what: String| Fault {
            node: Some(describe(node)),
            what,
        };
        let (mut computed, mut missing) = (false, None);
        for input in node.input.iter().filter(|i| !i.is_empty()) {
            match self.import.items.get(input) {
                None => {
                    return Err(fail(format!(
                        "reads '{input}', which nothing before it writes"
                    )));
                }
                Some(Item::Value(_) | Item::Moved(_)) => computed = true,
                Some(Item::Constant(..) | Item::Stored(..)) => {}
                Some(Item::Missing(cause)) => missing = missing.or(Some(*cause)),
            }
        }
        let mut outputs = node.output.iter().filter(|o| !o.is_empty());
        if let Some(twice) = outputs.find(|&o| self.import.items.contains_key(o)) {
            return Err(fail(format!("'{twice}' is defined twice")));
        }
        if let Some(cause) = missing {
            self.causes[cause].matters = true;
            self.lose(node, cause);
            return Ok(());
        }
        let size = self.import.graph.size();
        if let Err(what) = self.translate(node, computed) {
            if self.import.room.exceeded() {
                return Err(fail(what));
            }
            self.take_back(node, size);
            let cause = self.causes.len();
            let values = node.input.iter().filter_map(|i| self.import.items.get(i));
            let bends = !STRUCTURE.contains(&node.op_type.as_str());
            self.cuts.extend(values.filter_map(|item| match item {
                Item::Value(id) => Some((*id, cause, bends)),
                Item::Moved(moved) => Some((moved.value, cause, bends)),
                _ => None,
            }));
            self.causes.push(Cause::new(node, what, true));
            self.lose(node, cause);
            return Ok(());
        }
        let items = &self.import.items;
        let left = |o: &&String| !o.is_empty() && !items.contains_key(*o);
        if node.output.iter().any(|o| left(&o)) {
            let what = "has more than one output, of which only the first is computed".into();
            let cause = self.causes.len();
            self.causes.push(Cause::new(node, what, false));
            self.lose_outputs(node, cause);
        }
        Ok(())
    }

    fn translate(&mut self, node: &NodeProto, computed: bool) -> Done {
        let standard = node.domain.is_empty() || node.domain == "ai.onnx";
        let fold = fold::find(&node.op_type).filter(|_| standard);
        let operator = operators::find(node);
        if let Some(tensor) = fold.and_then(|_| constant_tensor(node)) {
            let item = self.import.find(tensor)?;
            let output = node.output.first().ok_or("output 0 is missing")?;
            return self.import.define(output, item);
        }
        let leaves_weight = computed && operator.is_some_and(|o| o.leaves_weight);
        for (i, input) in node.input.iter().enumerate() {
            if !(leaves_weight && i == 1) {
                self.import.load(input)?;
            }
        }
        let mut context = Context::new(&mut self.import, node);
        match (operator, fold) {
            _ if !computed && operators::repeated::repeats(&context) => {
                operators::repeated::repeat(&mut context)
            }
            (_, Some(fold)) if !computed => {
                let constants = fold(&mut context)?;
                context.define_all(constants)
            }
            (Some(operator), _) if computed => (operator.translate)(&mut context),
            (Some(_), None) => Err(
                "on constants alone is not supported; simplify the model (constant folding) first"
                    .into(),
            ),
            (None, Some(_)) => Err("is supported on constants only".into()),
            _ if standard => Err("is not supported".into()),
            _ => Err(format!("of domain '{}' is not supported", node.domain)),
        }
    }

    /// Undoes what the translation of a node did before it failed.
    fn take_back(&mut self, node: &NodeProto, size: (usize, usize)) {
        self.import.graph.truncate(size);
        for input in &node.input {
            if let Some(Item::Constant(_, id) | Item::Stored(_, _, id)) =
                self.import.items.get_mut(input)
                && id.is_some_and(|id| id.index() >= size.0)
            {
                *id = None;
            }
        }
        for output in &node.output {
            self.import.items.remove(output);
        }
    }

    /// A node that is not computed, for the reason at a place.
    fn lose(&mut self, node: &NodeProto, cause: usize) {
        if let Some(layer) = layer_name(node) {
            self.lost.push((layer, cause));
        }
        self.lose_outputs(node, cause);
    }

    fn lose_outputs(&mut self, node: &NodeProto, cause: usize) {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            let item = self.import.items.entry(output.clone());
            item.or_insert(Item::Missing(cause));
        }
    }

    /// The graph with its outputs.
    ///
    /// # Errors
    /// Where nothing of the network can be computed.
    pub(super) fn finish<'a>(
        mut self,
        outputs: impl Iterator<Item = &'a str>,
    ) -> Result<Graph, Fault> {
        let mut named = vec![];
        for name in outputs {
            let value = match self.import.items.get(name) {
                Some(Item::Value(id)) => Ok(*id),
                Some(Item::Missing(cause)) => {
                    self.causes[*cause].matters = true;
                    Err(needs(&self.causes[*cause]))
                }
                Some(Item::Moved(_)) => Err(format!("it {BATCH_MOVED}")),
                Some(Item::Constant(..) | Item::Stored(..)) => Err("it is a constant".into()),
                None => return Err(format!("no node computes the output '{name}'").into()),
            };
            let name = plain(name);
            named.push(Output { name, value });
        }
        if named.is_empty() {
            return Err("has no output".into());
        }
        let graph = &mut self.import.graph;
        let is_conv = |op: &Op| matches!(op, Op::Conv(_));
        if named.iter().all(|o| o.value.is_err()) && !graph.nodes().iter().any(|n| is_conv(&n.op)) {
            return Err(match self.causes.into_iter().find(|c| c.matters) {
                Some(cause) => Fault {
                    node: Some(cause.node),
                    what: cause.what,
                },
                None => match &named[0].value {
                    Err(why) => format!("output '{}': {why}", named[0].name).into(),
                    Ok(_) => format!("no node computes the output '{}'", named[0].name).into(),
                },
            });
        }
        graph.set_named_outputs(named);
        let mut places = HashMap::new();
        for (i, cause) in self.causes.iter().enumerate().filter(|(_, c)| c.matters) {
            places.insert(i, graph.parts.nodes.len());
            graph.parts.nodes.push(LeftOut {
                name: named_node(&cause.node),
                reason: plain(&cause.what),
            });
        }
        let mut namer = layer_namer();
        let lost = self.lost.into_iter().map(|(name, cause)| LeftOut {
            name: namer.name(&name),
            reason: needs(&self.causes[cause]),
        });
        graph.parts.layers = lost.collect();
        let cuts = self.cuts.into_iter();
        graph.parts.cuts = cuts
            .filter_map(|(id, cause, bends)| Some((id, *places.get(&cause)?, bends)))
            .collect();
        Ok(self.import.graph)
    }
}

fn named_node(node: &Node) -> String {
    format!("node '{}' ({})", plain(&node.name), plain(&node.operator))
}

/// Why something that needs a node is not computed.
fn needs(cause: &Cause) -> String {
    format!(
        "it needs {}, which {}",
        named_node(&cause.node),
        plain(&cause.what)
    )
}

/// The tensor that a node names.
fn constant_tensor(node: &NodeProto) -> Option<&TensorProto> {
    let value = node.attribute.iter().find(|a| a.name == "value");
    value.filter(|_| node.op_type == "Constant")?.t.as_ref()
}
