//! The operations of a network's forward pass. Each turns device failures into errors.

use super::{
    Gpu, Tensor, correlate, linear, pointwise, pool2d, reduce, resample, shuffle, strided,
};
use crate::Result;
use crate::ops::Activation;
use crate::ops::net::{
    Binary, Correlation, NetOps, Pool2dParams, Reduction, Resampling, Shuffle, StridedCopy, Unary,
};
use std::ops::Range;

impl NetOps for Gpu {
    fn reshape(&self, x: Tensor, shape: &[usize]) -> Result<Tensor> {
        x.reshaped(shape)
    }

    fn copy(&self, x: &Tensor, into: &mut Tensor, copy: &StridedCopy) -> Result<()> {
        let context = &self.context;
        context.guarded("copy", || strided::copy(context, x, into, copy))
    }

    fn pool2d(&self, x: &Tensor, params: &Pool2dParams) -> Result<Tensor> {
        let context = &self.context;
        context.guarded("pool2d", || pool2d::pool2d(context, x, params))
    }

    fn unary(&self, x: &Tensor, f: Unary) -> Result<Tensor> {
        let context = &self.context;
        context.guarded("unary", || pointwise::unary(context, x, f))
    }

    fn binary(&self, a: &Tensor, b: &Tensor, f: Binary, activation: Activation) -> Result<Tensor> {
        let context = &self.context;
        context.guarded("binary", || pointwise::binary(context, a, b, f, activation))
    }

    fn reduce(
        &self,
        x: &Tensor,
        kind: Reduction,
        axes: Range<usize>,
        shape: &[usize],
    ) -> Result<Tensor> {
        let context = &self.context;
        context.guarded("reduce", || reduce::reduce(context, x, kind, axes, shape))
    }

    fn normalise(&self, x: &Tensor, len: usize, epsilon: f32) -> Result<Tensor> {
        let context = &self.context;
        context.guarded("normalise", || reduce::normalise(context, x, len, epsilon))
    }

    fn resample(&self, x: &Tensor, axis: usize, by: &Resampling) -> Result<Tensor> {
        let context = &self.context;
        context.guarded("resample", || resample::resample(context, x, axis, by))
    }

    fn softmax(&self, x: &Tensor, axis: usize) -> Result<Tensor> {
        let context = &self.context;
        context.guarded("softmax", || reduce::softmax(context, x, axis))
    }

    fn linear(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
    ) -> Result<Tensor> {
        let context = &self.context;
        context.guarded("linear", || {
            linear::linear(context, x, weight, bias, activation)
        })
    }

    fn shuffle(&self, x: &Tensor, how: Shuffle<'_>) -> Result<Tensor> {
        let context = &self.context;
        context.guarded("shuffle", || shuffle::shuffle(context, x, how))
    }

    fn substitute(&self, x: &Tensor, other: &Tensor, channels: Range<usize>) -> Result<Tensor> {
        let context = &self.context;
        context.guarded("substitute", || {
            shuffle::substitute(context, x, other, channels)
        })
    }

    fn channel_dots(&self, x: &Tensor, y: &Tensor) -> Result<Vec<f64>> {
        let context = &self.context;
        context.guarded("channel_dots", || shuffle::channel_dots(context, x, y))
    }

    fn correlate(&self, x: &Tensor, y: Option<&Tensor>) -> Result<Correlation> {
        let context = &self.context;
        context.guarded("correlate", || correlate::correlate(context, x, y))
    }
}
