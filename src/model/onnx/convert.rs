//! From nodes of the file to nodes of the graph.

use super::attributes::Attributes;
use super::proto::{NodeProto, TensorProto};
use super::tensor::{Constant, Dim, Elements, Reader};
use super::{elementwise, fold, layout, spatial};
use crate::model::graph::{Graph, Op, ValueId};
use std::collections::HashMap;
use std::path::Path;

/// Translates one node whose data input is computed.
type Handler = fn(&mut Context<'_>) -> Result<(), String>;

/// Every operator, and what translates it. `Constant` and `ConstantOfShape` only make constants.
static OPERATORS: [(&str, Handler); 43] = [
    ("Add", elementwise::binary),
    ("AveragePool", spatial::average_pool),
    ("BatchNormalization", spatial::batch_norm),
    ("Cast", elementwise::cast),
    ("Clip", elementwise::clip),
    ("Concat", layout::concat),
    ("Constant", fold::constant),
    ("ConstantOfShape", fold::needs_constants),
    ("Conv", spatial::conv),
    ("Div", elementwise::binary),
    ("Dropout", elementwise::dropout),
    ("Elu", elementwise::unary),
    ("Erf", elementwise::unary),
    ("Flatten", layout::flatten),
    ("Gather", layout::gather),
    ("Gelu", elementwise::unary),
    ("Gemm", elementwise::gemm),
    ("GlobalAveragePool", spatial::global_average_pool),
    ("GlobalMaxPool", spatial::global_max_pool),
    ("HardSigmoid", elementwise::unary),
    ("HardSwish", elementwise::unary),
    ("Identity", elementwise::identity),
    ("LeakyRelu", elementwise::unary),
    ("MatMul", elementwise::matmul),
    ("MaxPool", spatial::max_pool),
    ("Mul", elementwise::binary),
    ("PRelu", elementwise::binary),
    ("Pad", layout::pad),
    ("ReduceMean", layout::reduce_mean),
    ("Relu", elementwise::unary),
    ("Reshape", layout::reshape),
    ("Shape", layout::shape),
    ("Sigmoid", elementwise::unary),
    ("Slice", layout::slice),
    ("Softmax", elementwise::softmax),
    ("Split", layout::split),
    ("Sqrt", fold::needs_constants),
    ("Squeeze", layout::squeeze),
    ("Sub", elementwise::binary),
    ("Sum", elementwise::sum),
    ("Tanh", elementwise::unary),
    ("Transpose", layout::transpose),
    ("Unsqueeze", layout::unsqueeze),
];

fn handler(node: &NodeProto) -> Option<Handler> {
    let standard = node.domain.is_empty() || node.domain == "ai.onnx";
    (OPERATORS.iter().find(|(name, _)| *name == node.op_type))
        .filter(|_| standard)
        .map(|(_, handler)| *handler)
}

/// Whether there is a translation for the operator of a node.
pub(super) fn is_supported(node: &NodeProto) -> bool {
    handler(node).is_some()
}

/// Name of a node, or of its output where it has none.
pub(super) fn node_name(node: &NodeProto) -> &str {
    match (node.name.as_str(), node.output.first()) {
        ("", Some(output)) => output,
        (name, _) => name,
    }
}

/// What a name in the file stands for.
enum Item {
    Value(ValueId),
    /// With its value in the graph, once something has computed with it.
    Constant(Constant, Option<ValueId>),
}

/// A graph that grows node by node.
pub(super) struct Importer {
    graph: Graph,
    items: HashMap<String, Item>,
    reader: Reader,
    opset: i64,
}

impl Importer {
    pub(super) fn new(
        path: &Path,
        opset: i64,
        input: &str,
        shape: &[usize],
    ) -> Result<Self, String> {
        let graph = Graph::new(input, shape).map_err(|e| e.to_string())?;
        let items = HashMap::from([(input.to_string(), Item::Value(graph.input()))]);
        Ok(Self {
            graph,
            items,
            reader: Reader::new(path),
            opset,
        })
    }

    /// Takes the initialisers; each gives up its bytes once it is read.
    pub(super) fn constants(&mut self, tensors: Vec<TensorProto>) -> Result<(), String> {
        for tensor in tensors {
            let constant = (self.reader.read(&tensor))
                .map_err(|e| format!("initialiser '{}': {e}", tensor.name))?;
            self.define(&tensor.name, Item::Constant(constant, None))?;
        }
        Ok(())
    }

    fn define(&mut self, name: &str, item: Item) -> Result<(), String> {
        match self.items.insert(name.into(), item) {
            Some(_) => Err(format!("'{name}' is defined twice")),
            None => Ok(()),
        }
    }

    /// Translates a node.
    pub(super) fn node(&mut self, node: &NodeProto) -> Result<(), String> {
        let name = node_name(node);
        let fail = |e: String| format!("node '{name}' ({}): {e}", node.op_type);
        let handler = handler(node).ok_or_else(|| fail("is not supported".into()))?;
        let mut computed = false;
        for input in node.input.iter().filter(|i| !i.is_empty()) {
            match self.items.get(input) {
                None => {
                    return Err(fail(format!(
                        "reads '{input}', which nothing before it writes"
                    )));
                }
                Some(Item::Value(_)) => computed = true,
                Some(Item::Constant(..)) => {}
            }
        }
        let mut context = Context {
            importer: self,
            attributes: Attributes(node),
        };
        if computed {
            handler(&mut context).map_err(fail)
        } else {
            fold::fold(&mut context).map_err(fail)
        }
    }

    /// The graph with its outputs.
    pub(super) fn finish<'a>(
        mut self,
        outputs: impl Iterator<Item = &'a str>,
    ) -> Result<Graph, String> {
        let outputs = outputs
            .map(|name| match self.items.get(name) {
                Some(Item::Value(id)) => Ok(*id),
                _ => Err(format!("no node computes the output '{name}'")),
            })
            .collect::<Result<Vec<_>, _>>()?;
        if outputs.is_empty() {
            return Err("has no output".into());
        }
        self.graph.set_outputs(&outputs);
        Ok(self.graph)
    }
}

/// A node being translated.
pub(super) struct Context<'a> {
    importer: &'a mut Importer,
    pub attributes: Attributes<'a>,
}

impl<'a> Context<'a> {
    /// Operator set of the model.
    pub(super) fn opset(&self) -> i64 {
        self.importer.opset
    }

    pub(super) fn operator(&self) -> &'a str {
        &self.attributes.0.op_type
    }

    pub(super) fn reader(&mut self) -> &mut Reader {
        &mut self.importer.reader
    }

    fn item(&self, i: usize) -> Option<&Item> {
        self.importer.items.get(self.attributes.input(i)?)
    }

    /// Input `i`, which must be computed.
    pub(super) fn data(&self, i: usize) -> Result<ValueId, String> {
        match self.item(i) {
            Some(Item::Value(id)) => Ok(*id),
            Some(_) => Err(format!("input {i} is a constant where data is needed")),
            None => Err(format!("input {i} is missing")),
        }
    }

    /// Shape per sample of the computed input `i`.
    pub(super) fn shape(&self, i: usize) -> Result<Vec<usize>, String> {
        Ok(self.importer.graph.value(self.data(i)?).shape.clone())
    }

    /// Input `i`, if there; it must be a constant.
    pub(super) fn optional_constant(&self, i: usize) -> Result<Option<&Constant>, String> {
        match self.item(i) {
            None => Ok(None),
            Some(Item::Constant(c, _)) => Ok(Some(c)),
            Some(Item::Value(_)) => Err(format!("input {i} must be a constant of the model")),
        }
    }

    /// Input `i`, which must be a constant.
    pub(super) fn constant(&self, i: usize) -> Result<&Constant, String> {
        (self.optional_constant(i)?).ok_or_else(|| format!("input {i} is missing"))
    }

    /// Input `i`, which must be constant floating-point numbers.
    pub(super) fn floats(&self, i: usize) -> Result<(Vec<usize>, &[f32]), String> {
        let c = self.constant(i)?;
        match &c.elements {
            Elements::Float(v) => Ok((c.shape.clone(), v)),
            Elements::Int(_) => Err(format!(
                "input {i} holds integers, not numbers to compute with"
            )),
        }
    }

    /// Known integers: a parameter up to some opset, an input later.
    pub(super) fn ints(&self, attribute: &str, input: usize) -> Result<Option<Vec<i64>>, String> {
        if let Some(v) = self.attributes.ints(attribute) {
            return Ok(Some(v.to_vec()));
        }
        self.optional_constant(input)?
            .map(Constant::known)
            .transpose()
    }

    /// Input `i` as a value of the graph, computed or constant.
    pub(super) fn operand(&mut self, i: usize) -> Result<ValueId, String> {
        let name = (self.attributes.input(i)).ok_or_else(|| format!("input {i} is missing"))?;
        let (shape, data) = match self.importer.items.get(name) {
            Some(Item::Value(id) | Item::Constant(_, Some(id))) => return Ok(*id),
            Some(Item::Constant(c, None)) => match &c.elements {
                Elements::Float(v) => (c.shape.clone(), v.clone()),
                Elements::Int(_) => {
                    return Err(format!(
                        "'{name}' holds integers, not numbers to compute with"
                    ));
                }
            },
            None => return Err(format!("input {i} is missing")),
        };
        let id = (self.importer.graph.constant(name, &shape, data)).map_err(|e| e.to_string())?;
        if let Some(Item::Constant(_, slot)) = self.importer.items.get_mut(name) {
            *slot = Some(id);
        }
        Ok(id)
    }

    /// Adds a constant made from others, called after input `i`.
    pub(super) fn derived(
        &mut self,
        i: usize,
        shape: &[usize],
        data: Vec<f32>,
    ) -> Result<ValueId, String> {
        let name = self.attributes.input(i).unwrap_or("");
        (self.importer.graph.constant(name, shape, data)).map_err(|e| e.to_string())
    }

    /// Adds a node whose result is nobody's output yet.
    pub(super) fn inner(&mut self, op: Op, inputs: &[ValueId]) -> Result<ValueId, String> {
        let name = node_name(self.attributes.0);
        self.importer.graph.try_push(name, name, op, inputs)
    }

    /// Adds a node that writes output `i`.
    pub(super) fn push_output(
        &mut self,
        i: usize,
        op: Op,
        inputs: &[ValueId],
    ) -> Result<(), String> {
        let output = self.output(i)?;
        let name = node_name(self.attributes.0);
        let id = self.importer.graph.try_push(name, output, op, inputs)?;
        self.importer.define(output, Item::Value(id))
    }

    /// Adds the node that writes the first output, the only one that may be used.
    pub(super) fn push(&mut self, op: Op, inputs: &[ValueId]) -> Result<(), String> {
        self.push_output(0, op, inputs)
    }

    /// The first output is another name of a value.
    pub(super) fn alias(&mut self, id: ValueId) -> Result<(), String> {
        let output = self.output(0)?;
        self.importer.define(output, Item::Value(id))
    }

    /// The first output is a constant.
    pub(super) fn define(&mut self, constant: Constant) -> Result<(), String> {
        let output = self.output(0)?;
        self.importer.define(output, Item::Constant(constant, None))
    }

    fn output(&self, i: usize) -> Result<&'a str, String> {
        let name = self.attributes.0.output.get(i).map(String::as_str);
        (name.filter(|n| !n.is_empty())).ok_or_else(|| format!("output {i} is missing"))
    }
}

/// Shape with the batch first, as shape arithmetic sees it.
pub(super) fn dims(shape: &[usize]) -> Vec<Dim> {
    let known = shape.iter().map(|&d| Dim::Known(d as i64));
    std::iter::once(Dim::Batch).chain(known).collect()
}
