//! Functions of one or two numbers by the names of their operators, on floating-point numbers and on integers.

use crate::model::onnx::tensor::Dim;

/// A function of a floating-point number.
pub(super) fn float1(operator: &str) -> Option<fn(f64) -> f64> {
    Some(match operator {
        "Abs" => f64::abs,
        "Acos" => f64::acos,
        "Asin" => f64::asin,
        "Atan" => f64::atan,
        "Ceil" => f64::ceil,
        "Cos" => f64::cos,
        "Cosh" => f64::cosh,
        "Erf" => libm::erf,
        "Exp" => f64::exp,
        "Floor" => f64::floor,
        "Log" => f64::ln,
        "Neg" => |x| -x,
        "Reciprocal" => f64::recip,
        "Relu" => |x| if x < 0.0 { 0.0 } else { x },
        "Round" => f64::round_ties_even,
        "Sigmoid" => |x| 1.0 / (1.0 + (-x).exp()),
        "Sign" => |x| if x == 0.0 { 0.0 } else { x.signum() },
        "Sin" => f64::sin,
        "Sinh" => f64::sinh,
        "Softplus" => |x| x.max(0.0) + (-x.abs()).exp().ln_1p(),
        "Softsign" => |x| x / (1.0 + x.abs()),
        "Sqrt" => f64::sqrt,
        "Tan" => f64::tan,
        "Tanh" => f64::tanh,
        _ => return None,
    })
}

/// The same of an integer, where there is one.
pub(super) fn int1(operator: &str) -> Option<fn(Dim) -> Dim> {
    fn known(x: Dim, f: impl Fn(i64) -> Option<i64>) -> Dim {
        x.known().and_then(f).map_or(Dim::Unknown, Dim::Known)
    }
    Some(match operator {
        // A batch size is at least 1.
        "Abs" | "Relu" => |x| match x {
            Dim::Batch => Dim::Batch,
            x => known(x, |n| Some(n.max(0))),
        },
        "Neg" => |x| known(x, i64::checked_neg),
        "Not" => |x| known(x, |n| Some((n == 0).into())),
        "Sign" => |x| match x {
            Dim::Batch => Dim::Known(1),
            x => known(x, |n| Some(n.signum())),
        },
        _ => return None,
    })
}

/// A function of two floating-point numbers.
pub(super) fn float2(operator: &str) -> Option<fn(f64, f64) -> f64> {
    Some(match operator {
        "Add" | "Sum" | "Mean" => |a, b| a + b,
        "Sub" => |a, b| a - b,
        "Mul" => |a, b| a * b,
        "Div" => |a, b| a / b,
        "Pow" => f64::powf,
        "Mod" => |a, b| a % b,
        "Max" => |a, b| if a > b || a.is_nan() { a } else { b },
        "Min" => |a, b| if a < b || a.is_nan() { a } else { b },
        "PRelu" => |a, b| if a < 0.0 { a * b } else { a },
        _ => return None,
    })
}

/// A function of two integers.
pub(super) fn int2(operator: &str) -> Option<fn(Dim, Dim) -> Dim> {
    use Dim::{Batch, Known, Unknown};
    fn known(a: Dim, b: Dim, f: impl Fn(i64, i64) -> Option<i64>) -> Dim {
        match (a, b) {
            (Known(a), Known(b)) => f(a, b).map_or(Unknown, Known),
            _ => Unknown,
        }
    }
    Some(match operator {
        "Add" | "Sum" => |a, b| match (a, b) {
            (Batch, Known(0)) | (Known(0), Batch) => Batch,
            _ => known(a, b, i64::checked_add),
        },
        "Sub" => |a, b| match (a, b) {
            (Batch, Known(0)) => Batch,
            (Batch, Batch) => Known(0),
            _ => known(a, b, i64::checked_sub),
        },
        "Mul" => |a, b| match (a, b) {
            (Batch, Known(1)) | (Known(1), Batch) => Batch,
            _ => known(a, b, i64::checked_mul),
        },
        // Division rounds towards zero.
        "Div" => |a, b| match (a, b) {
            (Batch, Known(1)) => Batch,
            (Batch, Batch) => Known(1),
            _ => known(a, b, i64::checked_div),
        },
        "Pow" => |a, b| {
            known(a, b, |a, b| {
                u32::try_from(b).ok().and_then(|b| a.checked_pow(b))
            })
        },
        // The result has the divisor's sign.
        "Mod" => |a, b| {
            known(a, b, |a, b| {
                let rest = a.checked_rem(b)?;
                let other_sign = rest != 0 && (rest < 0) != (b < 0);
                Some(if other_sign { rest + b } else { rest })
            })
        },
        // A batch size is at least 1.
        "Max" => |a, b| match (a, b) {
            (Batch, Known(n)) | (Known(n), Batch) if n <= 1 => Batch,
            (Batch, Batch) => Batch,
            _ => known(a, b, |a, b| Some(a.max(b))),
        },
        "Min" => |a, b| match (a, b) {
            (Batch, Known(n)) | (Known(n), Batch) if n <= 1 => Known(n),
            (Batch, Batch) => Batch,
            _ => known(a, b, |a, b| Some(a.min(b))),
        },
        "And" => |a, b| known(a, b, |a, b| Some((a != 0 && b != 0).into())),
        "Or" => |a, b| known(a, b, |a, b| Some((a != 0 || b != 0).into())),
        "Xor" => |a, b| known(a, b, |a, b| Some(((a != 0) != (b != 0)).into())),
        _ => return None,
    })
}

/// A comparison: whether it holds for an order of two numbers, `None` for NaN.
pub(super) fn comparison(operator: &str) -> Option<fn(Option<std::cmp::Ordering>) -> bool> {
    use std::cmp::Ordering;
    Some(match operator {
        "Equal" => |o| o == Some(Ordering::Equal),
        "Less" => |o| o == Some(Ordering::Less),
        "Greater" => |o| o == Some(Ordering::Greater),
        "LessOrEqual" => |o| o.is_some_and(Ordering::is_le),
        "GreaterOrEqual" => |o| o.is_some_and(Ordering::is_ge),
        _ => return None,
    })
}

/// The order of two integers, `None` where it depends on the batch size, which is at least 1.
pub(super) fn order(a: Dim, b: Dim) -> Option<std::cmp::Ordering> {
    use std::cmp::Ordering;
    match (a, b) {
        (Dim::Known(a), Dim::Known(b)) => Some(a.cmp(&b)),
        (Dim::Batch, Dim::Batch) => Some(Ordering::Equal),
        (Dim::Batch, Dim::Known(n)) if n < 1 => Some(Ordering::Greater),
        (Dim::Known(n), Dim::Batch) if n < 1 => Some(Ordering::Less),
        _ => None,
    }
}
