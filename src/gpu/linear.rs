//! Fully connected layers on the device. They are computed as a 1 x 1 convolution: the weights are an
//! image of `K` channels and `M` pixels, and the rows of `x` are the filters.

use super::context::Context;
use super::tensor::Tensor;
use super::{conv2d, pointwise};
use crate::Result;
use crate::ops::net::{Binary, Unary};
use crate::ops::{Activation, Conv2dParams, check_linear};

const PLAIN: Conv2dParams = Conv2dParams {
    stride: [1, 1],
    padding: [0; 4],
    dilation: [1, 1],
    groups: 1,
    activation: Activation::Identity,
};

pub(super) fn linear(
    context: &Context,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Activation,
) -> Result<Tensor> {
    let [rows, k, m] = check_linear(x.shape(), weight.shape(), bias.map(Tensor::shape))?;
    if rows * m == 0 {
        return context.zeros(&[rows, m]);
    }
    let filters = x.reshaped(&[rows, k, 1, 1])?;
    let image = weight.reshaped(&[1, k, m, 1])?;
    let y = conv2d::conv2d(context, &image, &filters, None, &PLAIN)?;
    let y = y.reshaped(&[rows, m])?;
    match (bias, activation) {
        (Some(bias), _) => pointwise::binary(context, &y, bias, Binary::Add, activation),
        (None, Activation::Identity) => Ok(y),
        (None, _) => pointwise::unary(context, &y, Unary::Activation(activation)),
    }
}
