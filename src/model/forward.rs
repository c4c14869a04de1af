//! Forward pass of a network on a device.

use super::execute::execute;
pub(crate) use super::execute::repeat;
use super::graph::Graph;
use super::images::batch_size;
use super::node::{Op, ValueId};
use super::program::{Operand, Program, Step};
use crate::ops::net::NetOps;
use crate::{Error, Result};
use std::borrow::Cow;

/// Padded inputs up to this many bytes belong to the scratch that [`batch_size`](super::images::batch_size)
/// leaves room for.
const SMALL: u64 = 16 << 20;

/// A compiled network with its constants on a device. Results do not depend on how samples are
/// split into batches.
pub struct Session<'a, B: NetOps> {
    backend: &'a B,
    program: Program,
    constants: Vec<B::Tensor>,
    /// Bytes of the constants, and of the largest of them.
    constant_bytes: [u64; 2],
    /// Whether convolutions may be computed as [`NetOps::conv2d_relaxed`] says.
    relaxed: bool,
}

/// A value during a run: made by it, or lent by the caller.
enum Slot<'t, T> {
    Owned(T),
    Lent(&'t T),
}

impl<T> Slot<'_, T> {
    const fn get(&self) -> &T {
        match self {
            Self::Owned(t) => t,
            Self::Lent(t) => t,
        }
    }
}

impl<'a, B: NetOps> Session<'a, B> {
    /// As [`Session::within`], with any amount of memory.
    ///
    /// # Errors
    /// As [`Session::within`].
    pub fn new(
        backend: &'a B,
        graph: &Graph,
        given: &[ValueId],
        wanted: &[ValueId],
    ) -> Result<Self> {
        Self::within(backend, graph, given, wanted, u64::MAX)
    }

    /// Compiles the part of `graph` that leads from `given` to `wanted` and uploads its constants, one at a time.
    ///
    /// # Errors
    /// [`Error::Memory`], before any constant is read, where they and one sample take more than `memory` bytes;
    /// errors of the file that the constants are in; [`Error::Argument`] where a wanted value does not follow from the given ones; device errors.
    pub fn within(
        backend: &'a B,
        graph: &Graph,
        given: &[ValueId],
        wanted: &[ValueId],
        memory: u64,
    ) -> Result<Self> {
        let mut program = Program::compile(graph, given, wanted)?;
        let constants = std::mem::take(&mut program.constants);
        let bytes = || constants.iter().map(|c| 4 * c.len() as u64);
        let mut session = Self {
            backend,
            program,
            constant_bytes: [bytes().sum(), bytes().max().unwrap_or(0)],
            constants: vec![],
            relaxed: false,
        };
        batch_size(memory, session.fixed_bytes(), session.bytes_per_sample(), 1)?;
        session.constants = (constants.into_iter())
            .map(|constant| match constant.read()? {
                Cow::Borrowed(values) => backend.upload(&constant.shape, values),
                Cow::Owned(values) => backend.take(&constant.shape, values),
            })
            .collect::<Result<_>>()?;
        Ok(session)
    }

    /// Whether a value is computed by itself: it leads from the given to the wanted ones, and is not fused with what reads it.
    pub fn computes(&self, value: ValueId) -> bool {
        self.program.steps.iter().any(|step| step.output == value)
    }

    /// Computes convolutions with fewer operations and larger rounding errors, as [`NetOps::conv2d_relaxed`] says.
    #[must_use]
    pub fn with_relaxed_convolutions(mut self) -> Self {
        self.relaxed = true;
        self
    }

    /// Bytes a sample takes on the device at the worst moment, scratch of the kernels not included.
    pub fn bytes_per_sample(&self) -> u64 {
        4 * self.program.peak_per_sample() as u64
    }

    /// Bytes that do not depend on the batch: the constants, the largest once more while it is uploaded, and the
    /// padded input of a convolution where it is large.
    pub fn fixed_bytes(&self) -> u64 {
        let padded = 4 * self.program.padded_per_sample() as u64;
        self.constant_bytes.iter().sum::<u64>()
            + self.transformed_bytes()
            + padded.saturating_sub(SMALL)
    }

    /// Bytes of the largest 3x3 filters after their transform, if convolutions are relaxed: 36 numbers for 9.
    fn transformed_bytes(&self) -> u64 {
        let filters = |step: &Step| match (&step.op, step.inputs.get(1)) {
            (Op::Conv(_), Some(&Operand::Constant(i))) if self.relaxed => {
                let shape = self.backend.shape(&self.constants[i]);
                let values: usize = shape.iter().product();
                (shape[2..] == [3, 3]).then_some(16 * values as u64)
            }
            _ => None,
        };
        (self.program.steps.iter().filter_map(filters).max()).unwrap_or(0)
    }

    /// Bytes of the constants on the device.
    pub const fn constant_bytes(&self) -> u64 {
        self.constant_bytes[0]
    }

    /// Computes the wanted values, in the order asked for, from the given ones, in theirs. All given
    /// tensors are `[N, ...]` with the same `N`; so are the results.
    ///
    /// # Errors
    /// [`Error::WrongShape`] on inputs that do not fit the network; device errors.
    pub fn run(&self, given: &[&B::Tensor]) -> Result<Vec<B::Tensor>> {
        self.run_changed(given, &|_, value| Ok(value))
    }

    /// As [`Session::run`], where every value is passed through `change` as soon as it is computed, and read as what that
    /// returns, which has the same shape. Values inside fused operations are not passed: [`Session::computes`] tells.
    ///
    /// # Errors
    /// As [`Session::run`]; what `change` returns.
    pub fn run_changed(
        &self,
        given: &[&B::Tensor],
        change: &dyn Fn(ValueId, B::Tensor) -> Result<B::Tensor>,
    ) -> Result<Vec<B::Tensor>> {
        let samples = self.check(given)?;
        let mut slots: Vec<Option<Slot<'_, B::Tensor>>> = Vec::new();
        slots.resize_with(self.program.shapes.len(), || None);
        for (id, tensor) in self.program.given.iter().zip(given) {
            slots[id.0] = Some(Slot::Lent(tensor));
        }
        for step in &self.program.steps {
            let out = self.step(step, samples, &mut slots)?;
            for id in &step.last_uses {
                slots[id.0] = None;
            }
            slots[step.output.0] = Some(Slot::Owned(change(step.output, out)?));
        }
        (self.program.wanted.iter())
            .map(|id| match slots[id.0].take() {
                Some(Slot::Owned(tensor)) => Ok(tensor),
                _ => Err(internal("a wanted value was not computed")),
            })
            .collect()
    }

    fn step(
        &self,
        step: &Step,
        samples: usize,
        slots: &mut [Option<Slot<'_, B::Tensor>>],
    ) -> Result<B::Tensor> {
        let shape = [&[samples], self.program.shapes[step.output.0].as_slice()].concat();
        if let (Op::Reshape(_), &[Operand::Value(id)]) = (&step.op, step.inputs.as_slice())
            && step.last_uses.contains(&id)
            && let Some(Slot::Owned(_)) = slots[id.0]
            && let Some(Slot::Owned(x)) = slots[id.0].take()
        {
            return self.backend.reshape(x, &shape);
        }
        let inputs = (step.inputs.iter())
            .map(|input| match *input {
                Operand::Constant(i) => Ok(&self.constants[i]),
                Operand::Value(id) => (slots[id.0].as_ref())
                    .map(Slot::get)
                    .ok_or_else(|| internal("a value was freed before its last reader")),
            })
            .collect::<Result<Vec<_>>>()?;
        execute(self.backend, &step.op, &inputs, &shape, self.relaxed)
    }

    /// The batch size, if the given tensors fit.
    fn check(&self, given: &[&B::Tensor]) -> Result<usize> {
        if given.len() != self.program.given.len() {
            return Err(internal("as many tensors as given values are needed"));
        }
        let mut samples = None;
        for (id, tensor) in self.program.given.iter().zip(given) {
            let (shape, wanted) = (self.backend.shape(tensor), &self.program.shapes[id.0]);
            let fits = shape.split_first().is_some_and(|(&n, rest)| {
                n > 0 && rest == wanted.as_slice() && *samples.get_or_insert(n) == n
            });
            if !fits {
                let expected = std::iter::once("N".into());
                let expected = expected.chain(wanted.iter().map(|&d| d.into()));
                return Err(Error::wrong_shape("input", expected.collect(), shape));
            }
        }
        samples.ok_or_else(|| internal("nothing is given"))
    }
}

fn internal(what: &str) -> Error {
    Error::network(format!("forward pass: {what}"))
}
