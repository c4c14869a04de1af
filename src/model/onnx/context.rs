//! What the translation of an operator works with: the graph so far, what the names of the file stand for,
//! and the node at hand. The files below `operators` see the file through [`Context`] alone.

use super::attributes::{Attributes, node_name};
use super::proto::{NodeProto, TensorProto};
use super::reader::{Reader, Source, load};
use super::tensor::{Constant, Dim, Elements};
use crate::io::file::DataFile;
use crate::model::data::Data;
use crate::model::graph::Graph;
use crate::model::node::{Op, ValueId};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

/// An operator of ONNX on computed values. Each file below `operators` exposes a table of its operators; adding
/// one to a table is all that a new operator takes. Operators on constants alone are in `fold`.
pub(super) struct Operator {
    /// `op_type` in the file.
    pub(super) name: &'static str,
    /// Operator set; empty for the standard one.
    pub(super) domain: &'static str,
    /// Adds the nodes that compute it, where at least one input is computed.
    pub(super) translate: fn(&mut Context<'_>) -> Done,
    /// Whether its weight, input 1, may stay in the file ([`Context::weight`]). All other constants are read before
    /// a node is translated.
    pub(super) leaves_weight: bool,
}

/// The error says what is wrong with the node; its name is added by the caller.
pub(super) type Done = Result<(), String>;

impl Operator {
    /// An operator of the standard set.
    pub(super) const fn new(name: &'static str, translate: fn(&mut Context<'_>) -> Done) -> Self {
        Self {
            name,
            domain: "",
            translate,
            leaves_weight: false,
        }
    }

    /// The same operator, which takes its weight from the file.
    pub(super) const fn leaving_weight(self) -> Self {
        Self {
            leaves_weight: true,
            ..self
        }
    }

    /// The same operator of another set.
    pub(super) const fn of(self, domain: &'static str) -> Self {
        Self { domain, ..self }
    }
}

/// What a name in the file stands for.
pub(super) enum Item {
    Value(ValueId),
    /// With its value in the graph, once something has computed with it.
    Constant(Constant, Option<ValueId>),
    /// Shape and elements of a constant that is still in its file, and its value as of a constant.
    Stored(Vec<usize>, Data, Option<ValueId>),
    /// A computed value whose batch is not its first axis.
    Moved(Moved),
    /// Nothing, for a reason that the importer keeps at this place.
    Missing(usize),
}

/// Room for constants that are computed from others: so many bytes for each byte of the file...
const BYTES_PER_BYTE: u64 = 8;
/// ... and so many more, for the shape arithmetic and the grids of small networks.
const BYTES_MORE: u64 = 16 << 20;

/// What constants computed from others have taken. A chain of nodes of which each doubles a list would otherwise
/// make any size from a few bytes.
pub(super) struct Room {
    /// Bytes of the model's file.
    file: u64,
    taken: Cell<u64>,
    exceeded: Cell<bool>,
}

impl Room {
    /// Whether a node asked for more than there is.
    pub(super) fn exceeded(&self) -> bool {
        self.exceeded.get()
    }
}

/// A value of the graph seen with its axes in another order: axis `i` is axis `perm[i]` of the value.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    pub(super) value: ValueId,
    pub(super) perm: Vec<usize>,
}

/// What an operator says that needs the batch first.
pub(super) const BATCH_MOVED: &str =
    "has its batch at another axis than the first, where it must stay";

/// A model being read: a graph that grows node by node.
pub(super) struct Import {
    pub(super) graph: Graph,
    pub(super) items: HashMap<String, Item>,
    pub(super) reader: Reader,
    pub(super) room: Room,
    opset: i64,
}

impl Import {
    /// A graph with its input alone. Outside files are looked for beside `file`.
    pub(super) fn new(
        file: Arc<DataFile>,
        opset: i64,
        input: &str,
        shape: &[usize],
    ) -> Result<Self, String> {
        let graph = Graph::new(input, shape).map_err(|e| e.to_string())?;
        let items = HashMap::from([(input.to_string(), Item::Value(graph.input()))]);
        Ok(Self {
            graph,
            items,
            room: Room {
                file: file.len(),
                taken: Cell::new(0),
                exceeded: Cell::new(false),
            },
            reader: Reader::new(file),
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

    /// What a tensor stands for.
    pub(super) fn find(&mut self, tensor: &TensorProto) -> Result<Item, String> {
        let (shape, source) = self.reader.find(tensor)?;
        Ok(match source {
            Source::Memory(elements) => Item::Constant(Constant { shape, elements }, None),
            Source::File(data) => Item::Stored(shape, data, None),
        })
    }

    /// Reads a constant that is still in its file.
    pub(super) fn load(&mut self, name: &str) -> Result<(), String> {
        if let Some(item) = self.items.get_mut(name)
            && let Item::Stored(shape, data, id) = item
        {
            let constant = Constant {
                shape: std::mem::take(shape),
                elements: Elements::Float(load(data)?),
            };
            *item = Item::Constant(constant, *id);
        }
        Ok(())
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
            Some(Item::Constant(..) | Item::Stored(..)) => {
                Err(format!("input {i} is a constant where data is needed"))
            }
            Some(Item::Moved(_)) => Err(format!("input {i} {BATCH_MOVED}")),
            Some(Item::Missing(_)) | None => Err(format!("input {i} is missing")),
        }
    }

    /// Input `i`, if it is a value whose batch was moved.
    pub(super) fn moved(&self, i: usize) -> Option<Moved> {
        match self.item(i) {
            Some(Item::Moved(moved)) => Some(moved.clone()),
            _ => None,
        }
    }

    /// Output `i` is a value with its axes in another order. If the batch is first, it is transposed.
    pub(super) fn push_moved(&mut self, i: usize, moved: Moved) -> Result<(), String> {
        if moved.perm[0] == 0 {
            return self.push_output(i, Op::Transpose(moved.perm), &[moved.value]);
        }
        let output = self.output(i)?;
        self.import.define(output, Item::Moved(moved))
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
            None | Some(Item::Missing(_)) => Ok(None),
            Some(Item::Constant(c, _)) => Ok(Some(c)),
            Some(Item::Stored(..)) => Err(format!("input {i} is still in its file")),
            Some(Item::Value(_) | Item::Moved(_)) => {
                Err(format!("input {i} must be a constant of the model"))
            }
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
            Elements::Int(_) => Err(integers(i)),
        }
    }

    /// Shape and elements of input `i`, constant floating-point numbers that may still be in their file.
    pub(super) fn weight(&self, i: usize) -> Result<(Vec<usize>, Data), String> {
        if let Some(Item::Stored(shape, data, _)) = self.item(i) {
            return Ok((shape.clone(), data.clone()));
        }
        let c = self.constant(i)?;
        match &c.elements {
            Elements::Float(v) => Ok((c.shape.clone(), v.clone().into())),
            Elements::Int(_) => Err(integers(i)),
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

    /// Takes room for a constant of `shape`, with elements of `width` bytes, that is computed from others; to be
    /// called before it is made. Its number of elements.
    pub(super) fn claim(&self, shape: &[usize], width: usize) -> Result<usize, String> {
        let room = &self.import.room;
        let backed = room.file.saturating_add(self.import.reader.outside_bytes());
        let most = backed
            .saturating_mul(BYTES_PER_BYTE)
            .saturating_add(BYTES_MORE);
        let len = shape.iter().try_fold(1usize, |p, &d| p.checked_mul(d));
        let bytes = len.and_then(|n| n.checked_mul(width)).map(|n| n as u64);
        let taken = bytes.and_then(|b| room.taken.get().checked_add(b));
        match (len, taken.filter(|&t| t <= most)) {
            (Some(len), Some(taken)) => {
                room.taken.set(taken);
                Ok(len)
            }
            _ => {
                room.exceeded.set(true);
                Err(format!(
                    "constants that are computed from others would take more than {most} bytes in a model of \
                     {backed} bytes; simplify the model first"
                ))
            }
        }
    }

    /// Input `i` as a value of the graph, computed or constant.
    pub(super) fn operand(&mut self, i: usize) -> Result<ValueId, String> {
        let name = (self.attributes.input(i)).ok_or_else(|| format!("input {i} is missing"))?;
        let (shape, data) = match self.import.items.get(name) {
            Some(Item::Value(id) | Item::Constant(_, Some(id)) | Item::Stored(_, _, Some(id))) => {
                return Ok(*id);
            }
            Some(Item::Stored(shape, data, None)) => (shape.clone(), data.clone()),
            Some(Item::Constant(c, None)) => match &c.elements {
                Elements::Float(v) => (c.shape.clone(), v.clone().into()),
                Elements::Int(_) => {
                    return Err(format!(
                        "'{name}' holds integers, not numbers to compute with"
                    ));
                }
            },
            Some(Item::Moved(_)) => return Err(format!("input {i} {BATCH_MOVED}")),
            Some(Item::Missing(_)) | None => return Err(format!("input {i} is missing")),
        };
        let id = (self.import.graph.constant(name, &shape, data)).map_err(|e| e.to_string())?;
        if let Some(Item::Constant(_, slot) | Item::Stored(_, _, slot)) =
            self.import.items.get_mut(name)
        {
            *slot = Some(id);
        }
        Ok(id)
    }

    /// Adds a constant made from others, called after input `i`.
    pub(super) fn derived(
        &mut self,
        i: usize,
        shape: &[usize],
        data: impl Into<Data>,
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
        self.define_all(vec![constant])
    }

    /// The outputs that have a name are constants.
    pub(super) fn define_all(&mut self, constants: Vec<Constant>) -> Result<(), String> {
        for (output, constant) in self.attributes.0.output.iter().zip(constants) {
            if !output.is_empty() {
                self.import.define(output, Item::Constant(constant, None))?;
            }
        }
        Ok(())
    }

    fn output(&self, i: usize) -> Result<&'a str, String> {
        let name = self.attributes.0.output.get(i).map(String::as_str);
        (name.filter(|n| !n.is_empty())).ok_or_else(|| format!("output {i} is missing"))
    }
}

fn integers(i: usize) -> String {
    format!("input {i} holds integers, not numbers to compute with")
}

/// Shape with the batch first, as shape arithmetic sees it.
pub(super) fn dims(shape: &[usize]) -> Vec<Dim> {
    let known = shape.iter().map(|&d| Dim::Known(d as i64));
    std::iter::once(Dim::Batch).chain(known).collect()
}
