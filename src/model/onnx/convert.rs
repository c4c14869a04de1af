//! From nodes of the file to nodes of the graph.

use super::attributes::node_name;
use super::context::{Context, Done, Import, Item, Operator};
use super::fault::Fault;
use super::operators;
use super::proto::{NodeProto, TensorProto};
use crate::error::Node;
use crate::model::graph::Graph;
use std::path::Path;

/// Translates a model, node by node.
pub(super) struct Importer(Import);

impl Importer {
    /// A graph with its input alone. Outside files are looked for beside `path`.
    pub(super) fn new(
        path: &Path,
        opset: i64,
        input: &str,
        shape: &[usize],
    ) -> Result<Self, String> {
        Import::new(path, opset, input, shape).map(Self)
    }

    /// Takes the initialisers; each gives up its bytes once it is read.
    pub(super) fn constants(&mut self, tensors: Vec<TensorProto>) -> Result<(), String> {
        for tensor in tensors {
            let constant = (self.0.reader.read(&tensor))
                .map_err(|e| format!("initialiser '{}': {e}", tensor.name))?;
            self.0
                .define(&tensor.name, Item::Constant(constant, None))?;
        }
        Ok(())
    }

    /// Translates a node.
    pub(super) fn node(&mut self, node: &NodeProto) -> Result<(), Fault> {
        let fail = |what: String| Fault {
            node: Some(Node {
                name: node_name(node).into(),
                operator: node.op_type.clone(),
            }),
            what,
        };
        let operator = operators::find(node).ok_or_else(|| fail("is not supported".into()))?;
        let mut computed = false;
        for input in node.input.iter().filter(|i| !i.is_empty()) {
            match self.0.items.get(input) {
                None => {
                    return Err(fail(format!(
                        "reads '{input}', which nothing before it writes"
                    )));
                }
                Some(Item::Value(_)) => computed = true,
                Some(Item::Constant(..)) => {}
            }
        }
        let mut context = Context::new(&mut self.0, node);
        if computed {
            (operator.translate)(&mut context).map_err(fail)
        } else {
            evaluate(operator, &mut context).map_err(fail)
        }
    }

    /// The graph with its outputs.
    pub(super) fn finish<'a>(
        mut self,
        outputs: impl Iterator<Item = &'a str>,
    ) -> Result<Graph, String> {
        let outputs = outputs
            .map(|name| match self.0.items.get(name) {
                Some(Item::Value(id)) => Ok(*id),
                _ => Err(format!("no node computes the output '{name}'")),
            })
            .collect::<Result<Vec<_>, _>>()?;
        if outputs.is_empty() {
            return Err("has no output".into());
        }
        self.0.graph.set_outputs(&outputs);
        Ok(self.0.graph)
    }
}

/// Evaluates a node whose inputs are all constants.
fn evaluate(operator: &Operator, context: &mut Context<'_>) -> Done {
    let Some(evaluate) = operator.evaluate else {
        context.constant(0)?;
        return Err(
            "on constants alone is not supported; simplify the model (constant folding) first"
                .into(),
        );
    };
    let constant = evaluate(context)?;
    context.define(constant)
}
