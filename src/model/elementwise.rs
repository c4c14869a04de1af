//! How far a value stays a function of one other value, element by element (docs/definitions.md#taps).
//!
//! A value is an *elementwise function* of `x` when every operation between them maps each element of `x` to
//! the element at the same place, with constants at most beside it: an activation, whether it is one operation
//! or spelled in several, or a multiplication and addition per channel.

use super::graph::Graph;
use super::node::{Node, Op, ValueId};
use crate::ops::net::Binary;
use std::collections::HashMap;

/// Where an elementwise function ends.
pub(super) struct End {
    /// The last value that everything behind it sees the function through.
    pub(super) value: ValueId,
    /// Whether an operation that is not affine lies before it.
    pub(super) curved: bool,
}

impl Graph {
    /// Whether a node computes each element of its result from the elements at the same place of its computed
    /// inputs, and from constants.
    fn is_elementwise(&self, node: &Node) -> bool {
        let shape = &self.value(node.output).shape;
        let same = |&id: &ValueId| {
            let value = self.value(id);
            value.data.is_some() || value.shape == *shape
        };
        node.op.is_elementwise() && node.inputs.iter().all(same)
    }

    /// The values that a node computes from, each once.
    fn computed_inputs(&self, node: &Node) -> Vec<ValueId> {
        let mut inputs: Vec<ValueId> = (node.inputs.iter().copied())
            .filter(|&id| self.value(id).data.is_none())
            .collect();
        inputs.sort_unstable();
        inputs.dedup();
        inputs
    }

    /// Whether a node is `x a + b` of one computed value `x`, with constants `a` and `b`.
    pub(super) fn is_affine(&self, node: &Node) -> bool {
        let constant = |i: usize| {
            let id = node.inputs.get(i);
            id.is_some_and(|&id| self.value(id).data.is_some())
        };
        match node.op {
            Op::BatchNorm(_) => true,
            Op::Unary(f) => f.is_affine(),
            Op::Binary(Binary::Add | Binary::Sub | Binary::Mul, _) => constant(0) || constant(1),
            Op::Binary(Binary::Div, _) => constant(1),
            _ => false,
        }
    }

    /// How far everything that is computed from `start` is computed from it alone, element by element. A batch
    /// normalisation counts directly behind `start` only: behind an activation it is a layer of its own.
    pub(super) fn elementwise_end(&self, start: ValueId) -> End {
        // Values of the function that still have readers to come, with the number of these. Once there is one
        // alone, everything behind sees the function through it.
        let mut open = HashMap::from([(start, self.readers(start).count())]);
        let mut curved = HashMap::from([(start, false)]);
        let mut end = End {
            value: start,
            curved: false,
        };
        let first = self.first_reader(start);
        for node in first.map_or(&[][..], |i| &self.nodes()[i..]) {
            let inputs = self.computed_inputs(node);
            if !inputs.iter().any(|id| open.contains_key(id)) {
                continue;
            }
            let inside = |id: &ValueId| curved.contains_key(id) && !self.is_cut(*id);
            let bends =
                !self.is_affine(node) || inputs.iter().any(|id| curved.get(id) == Some(&true));
            let crosses = matches!(node.op, Op::BatchNorm(_)) && bends;
            if !self.is_elementwise(node) || !inputs.iter().all(inside) || crosses {
                break;
            }
            for id in &inputs {
                if let Some(left) = open.get_mut(id) {
                    *left -= 1;
                    if *left == 0 {
                        open.remove(id);
                    }
                }
            }
            curved.insert(node.output, bends);
            open.insert(node.output, self.readers(node.output).count());
            if open.values().all(|&left| left == 0) && open.len() > 1 {
                break;
            }
            if open.len() == 1 {
                end = End {
                    value: node.output,
                    curved: bends,
                };
            }
        }
        end
    }

    /// For every value the nearest other one that it is an elementwise function of, `None` where there is none.
    pub(super) fn elementwise_sources(&self) -> Vec<Option<ValueId>> {
        // The sources form a tree: the nearest common one of several values is their lowest common ancestor.
        let mut sources: Vec<Option<ValueId>> = vec![None; self.value_count()];
        let mut depth = vec![0usize; self.value_count()];
        for node in self.nodes().iter().filter(|n| self.is_elementwise(n)) {
            let inputs = self.computed_inputs(node);
            let mut common = inputs.first().copied();
            for &other in inputs.iter().skip(1) {
                let (mut a, mut b) = (common, Some(other));
                while let (Some(x), Some(y)) = (a, b)
                    && x != y
                {
                    if depth[x.index()] >= depth[y.index()] {
                        a = sources[x.index()];
                    } else {
                        b = sources[y.index()];
                    }
                }
                common = a.and(b);
            }
            sources[node.output.index()] = common;
            depth[node.output.index()] = common.map_or(0, |c| depth[c.index()] + 1);
        }
        sources
    }
}

impl Op {
    /// Whether elements are computed one by one, from those at the same place where the shapes are equal.
    const fn is_elementwise(&self) -> bool {
        matches!(self, Self::Unary(_) | Self::Binary(..) | Self::BatchNorm(_))
    }
}
