//! What a forward pass runs: the nodes that are needed, fused, with the end of every value's life.

use super::data::Data;
use super::graph::Graph;
use super::node::{Node, Op, ValueId};
use crate::ops::Activation;
use crate::ops::net::Unary;
use crate::{Error, Result};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Where a step reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A computed value.
    Value(ValueId),
    /// A constant of the program.
    Constant(usize),
}

/// One fused operation.
#[derive(Clone, Debug)]
pub struct Step {
    /// Name of its first node.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// What it reads.
    pub inputs: Vec<Operand>,
    /// What it writes.
    pub output: ValueId,
    /// Computed values no later step reads.
    pub last_uses: Vec<ValueId>,
}

/// A constant of a program.
#[derive(Clone, Debug)]
pub struct Constant {
    /// Shape.
    pub shape: Vec<usize>,
    data: Data,
    /// The scale of a batch normalisation that is folded into a weight: one factor per output channel, and how
    /// many elements in a row have the same.
    scale: Option<(Arc<[f32]>, usize)>,
}

impl Constant {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The elements.
    ///
    /// # Errors
    /// As [`Data::read`].
    pub fn read(&self) -> Result<Cow<'_, [f32]>> {
        let mut values = self.data.read()?;
        if let Some((scale, inner)) = &self.scale {
            for (i, w) in values.to_mut().iter_mut().enumerate() {
                *w *= scale[i / inner % scale.len()];
            }
        }
        Ok(values)
    }
}

/// The part of a graph between given values and wanted ones.
#[derive(Clone, Debug)]
pub struct Program {
    /// Steps in running order.
    pub steps: Vec<Step>,
    /// The constants.
    pub constants: Vec<Constant>,
    /// Values handed in.
    pub given: Vec<ValueId>,
    /// Values handed back.
    pub wanted: Vec<ValueId>,
    /// Shape per sample of every value of the graph.
    pub shapes: Vec<Vec<usize>>,
}

impl Program {
    /// Selects and fuses what leads from `given` to `wanted`: a convolution or linear layer takes the
    /// batch normalisation and activation that alone read it, unless they come between two wanted values.
    ///
    /// # Errors
    /// [`Error::Argument`] where a wanted value cannot be computed from the given ones, or is one of them.
    pub fn compile(graph: &Graph, given: &[ValueId], wanted: &[ValueId]) -> Result<Self> {
        let needed = needed(graph, given, wanted)?;
        let mut program = Self {
            steps: vec![],
            constants: vec![],
            given: given.to_vec(),
            wanted: wanted.to_vec(),
            shapes: (0..graph.value_count())
                .map(|i| graph.value(ValueId(i)).shape.clone())
                .collect(),
        };
        let mut builder = Builder {
            graph,
            readers: readers(graph, &needed),
            fused: vec![false; graph.nodes().len()],
            constants: HashMap::new(),
        };
        for (i, node) in graph.nodes().iter().enumerate() {
            if needed[i] && !builder.fused[i] {
                let step = builder.step(node, &mut program)?;
                program.steps.push(step);
            }
        }
        program.mark_last_uses();
        Ok(program)
    }

    fn mark_last_uses(&mut self) {
        let mut seen: Vec<bool> = vec![false; self.shapes.len()];
        for id in &self.wanted {
            seen[id.0] = true;
        }
        for step in self.steps.iter_mut().rev() {
            for input in &step.inputs {
                if let Operand::Value(id) = *input
                    && !std::mem::replace(&mut seen[id.0], true)
                {
                    step.last_uses.push(id);
                }
            }
        }
    }

    /// Largest padded input of a convolution: `f32` values of one sample that a backend may keep beside those
    /// of [`Program::peak_per_sample`].
    pub fn padded_per_sample(&self) -> usize {
        let padded = |step: &Step| match (&step.op, step.inputs.first()) {
            (Op::Conv(p), Some(Operand::Value(id))) => {
                let &[c, h, w] = self.shapes[id.0].as_slice() else {
                    return 0;
                };
                let [top, left, bottom, right] = p.padding;
                c * (h + top + bottom) * (w + left + right)
            }
            _ => 0,
        };
        self.steps.iter().map(padded).max().unwrap_or(0)
    }

    /// Largest number of `f32` values per sample alive at once, given and wanted ones included.
    pub fn peak_per_sample(&self) -> usize {
        let len = |id: &ValueId| self.shapes[id.0].iter().product::<usize>();
        let mut alive: usize = self.given.iter().map(len).sum();
        let mut peak = alive;
        for step in &self.steps {
            alive += len(&step.output);
            peak = peak.max(alive);
            alive -= step.last_uses.iter().map(len).sum::<usize>();
        }
        peak
    }
}

/// Which nodes lead from the given values to the wanted ones.
fn needed(graph: &Graph, given: &[ValueId], wanted: &[ValueId]) -> Result<Vec<bool>> {
    let name = |id: ValueId| graph.value(id).name.as_str();
    let mut missing = vec![false; graph.value_count()];
    for (i, &id) in wanted.iter().enumerate() {
        if given.contains(&id) || wanted[..i].contains(&id) {
            let expected = "a value that is not given already";
            return Err(Error::argument(
                "wanted",
                format!("'{}'", name(id)),
                expected,
            ));
        }
        missing[id.0] = true;
    }
    let mut needed = vec![false; graph.nodes().len()];
    for (i, node) in graph.nodes().iter().enumerate().rev() {
        if missing[node.output.0] {
            missing[node.output.0] = false;
            needed[i] = true;
            for input in &node.inputs {
                missing[input.0] |= !given.contains(input) && graph.value(*input).data.is_none();
            }
        }
    }
    match missing.iter().position(|&m| m) {
        Some(i) => Err(Error::argument(
            "wanted",
            format!("'{}'", name(ValueId(i))),
            "a value that can be computed from the given ones",
        )),
        None => Ok(needed),
    }
}

/// Needed nodes that read each value.
fn readers(graph: &Graph, needed: &[bool]) -> Vec<Vec<usize>> {
    let mut readers = vec![vec![]; graph.value_count()];
    for (i, node) in graph.nodes().iter().enumerate().filter(|(i, _)| needed[*i]) {
        for input in &node.inputs {
            readers[input.0].push(i);
        }
    }
    readers
}

struct Builder<'a> {
    graph: &'a Graph,
    readers: Vec<Vec<usize>>,
    fused: Vec<bool>,
    /// Constants of the graph that are already constants of the program.
    constants: HashMap<ValueId, usize>,
}

impl Builder<'_> {
    fn step(&mut self, node: &Node, program: &mut Program) -> Result<Step> {
        let mut step = Step {
            name: node.name.clone(),
            op: node.op.clone(),
            inputs: vec![],
            output: node.output,
            last_uses: vec![],
        };
        let mut affine = None;
        if matches!(node.op, Op::Conv(_) | Op::Linear(_))
            && let Some((i, next)) = self.only_reader(step.output, program)
            && matches!(next.op, Op::BatchNorm(_))
            && !(matches!(node.op, Op::Linear(_)) && self.graph.value(node.output).shape.len() != 1)
        {
            affine = Some((next.inputs[1], next.inputs[2]));
            self.fused[i] = true;
            step.output = next.output;
        }
        if let Some(slot) = activation_of(&mut step.op)
            && *slot == Activation::Identity
            && let Some((i, next)) = self.only_reader(step.output, program)
            && let Op::Unary(Unary::Activation(a)) = next.op
        {
            *slot = a;
            self.fused[i] = true;
            step.output = next.output;
        }
        step.inputs = match affine {
            Some((scale, shift)) => self.fold(node, scale, shift, program)?,
            None => node
                .inputs
                .iter()
                .map(|&id| self.operand(id, program))
                .collect(),
        };
        Ok(step)
    }

    /// The node that alone reads a value nobody asked for.
    fn only_reader(&self, id: ValueId, program: &Program) -> Option<(usize, Node)> {
        match self.readers[id.0][..] {
            [i] if !program.wanted.contains(&id) => Some((i, self.graph.nodes()[i].clone())),
            _ => None,
        }
    }

    fn operand(&mut self, id: ValueId, program: &mut Program) -> Operand {
        let value = self.graph.value(id);
        let Some(data) = &value.data else {
            return Operand::Value(id);
        };
        let index = *self.constants.entry(id).or_insert_with(|| {
            program.constants.push(Constant {
                shape: value.shape.clone(),
                data: data.clone(),
                scale: None,
            });
            program.constants.len() - 1
        });
        Operand::Constant(index)
    }

    /// Inputs of a convolution or linear layer with a batch normalisation folded into its constants.
    fn fold(
        &self,
        node: &Node,
        scale: ValueId,
        shift: ValueId,
        program: &mut Program,
    ) -> Result<Vec<Operand>> {
        let read = |id: ValueId| match &self.graph.value(id).data {
            Some(data) => data.read(),
            None => Ok(Cow::Borrowed(&[][..])),
        };
        let (scale, shift) = (read(scale)?, read(shift)?);
        let weight = self.graph.value(node.inputs[1]);
        let Some(data) = weight.data.clone() else {
            return Err(Error::network("a weight is computed where it is scaled"));
        };
        // Output channels are the first axis of a convolution's weight, the last of a linear layer's.
        let inner = match node.op {
            Op::Conv(_) => weight.len() / scale.len().max(1),
            _ => 1,
        };
        let bias: Arc<[f32]> = match node.inputs.get(2) {
            Some(&b) => (read(b)?.iter().zip(&*scale).zip(&*shift))
                .map(|((b, s), t)| (f64::from(*b) * f64::from(*s) + f64::from(*t)) as f32)
                .collect(),
            None => (*shift).into(),
        };
        let first = program.constants.len();
        program.constants.push(Constant {
            shape: weight.shape.clone(),
            data,
            scale: Some(((*scale).into(), inner)),
        });
        program.constants.push(Constant {
            shape: vec![bias.len()],
            data: bias.into(),
            scale: None,
        });
        Ok(vec![
            Operand::Value(node.inputs[0]),
            Operand::Constant(first),
            Operand::Constant(first + 1),
        ])
    }
}

/// Where a step keeps its fused activation.
fn activation_of(op: &mut Op) -> Option<&mut Activation> {
    match op {
        Op::Conv(p) => Some(&mut p.activation),
        Op::BatchNorm(a) | Op::Linear(a) | Op::Binary(_, a) => Some(a),
        _ => None,
    }
}
