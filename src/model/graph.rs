//! A network as nodes over named values, shapes known but for the batch.

use super::data::Data;
use super::node::{Node, Op, Value, ValueId};
use super::parts::{Output, Parts};
use super::shape;
use crate::{Error, Result};

/// A network with one input. Nodes are in an order in which they can run.
#[derive(Clone, Debug)]
pub struct Graph {
    values: Vec<Value>,
    nodes: Vec<Node>,
    outputs: Vec<ValueId>,
    /// Nodes that read each value.
    readers: Vec<Vec<usize>>,
    pub(super) parts: Parts,
}

impl Graph {
    /// A network whose input has `shape` per sample.
    ///
    /// # Errors
    /// [`Error::Network`] on an unusable shape.
    pub fn new(input: &str, shape: &[usize]) -> Result<Self> {
        shape::check_size(shape).map_err(|e| Error::network(format!("input '{input}': {e}")))?;
        Ok(Self {
            values: vec![Value {
                name: input.into(),
                shape: shape.to_vec(),
                data: None,
            }],
            nodes: vec![],
            outputs: vec![],
            readers: vec![vec![]],
            parts: Parts::default(),
        })
    }

    /// Adds a constant.
    ///
    /// # Errors
    /// [`Error::Network`] if `data` does not fill `shape`.
    pub fn constant(
        &mut self,
        name: &str,
        shape: &[usize],
        data: impl Into<Data>,
    ) -> Result<ValueId> {
        let data = data.into();
        let fits = shape::check_size(shape).is_ok_and(|n| n == data.len());
        if !fits {
            return Err(Error::network(format!(
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
    /// [`Error::Network`] names the node whose inputs do not fit its operation.
    pub fn push(
        &mut self,
        name: &str,
        output: &str,
        op: Op,
        inputs: &[ValueId],
    ) -> Result<ValueId> {
        let operator = op.name();
        (self.try_push(name, output, op, inputs)).map_err(|what| Error::Network {
            path: None,
            node: Some(crate::error::Node {
                name: name.into(),
                operator: operator.into(),
            }),
            what,
        })
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

    /// The outputs that are computed.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// Says which values are the outputs.
    pub fn set_outputs(&mut self, outputs: &[ValueId]) {
        let named = |&id: &ValueId| Output {
            name: self.value(id).name.clone(),
            value: Ok(id),
        };
        let outputs = outputs.iter().map(named).collect();
        self.set_named_outputs(outputs);
    }

    /// As [`Graph::set_outputs`], with names that may differ from those of the values.
    pub(super) fn set_named_outputs(&mut self, outputs: Vec<Output>) {
        let values = outputs.iter().filter_map(|o| o.value.as_ref().ok());
        self.outputs = values.copied().collect();
        self.parts.outputs = outputs;
    }

    /// Numbers of values and nodes, to come back to with [`Graph::truncate`].
    pub(super) fn size(&self) -> (usize, usize) {
        (self.values.len(), self.nodes.len())
    }

    /// Takes back everything that was added since the graph had this size.
    pub(super) fn truncate(&mut self, (values, nodes): (usize, usize)) {
        for node in self.nodes.drain(nodes..) {
            for input in &node.inputs {
                self.readers[input.0].retain(|&reader| reader < nodes);
            }
        }
        self.values.truncate(values);
        self.readers.truncate(values);
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

    /// Place among the nodes of the first that reads a value.
    pub(super) fn first_reader(&self, id: ValueId) -> Option<usize> {
        self.readers[id.0].first().copied()
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
