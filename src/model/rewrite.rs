//! Networks changed for the impulse response (docs/definitions.md#impulse-response).

use super::graph::Graph;
use super::node::{Node, Op, ValueId};
use crate::ops::Activation;
use crate::ops::net::{Binary, PoolKind, Reduction, Unary};
use crate::{Error, Result};
use std::collections::HashSet;

const NOTHING: Op = Op::Unary(Unary::Activation(Activation::Identity));

impl Graph {
    /// The network with the biases of its convolutions and linear layers set to 0.
    #[must_use]
    pub fn without_biases(&self) -> Self {
        let mut graph = self.clone();
        for node in graph.nodes_mut() {
            if matches!(node.op, Op::Conv(_) | Op::Linear(_)) {
                node.inputs.truncate(2);
            }
        }
        graph
    }

    /// The network without its nonlinearities: activations and softmax do nothing, max pooling takes the
    /// first element in range. Batch normalisation, additions and average pooling stay. An activation that is
    /// spelled in several operations, such as `x sigmoid(x)`, does nothing as a whole.
    ///
    /// # Errors
    /// [`Error::NonLinear`] names a product of two computed values that is no activation.
    pub fn linearised(&self) -> Result<Self> {
        let mut graph = self.clone();
        let sources = self.elementwise_sources();
        let mut spelled = vec![None; self.value_count()];
        let mut changes = vec![];
        for node in self.nodes() {
            let change = self.linear_form(node, &sources, &spelled)?;
            if let Some((_, inputs)) = &change
                && self.joins(node)
            {
                spelled[node.output.index()] = inputs.first().copied();
            }
            changes.push(change);
        }
        for (node, change) in graph.nodes_mut().iter_mut().zip(changes) {
            if let Some((op, inputs)) = change {
                (node.op, node.inputs) = (op, inputs);
            }
        }
        graph.index_readers();
        Ok(graph)
    }

    /// What stands in for a node that is not linear. `sources` are those of [`Graph::elementwise_sources`],
    /// `spelled` the inputs of activations that are spelled in several operations, at their last value so far.
    fn linear_form(
        &self,
        node: &Node,
        sources: &[Option<ValueId>],
        spelled: &[Option<ValueId>],
    ) -> Result<Option<(Op, Vec<ValueId>)>> {
        let x = node.inputs[0];
        let computed = |id: ValueId| self.value(id).data.is_none();
        if self.joins(node) {
            let of = sources[node.output.index()].filter(|&of| self.is_curved(node.output, of));
            if let Some(x) = of {
                return Ok(Some((NOTHING, vec![x])));
            }
        }
        Ok(match &node.op {
            Op::Unary(f) if f.is_affine() => None,
            Op::Unary(_) | Op::Softmax(_) | Op::Normalise { .. } | Op::Binary(Binary::PRelu, _) => {
                Some((NOTHING, vec![x]))
            }
            Op::Binary(Binary::Pow | Binary::Min | Binary::Max, _) => {
                let mut values = node.inputs.iter().filter(|&&i| computed(i));
                match (values.next(), values.next()) {
                    (Some(&x), None) => Some((NOTHING, vec![x])),
                    _ => return Err(product(node)),
                }
            }
            Op::Binary(f, _)
                if !matches!(f, Binary::Add | Binary::Sub | Binary::Mul | Binary::Div) =>
            {
                return Err(product(node));
            }
            Op::Reduce { kind, .. } if !matches!(kind, Reduction::Mean | Reduction::Sum) => {
                return Err(product(node));
            }
            Op::MatMul if node.inputs.iter().all(|&i| computed(i)) => return Err(product(node)),
            Op::Pool(p) if p.kind == PoolKind::Max => {
                let mut first = *p;
                first.kind = PoolKind::First;
                Some((Op::Pool(first), node.inputs.clone()))
            }
            Op::Binary(Binary::Mul, _) if node.inputs.iter().all(|&i| computed(i)) => {
                return Err(product(node));
            }
            Op::Binary(Binary::Div, _) if computed(node.inputs[1]) => return Err(product(node)),
            // The factor 1/2 of GELU, 1/6 of hard swish: part of the activation before it.
            Op::Binary(Binary::Mul | Binary::Div, _) => {
                let scaled = node.inputs.iter().copied().find(|&id| computed(id));
                let number = |&id: &ValueId| computed(id) || self.value(id).len() == 1;
                let before = scaled.and_then(|id| spelled[id.index()]);
                (before.filter(|_| node.inputs.iter().all(number))).map(|x| (NOTHING, vec![x]))
            }
            _ => None,
        })
    }

    /// Whether a node combines several computed values, or one with itself.
    fn joins(&self, node: &Node) -> bool {
        let computed = |&&id: &&ValueId| self.value(id).data.is_none();
        matches!(node.op, Op::Binary(..)) && node.inputs.iter().filter(computed).count() > 1
    }

    /// Whether an operation that is not linear lies between `of` and `value`, an elementwise function of it.
    fn is_curved(&self, value: ValueId, of: ValueId) -> bool {
        let mut open = vec![value];
        let mut seen = HashSet::from([of]);
        while let Some(id) = open.pop() {
            let Some(node) = self.maker(id).filter(|_| seen.insert(id)) else {
                continue;
            };
            let adds = matches!(node.op, Op::Binary(Binary::Add | Binary::Sub, _));
            if !adds && !self.is_affine(node) {
                return true;
            }
            let computed = |id: &ValueId| self.value(*id).data.is_none();
            open.extend(node.inputs.iter().copied().filter(computed));
        }
        false
    }
}

fn product(node: &Node) -> Error {
    Error::NonLinear {
        node: node.name.clone(),
    }
}
