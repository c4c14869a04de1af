//! Functions of one number, applied to every element.

use crate::model::node::Op;
use crate::model::onnx::context::{Context, Done, Operator};
use crate::ops::Activation;
use crate::ops::net::Unary;

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Abs", unary),
    Operator::new("Atan", unary),
    Operator::new("Ceil", unary),
    Operator::new("Celu", unary),
    Operator::new("Cos", unary),
    Operator::new("Elu", unary),
    Operator::new("Erf", unary),
    Operator::new("Exp", unary),
    Operator::new("Floor", unary),
    Operator::new("Gelu", unary),
    Operator::new("HardSigmoid", unary),
    Operator::new("HardSwish", unary),
    Operator::new("IsNaN", unary),
    Operator::new("LeakyRelu", unary),
    Operator::new("Log", unary),
    Operator::new("Mish", unary),
    Operator::new("Neg", unary),
    Operator::new("Not", unary),
    Operator::new("Reciprocal", unary),
    Operator::new("Relu", unary),
    Operator::new("Round", unary),
    Operator::new("Selu", unary),
    Operator::new("Shrink", unary),
    Operator::new("Sigmoid", unary),
    Operator::new("Sign", unary),
    Operator::new("Sin", unary),
    Operator::new("Softplus", unary),
    Operator::new("Softsign", unary),
    Operator::new("Swish", unary),
    Operator::new("Tanh", unary),
    Operator::new("ThresholdedRelu", unary),
];

fn unary(c: &mut Context<'_>) -> Done {
    let f = function(c)?;
    let x = c.data(0)?;
    c.push(Op::Unary(f), &[x])
}

/// The function that a node applies.
fn function(c: &Context<'_>) -> Result<Unary, String> {
    let a = &c.attributes;
    Ok(match c.operator() {
        "Abs" => Unary::Abs,
        "Atan" => Unary::Atan,
        "Ceil" => Unary::Ceil,
        "Celu" => match a.float("alpha", 1.0) {
            0.0 => return Err("alpha is 0".into()),
            alpha => Unary::Celu(alpha),
        },
        "Cos" => Unary::Cos,
        "Elu" => Unary::Elu(a.float("alpha", 1.0)),
        "Erf" => Unary::Erf,
        "Exp" => Unary::Exp,
        "Floor" => Unary::Floor,
        "Gelu" => match a.text("approximate", "none")? {
            "none" => Unary::Gelu,
            "tanh" => Unary::GeluTanh,
            other => return Err(format!("unknown approximation '{other}'")),
        },
        "HardSigmoid" => Unary::HardSigmoid(a.float("alpha", 0.2), a.float("beta", 0.5)),
        "HardSwish" => Unary::HardSwish,
        "IsNaN" => Unary::IsNan,
        "LeakyRelu" => Unary::Activation(Activation::LeakyRelu(a.float("alpha", 0.01))),
        "Log" => Unary::Log,
        "Mish" => Unary::Mish,
        "Neg" => Unary::Affine(-1.0, 0.0),
        "Not" => Unary::Not,
        "Reciprocal" => Unary::Reciprocal,
        "Relu" => Unary::Activation(Activation::Relu),
        "Round" => Unary::Round,
        "Selu" => Unary::Selu(a.float("alpha", 1.673_263_2), a.float("gamma", 1.050_701)),
        "Shrink" => Unary::Shrink(a.float("lambd", 0.5), a.float("bias", 0.0)),
        "Sigmoid" => Unary::Sigmoid,
        "Sign" => Unary::Sign,
        "Sin" => Unary::Sin,
        "Softplus" => Unary::Softplus,
        "Softsign" => Unary::Softsign,
        "Swish" => Unary::Swish(a.float("alpha", 1.0)),
        "Tanh" => Unary::Tanh,
        "ThresholdedRelu" => Unary::ThresholdedRelu(a.float("alpha", 1.0)),
        other => return Err(format!("unknown function {other}")),
    })
}
