//! Normalisations: of a batch by constants, of layers, instances and groups by their own mean and variance.

use crate::model::node::{Op, ValueId};
use crate::model::onnx::attributes::inner_axis;
use crate::model::onnx::context::{Context, Done, Operator};
use crate::ops::Activation;
use crate::ops::net::{Binary, Pool2dParams, PoolKind, Reduction, Unary};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("BatchNormalization", batch),
    Operator::new("GroupNormalization", group),
    Operator::new("InstanceNormalization", instance),
    Operator::new("LRN", local_response),
    Operator::new("LayerNormalization", layer),
    Operator::new("LpNormalization", norm),
    Operator::new("MeanVarianceNormalization", mean_variance),
    Operator::new("RMSNormalization", root_mean_square),
];

const fn op(f: Binary) -> Op {
    Op::Binary(f, Activation::Identity)
}

/// `y = (x - mean) / sqrt(var + epsilon) * scale + bias` as `x * a + b`.
fn batch(c: &mut Context<'_>) -> Done {
    // Before opset 14, outputs beside the first are statistics of the batch, which it normalises by.
    let statistics = c.attributes.0.output.iter().skip(1).any(|o| !o.is_empty());
    if c.attributes.flag("training_mode") || (c.opset() < 14 && statistics) {
        return Err(
            "is in training mode: its result depends on the other images of the batch; export the model for \
             inference"
                .into(),
        );
    }
    let epsilon = f64::from(c.attributes.float("epsilon", 1e-5));
    let ((shape, scale), bias) = (c.floats(1)?, c.floats(2)?);
    let (mean, variance) = (c.floats(3)?, c.floats(4)?);
    if [&bias.0, &mean.0, &variance.0].iter().any(|&s| *s != shape) {
        return Err("its parameters differ in shape".into());
    }
    let factor: Vec<f64> = (scale.iter().zip(variance.1))
        .map(|(&s, &v)| f64::from(s) / (f64::from(v) + epsilon).sqrt())
        .collect();
    let shift: Vec<f32> = (factor.iter().zip(mean.1).zip(bias.1))
        .map(|((f, &m), &b)| (f64::from(b) - f64::from(m) * f) as f32)
        .collect();
    let factor: Vec<f32> = factor.iter().map(|&f| f as f32).collect();
    let x = c.data(0)?;
    let inputs = [
        x,
        c.derived(1, &shape, factor)?,
        c.derived(2, &shape, shift)?,
    ];
    // Up to opset 8 every element may have parameters of its own.
    if c.opset() < 9 && c.attributes.int("spatial", 1) == 0 {
        let scaled = c.inner(op(Binary::Mul), &inputs[..2])?;
        return c.push(op(Binary::Add), &[scaled, inputs[2]]);
    }
    c.push(Op::BatchNorm(Activation::Identity), &inputs)
}

fn normalised(c: &mut Context<'_>, len: usize, epsilon: f32) -> Result<ValueId, String> {
    let x = c.data(0)?;
    c.inner(Op::Normalise { len, epsilon }, &[x])
}

/// Over all axes from one on, times a scale, plus perhaps a bias.
fn layer(c: &mut Context<'_>) -> Done {
    let shape = c.shape(0)?;
    let at = inner_axis(c.attributes.int("axis", -1), shape.len() + 1)?;
    let len = shape[at - 1..].iter().product();
    let epsilon = c.attributes.float("epsilon", 1e-5);
    let y = normalised(c, len, epsilon)?;
    let scale = c.operand(1)?;
    if c.attributes.input(2).is_none() {
        return c.push(op(Binary::Mul), &[y, scale]);
    }
    let y = c.inner(op(Binary::Mul), &[y, scale])?;
    let bias = c.operand(2)?;
    c.push(op(Binary::Add), &[y, bias])
}

/// Over each map.
fn instance(c: &mut Context<'_>) -> Done {
    let shape = c.shape(0)?;
    let (_, map) = shape.split_first().ok_or("has no channels")?;
    let epsilon = c.attributes.float("epsilon", 1e-5);
    let y = normalised(c, map.iter().product(), epsilon)?;
    let inputs = [y, c.operand(1)?, c.operand(2)?];
    c.push(Op::BatchNorm(Activation::Identity), &inputs)
}

/// Over groups of maps. Scale and bias are one per group up to opset 20, one per channel since.
fn group(c: &mut Context<'_>) -> Done {
    let shape = c.shape(0)?;
    let (&channels, map) = shape.split_first().ok_or("has no channels")?;
    let groups = usize::try_from(c.attributes.int("num_groups", 0)).unwrap_or(0);
    if groups == 0 || channels % groups != 0 {
        return Err(format!(
            "{channels} channels are not cut into {groups} groups"
        ));
    }
    let each = channels / groups;
    let epsilon = c.attributes.float("epsilon", 1e-5);
    let y = normalised(c, each * map.iter().product::<usize>(), epsilon)?;
    let mut inputs = vec![y];
    for i in [1, 2] {
        let (size, values) = c.floats(i)?;
        let all = match size[..] {
            [n] if n == channels => values.to_vec(),
            [n] if n == groups => values.iter().flat_map(|&v| vec![v; each]).collect(),
            _ => {
                return Err(format!(
                    "parameters of shape {size:?} for {channels} channels"
                ));
            }
        };
        inputs.push(c.derived(i, &[channels], all)?);
    }
    c.push(Op::BatchNorm(Activation::Identity), &inputs)
}

/// `x / (bias + alpha / size * sum x^2)^beta`, summed over `size` channels around each.
fn local_response(c: &mut Context<'_>) -> Done {
    let shape = c.shape(0)?;
    let (&channels, map) = shape.split_first().ok_or("has no channels")?;
    let size = usize::try_from(c.attributes.int("size", 0)).unwrap_or(0);
    if size == 0 {
        return Err("its size is missing".into());
    }
    let a = &c.attributes;
    let (alpha, beta, bias) = (
        a.float("alpha", 1e-4),
        a.float("beta", 0.75),
        a.float("bias", 1.0),
    );
    let x = c.data(0)?;
    let squares = c.inner(op(Binary::Mul), &[x, x])?;
    let image = vec![1, channels, map.iter().product()];
    let image = c.inner(Op::Reshape(image), &[squares])?;
    let before = (size - 1) / 2;
    // Zeros beside the channels count, so that this is 1 / size times the sum.
    let mean = Op::Pool(Pool2dParams {
        kind: PoolKind::AveragePadded,
        kernel: [size, 1],
        stride: [1, 1],
        padding: [before, 0, size - 1 - before, 0],
        dilation: [1, 1],
        output: [channels, image_width(map)],
    });
    let mean = c.inner(mean, &[image])?;
    let base = c.inner(Op::Unary(Unary::Affine(alpha, bias)), &[mean])?;
    let exponent = c.derived(0, &[], vec![-beta])?;
    let factor = c.inner(op(Binary::Pow), &[base, exponent])?;
    let factor = c.inner(Op::Reshape(shape), &[factor])?;
    c.push(op(Binary::Mul), &[x, factor])
}

fn image_width(map: &[usize]) -> usize {
    map.iter().product()
}

/// `x` over its norm along an axis; 0 where that is 0.
fn norm(c: &mut Context<'_>) -> Done {
    let rank = c.shape(0)?.len() + 1;
    let at = inner_axis(c.attributes.int("axis", -1), rank)?;
    let kind = match c.attributes.int("p", 2) {
        1 => Reduction::SumAbs,
        2 => Reduction::Norm,
        p => return Err(format!("p is {p}, not 1 or 2")),
    };
    let x = c.data(0)?;
    let op_norm = Op::Reduce {
        kind,
        axes: at..at + 1,
        keep: true,
    };
    let norm = c.inner(op_norm, &[x])?;
    let least = c.derived(0, &[], vec![f32::MIN_POSITIVE])?;
    let norm = c.inner(op(Binary::Max), &[norm, least])?;
    c.push(op(Binary::Div), &[x, norm])
}

/// Over the last axes, to mean 0 and variance 1.
fn mean_variance(c: &mut Context<'_>) -> Done {
    let shape = c.shape(0)?;
    let rank = shape.len() + 1;
    let axes = c.attributes.ints("axes").unwrap_or(&[0, 2, 3]);
    let mut axes = (axes.iter())
        .map(|&a| inner_axis(a, rank))
        .collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    if !axes.iter().copied().eq(rank - axes.len()..rank) {
        return Err("normalises over axes that are not the last ones".into());
    }
    let len = shape[rank - 1 - axes.len()..].iter().product();
    // The definition adds 1e-9 to the standard deviation.
    let x = c.data(0)?;
    let epsilon = 1e-18;
    c.push(Op::Normalise { len, epsilon }, &[x])
}

/// `x / sqrt(mean of x^2 + epsilon)` over all axes from one on, times a scale.
fn root_mean_square(c: &mut Context<'_>) -> Done {
    let shape = c.shape(0)?;
    let rank = shape.len() + 1;
    let at = inner_axis(c.attributes.int("axis", -1), rank)?;
    let len: usize = shape[at - 1..].iter().product();
    let epsilon = c.attributes.float("epsilon", 1e-5);
    let x = c.data(0)?;
    let squares = Op::Reduce {
        kind: Reduction::SumSquares,
        axes: at..rank,
        keep: true,
    };
    let squares = c.inner(squares, &[x])?;
    let mean = Unary::Affine((1.0 / len as f64) as f32, epsilon);
    let mean = c.inner(Op::Unary(mean), &[squares])?;
    let root = c.inner(Op::Unary(Unary::Sqrt), &[mean])?;
    let y = c.inner(op(Binary::Div), &[x, root])?;
    let scale = c.operand(1)?;
    c.push(op(Binary::Mul), &[y, scale])
}
