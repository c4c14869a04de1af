//! Networks changed for the impulse response (docs/definitions.md#impulse-response).

use super::graph::Graph;
use super::node::{Node, Op, ValueId};
use crate::ops::Activation;
use crate::ops::net::{Binary, PoolKind, Reduction, Unary};
use crate::{Error, Result};

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
    /// first element in range. Batch normalisation, additions and average pooling stay.
    ///
    /// # Errors
    /// [`Error::NonLinear`] names a product of two computed values that is no activation.
    pub fn linearised(&self) -> Result<Self> {
        let mut graph = self.clone();
        let changes = (self.nodes().iter())
            .map(|n| self.linear_form(n))
            .collect::<Result<Vec<_>>>()?;
        for (node, change) in graph.nodes_mut().iter_mut().zip(changes) {
            if let Some((op, inputs)) = change {
                (node.op, node.inputs) = (op, inputs);
            }
        }
        graph.index_readers();
        Ok(graph)
    }

    /// What stands in for a node that is not linear.
    fn linear_form(&self, node: &Node) -> Result<Option<(Op, Vec<ValueId>)>> {
        let x = node.inputs[0];
        let computed = |id: ValueId| self.value(id).data.is_none();
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
                match self.gated(node) {
                    Some(x) => Some((NOTHING, vec![x])),
                    None => return Err(product(node)),
                }
            }
            Op::Binary(Binary::Div, _) if computed(node.inputs[1]) => return Err(product(node)),
            _ => None,
        })
    }

    /// The value `x` of an activation written as a product `x f(x)`, such as SiLU.
    pub(super) fn gated(&self, node: &Node) -> Option<ValueId> {
        let &[a, b] = node.inputs.as_slice() else {
            return None;
        };
        if !matches!(node.op, Op::Binary(Binary::Mul, _)) {
            return None;
        }
        let of = |gate: ValueId, x: ValueId| {
            let maker = self.maker(gate)?;
            let only = self.readers(gate).count() == 1;
            (only && matches!(maker.op, Op::Unary(_)) && maker.inputs == [x]).then_some(x)
        };
        of(b, a).or_else(|| of(a, b))
    }
}

fn product(node: &Node) -> Error {
    Error::NonLinear {
        node: node.name.clone(),
    }
}
