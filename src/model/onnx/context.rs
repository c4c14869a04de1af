//! What the translation of an operator works with: the graph so far, what the names of the file stand for,
//! and the node at hand. The files below `operators` see the file through [`Context`] alone.

use super::attributes::{Attributes, node_name};
use super::proto::NodeProto;
use super::tensor::{Constant, Dim, Elements, Reader};
use crate::model::graph::Graph;
use crate::model::node::{Op, ValueId};
use std::collections::HashMap;
use std::path::Path;

/// An operator of ONNX. Each file below `operators` exposes a table of its operators; adding one to a table
/// is all that a new operator takes.
pub(super) struct Operator {
    /// `op_type` in the file.
    pub(super) name: &'static str,
    /// Adds the nodes that compute it, where at least one input is computed.
    pub(super) translate: Translate,
    /// Its result where all inputs are constants, `None` where that is not supported.
    pub(super) evaluate: Option<Evaluate>,
}

/// Adds the nodes that compute an operator.
type Translate = fn(&mut Context<'_>) -> Done;

/// Computes an operator's result from constants.
type Evaluate = fn(&mut Context<'_>) -> Result<Constant, String>;

/// The error says what is wrong with the node; its name is added by the caller.
pub(super) type Done = Result<(), String>;

impl Operator {
    /// An operator on computed values.
    pub(super) const fn new(name: &'static str, translate: fn(&mut Context<'_>) -> Done) -> Self {
        Self {
            name,
            translate,
            evaluate: None,
        }
    }

    /// The same operator, which can also be evaluated while the model is read.
    pub(super) const fn or_constant(
        self,
        evaluate: fn(&mut Context<'_>) -> Result<Constant, String>,
    ) -> Self {
        Self {
            evaluate: Some(evaluate),
            ..self
        }
    }
}

/// The translation of operators that are supported on constants only.
pub(super) fn constants_only(_: &mut Context<'_>) -> Done {
    Err("is supported on constants only".into())
}

/// What a name in the file stands for.
pub(super) enum Item {
    Value(ValueId),
    /// With its value in the graph, once something has computed with it.
    Constant(Constant, Option<ValueId>),
}

/// A model being read: a graph that grows node by node.
pub(super) struct Import {
    pub(super) graph: Graph,
    pub(super) items: HashMap<String, Item>,
    pub(super) reader: Reader,
    opset: i64,
}

impl Import {
    /// A graph with its input alone. Outside files are looked for beside `path`.
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

    /// Says what a name stands for.
    pub(super) fn define(&mut self, name: &str, item: Item) -> Result<(), String> {
        match self.items.insert(name.into(), item) {
            Some(_) => Err(format!("'{name}' is defined twice")),
            None => Ok(()),
        }
    }
}

/// A node being translated.
pub(super) struct Context<'a> {
    import: &'a mut Import,
    pub(super) attributes: Attributes<'a>,
}

impl<'a> Context<'a> {
    pub(super) fn new(import: &'a mut Import, node: &'a NodeProto) -> Self {
        Self {
            import,
            attributes: Attributes(node),
        }
    }

    /// Operator set of the model.
    pub(super) fn opset(&self) -> i64 {
        self.import.opset
    }

    pub(super) fn operator(&self) -> &'a str {
        &self.attributes.0.op_type
    }

    pub(super) fn reader(&mut self) -> &mut Reader {
        &mut self.import.reader
    }

    fn item(&self, i: usize) -> Option<&Item> {
        self.import.items.get(self.attributes.input(i)?)
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
        Ok(self.import.graph.value(self.data(i)?).shape.clone())
    }

    /// Shape of a value; per sample if it is computed.
    pub(super) fn value_shape(&self, id: ValueId) -> Vec<usize> {
        self.import.graph.value(id).shape.clone()
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
        let (shape, data) = match self.import.items.get(name) {
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
        let id = (self.import.graph.constant(name, &shape, data)).map_err(|e| e.to_string())?;
        if let Some(Item::Constant(_, slot)) = self.import.items.get_mut(name) {
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
        (self.import.graph.constant(name, shape, data)).map_err(|e| e.to_string())
    }

    /// Adds a node whose result is nobody's output yet.
    pub(super) fn inner(&mut self, op: Op, inputs: &[ValueId]) -> Result<ValueId, String> {
        let name = node_name(self.attributes.0);
        self.import.graph.try_push(name, name, op, inputs)
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
        let id = self.import.graph.try_push(name, output, op, inputs)?;
        self.import.define(output, Item::Value(id))
    }

    /// Adds the node that writes the first output, the only one that may be used.
    pub(super) fn push(&mut self, op: Op, inputs: &[ValueId]) -> Result<(), String> {
        self.push_output(0, op, inputs)
    }

    /// The first output is another name of a value.
    pub(super) fn alias(&mut self, id: ValueId) -> Result<(), String> {
        let output = self.output(0)?;
        self.import.define(output, Item::Value(id))
    }

    /// The first output is another name of input 0, which must be computed.
    pub(super) fn identity(&mut self) -> Done {
        let x = self.data(0)?;
        self.alias(x)
    }

    /// The first output is a constant.
    pub(super) fn define(&mut self, constant: Constant) -> Result<(), String> {
        let output = self.output(0)?;
        self.import.define(output, Item::Constant(constant, None))
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
