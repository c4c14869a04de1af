//! Operators of onnxruntime that fuse several of the standard set, as its optimiser writes them.

use super::MICROSOFT;
use super::spatial::{convolution, is_line};
use crate::model::node::Op;
use crate::model::onnx::context::{Context, Done, Operator};
use crate::ops::Activation;
use crate::ops::net::{Binary, Unary};

pub(super) const OPERATORS: &[Operator] = &[Operator::new("FusedConv", fused_conv)
    .of(MICROSOFT)
    .leaving_weight()];

/// A convolution, perhaps plus a value of the same shape, then an activation.
fn fused_conv(c: &mut Context<'_>) -> Done {
    let activation = activation(c)?;
    let adds = c.attributes.input(3).is_some();
    if is_line(c)? {
        return Err("is supported on images [N, C, H, W] only".into());
    }
    let (conv, inputs) = convolution(c)?;
    if !adds && activation.is_none() {
        return c.push(conv, &inputs);
    }
    let mut value = c.inner(conv, &inputs)?;
    if adds {
        let other = c.data(3)?;
        let add = Op::Binary(Binary::Add, Activation::Identity);
        if activation.is_none() {
            return c.push(add, &[value, other]);
        }
        value = c.inner(add, &[value, other])?;
    }
    match activation {
        Some(f) => c.push(Op::Unary(f), &[value]),
        None => c.alias(value),
    }
}

fn activation(c: &Context<'_>) -> Result<Option<Unary>, String> {
    let name = c.attributes.text("activation", "")?;
    let parameters = c.attributes.find("activation_params");
    let parameters = parameters.map_or(&[][..], |a| a.floats.as_slice());
    let number = |i: usize| {
        let number = parameters.get(i).copied();
        number.ok_or_else(|| format!("activation '{name}' lacks a parameter"))
    };
    Ok(Some(match name {
        "" => return Ok(None),
        "Relu" => Unary::Activation(Activation::Relu),
        "LeakyRelu" => Unary::Activation(Activation::LeakyRelu(number(0)?)),
        "Clip" => Unary::Activation(Activation::Clip(number(0)?, number(1)?)),
        "Sigmoid" => Unary::Sigmoid,
        "Tanh" => Unary::Tanh,
        "HardSigmoid" => Unary::HardSigmoid(number(0)?, number(1)?),
        other => return Err(format!("unknown activation '{other}'")),
    }))
}
