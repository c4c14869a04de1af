//! The operations of a network. Each one runs on the thread pool of the backend.

use super::conv2d::{self, Sums};
use super::{
    Cpu, Tensor, correlate, linear, pointwise, pool2d, reduce, resample, shuffle, strided,
};
use crate::Result;
use crate::ops::net::{
    Binary, Correlation, NetOps, Pool2dParams, Reduction, Resampling, Shuffle, StridedCopy, Unary,
};
use crate::ops::{Activation, Conv2dParams};
use std::ops::Range;

impl NetOps for Cpu {
    fn reshape(&self, x: Tensor, shape: &[usize]) -> Result<Tensor> {
        x.reshaped(shape)
    }

    fn copy(&self, x: &Tensor, into: &mut Tensor, copy: &StridedCopy) -> Result<()> {
        self.pool.install(|| strided::copy(x, into, copy))
    }

    fn conv2d_relaxed(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        params: &Conv2dParams,
    ) -> Result<Tensor> {
        let sums = Sums::Relaxed;
        self.pool
            .install(|| conv2d::conv2d(x, weight, bias, params, sums, self.set))
    }

    fn pool2d(&self, x: &Tensor, params: &Pool2dParams) -> Result<Tensor> {
        self.pool.install(|| pool2d::pool2d(x, params))
    }

    fn unary(&self, x: &Tensor, f: Unary) -> Result<Tensor> {
        self.pool.install(|| pointwise::unary(x, f))
    }

    fn binary(&self, a: &Tensor, b: &Tensor, f: Binary, activation: Activation) -> Result<Tensor> {
        self.pool.install(|| pointwise::binary(a, b, f, activation))
    }

    fn reduce(
        &self,
        x: &Tensor,
        kind: Reduction,
        axes: Range<usize>,
        shape: &[usize],
    ) -> Result<Tensor> {
        self.pool.install(|| reduce::reduce(x, kind, axes, shape))
    }

    fn normalise(&self, x: &Tensor, len: usize, epsilon: f32) -> Result<Tensor> {
        self.pool.install(|| reduce::normalise(x, len, epsilon))
    }

    fn resample(&self, x: &Tensor, axis: usize, by: &Resampling) -> Result<Tensor> {
        self.pool.install(|| resample::resample(x, axis, by))
    }

    fn softmax(&self, x: &Tensor, axis: usize) -> Result<Tensor> {
        self.pool.install(|| reduce::softmax(x, axis))
    }

    fn linear(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
    ) -> Result<Tensor> {
        self.pool
            .install(|| linear::linear(x, weight, bias, activation, self.set))
    }

    fn shuffle(&self, x: &Tensor, how: Shuffle<'_>) -> Result<Tensor> {
        self.pool.install(|| shuffle::shuffle(x, how))
    }

    fn substitute(&self, x: &Tensor, other: &Tensor, channels: Range<usize>) -> Result<Tensor> {
        self.pool
            .install(|| shuffle::substitute(x, other, channels))
    }

    fn channel_dots(&self, x: &Tensor, y: &Tensor) -> Result<Vec<f64>> {
        self.pool.install(|| shuffle::channel_dots(x, y, self.set))
    }

    fn correlate_above(&self, x: &Tensor, y: &Tensor, least: f32) -> Result<Correlation> {
        self.pool
            .install(|| correlate::correlate(x, Some(y), Some(least), self.set))
    }

    fn correlate(&self, x: &Tensor, y: Option<&Tensor>) -> Result<Correlation> {
        self.pool
            .install(|| correlate::correlate(x, y, None, self.set))
    }
}
