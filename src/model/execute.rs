//! Runs one step on a device.

use super::node::{Fill, Op, SliceSpec};
use crate::Result;
use crate::ops::net::{Binary, NetOps, StridedCopy, broadcast_strides, strides};
use crate::ops::{Activation, Conv2dParams};

/// Result of `op`; `shape` is the result's, batch included. Reshapes are the caller's. Convolutions are
/// [`NetOps::conv2d_relaxed`] if `relaxed`.
pub(super) fn execute<B: NetOps>(
    backend: &B,
    op: &Op,
    inputs: &[&B::Tensor],
    shape: &[usize],
    relaxed: bool,
) -> Result<B::Tensor> {
    let x = inputs[0];
    match op {
        Op::Conv(p) if relaxed => backend.conv2d_relaxed(x, inputs[1], inputs.get(2).copied(), p),
        Op::Conv(p) => backend.conv2d(x, inputs[1], inputs.get(2).copied(), p),
        Op::BatchNorm(a) => batch_norm(backend, inputs, shape, *a),
        Op::Linear(a) => linear(backend, inputs, shape, *a),
        Op::Unary(f) => backend.unary(x, *f),
        Op::Binary(f, a) => backend.binary(x, inputs[1], *f, *a),
        Op::Pool(p) => backend.pool2d(x, p),
        Op::Reduce { kind, axes, .. } => backend.reduce(x, *kind, axes.clone(), shape),
        Op::Normalise { len, epsilon } => backend.normalise(x, *len, *epsilon),
        Op::MatMul => matmul(backend, x, inputs[1], shape),
        Op::Softmax(axis) => backend.softmax(x, *axis),
        Op::Concat(axis) => concat(backend, inputs, shape, *axis),
        Op::Reshape(_) => backend.reshape(duplicate(backend, x)?, shape),
        Op::Transpose(perm) => transpose(backend, x, shape, perm),
        Op::Pad {
            before,
            after,
            fill,
        } => match *fill {
            Fill::Constant(value) => pad(backend, x, shape, before, value),
            fill => continued(backend, x, before, after, fill),
        },
        Op::Slice(s) => slice(backend, x, shape, s),
        Op::Expand(_) => expand(backend, x, shape),
        Op::Spread { step, before, .. } => spread(backend, x, shape, before, step),
        Op::Resample { axis, by } => backend.resample(x, *axis, by),
    }
}

/// A copy of a tensor.
pub(super) fn duplicate<B: NetOps>(backend: &B, x: &B::Tensor) -> Result<B::Tensor> {
    let shape = backend.shape(x).to_vec();
    let mut out = backend.zeros(&shape)?;
    let whole = StridedCopy {
        extents: vec![shape.iter().product()],
        src_offset: 0,
        src_strides: vec![1],
        dst_offset: 0,
        dst_strides: vec![1],
    };
    backend.copy(x, &mut out, &whole)?;
    Ok(out)
}

/// Every sample `count` times: `[N, ...]` to `[N count, ...]`, row `i count + j` is sample `i`.
pub(crate) fn repeat<B: NetOps>(backend: &B, x: &B::Tensor, count: usize) -> Result<B::Tensor> {
    let mut shape = backend.shape(x).to_vec();
    let row: usize = shape[1..].iter().product();
    let samples = shape[0];
    shape[0] *= count;
    let mut out = backend.zeros(&shape)?;
    let copies = StridedCopy {
        extents: vec![samples, count, row],
        src_offset: 0,
        src_strides: vec![row as isize, 0, 1],
        dst_offset: 0,
        dst_strides: vec![row * count, row, 1],
    };
    backend.copy(x, &mut out, &copies)?;
    Ok(out)
}

fn batch_norm<B: NetOps>(
    backend: &B,
    inputs: &[&B::Tensor],
    shape: &[usize],
    activation: Activation,
) -> Result<B::Tensor> {
    // Along axis 1: the constants get an axis of 1 for each one after it.
    let mut along = vec![1; shape.len() - 1];
    along[0] = shape[1];
    let scale = backend.reshape(duplicate(backend, inputs[1])?, &along)?;
    let shift = backend.reshape(duplicate(backend, inputs[2])?, &along)?;
    let scaled = backend.binary(inputs[0], &scale, Binary::Mul, Activation::Identity)?;
    backend.binary(&scaled, &shift, Binary::Add, activation)
}

fn linear<B: NetOps>(
    backend: &B,
    inputs: &[&B::Tensor],
    shape: &[usize],
    activation: Activation,
) -> Result<B::Tensor> {
    let (x, bias) = (inputs[0], inputs.get(2).copied());
    let from = backend.shape(x);
    if let &[_, _] = from {
        return backend.linear(x, inputs[1], bias, activation);
    }
    let k = from[from.len() - 1];
    let rows = from[..from.len() - 1].iter().product();
    let flat = backend.reshape(duplicate(backend, x)?, &[rows, k])?;
    let y = backend.linear(&flat, inputs[1], bias, activation)?;
    backend.reshape(y, shape)
}

fn concat<B: NetOps>(
    backend: &B,
    inputs: &[&B::Tensor],
    shape: &[usize],
    axis: usize,
) -> Result<B::Tensor> {
    let mut out = backend.zeros(shape)?;
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let mut offset = 0;
    for x in inputs {
        let block = backend.shape(x)[axis] * inner;
        let part = StridedCopy {
            extents: vec![outer, block],
            src_offset: 0,
            src_strides: vec![block as isize, 1],
            dst_offset: offset,
            dst_strides: vec![shape[axis] * inner, 1],
        };
        backend.copy(x, &mut out, &part)?;
        offset += block;
    }
    Ok(out)
}

fn transpose<B: NetOps>(
    backend: &B,
    x: &B::Tensor,
    shape: &[usize],
    perm: &[usize],
) -> Result<B::Tensor> {
    let from = strides(backend.shape(x));
    let mut out = backend.zeros(shape)?;
    let moved = StridedCopy {
        extents: shape.to_vec(),
        src_offset: 0,
        src_strides: perm.iter().map(|&i| from[i] as isize).collect(),
        dst_offset: 0,
        dst_strides: strides(shape),
    };
    backend.copy(x, &mut out, &moved)?;
    Ok(out)
}

fn pad<B: NetOps>(
    backend: &B,
    x: &B::Tensor,
    shape: &[usize],
    before: &[usize],
    value: f32,
) -> Result<B::Tensor> {
    let out = if value == 0.0 {
        backend.zeros(shape)?
    } else {
        backend.upload(shape, &vec![value; shape.iter().product()])?
    };
    place(backend, x, out, before, &vec![1; before.len()])
}

fn spread<B: NetOps>(
    backend: &B,
    x: &B::Tensor,
    shape: &[usize],
    before: &[usize],
    step: &[usize],
) -> Result<B::Tensor> {
    place(backend, x, backend.zeros(shape)?, before, step)
}

/// Writes the elements of `x` into `out`, `step` apart from `before` on.
fn place<B: NetOps>(
    backend: &B,
    x: &B::Tensor,
    mut out: B::Tensor,
    before: &[usize],
    step: &[usize],
) -> Result<B::Tensor> {
    let from = backend.shape(x);
    let mut to = strides(backend.shape(&out));
    let offset = before.iter().zip(&to[1..]).map(|(b, s)| b * s).sum();
    to[1..].iter_mut().zip(step).for_each(|(to, s)| *to *= s);
    let inside = StridedCopy {
        extents: from.to_vec(),
        src_offset: 0,
        src_strides: strides(from).iter().map(|&s| s as isize).collect(),
        dst_offset: offset,
        dst_strides: to,
    };
    backend.copy(x, &mut out, &inside)?;
    Ok(out)
}

/// `x` broadcast to a shape.
fn expand<B: NetOps>(backend: &B, x: &B::Tensor, shape: &[usize]) -> Result<B::Tensor> {
    let mut out = backend.zeros(shape)?;
    let from = broadcast_strides(backend.shape(x), shape.len());
    let repeated = StridedCopy {
        extents: shape.to_vec(),
        src_offset: 0,
        src_strides: from.iter().map(|&s| s as isize).collect(),
        dst_offset: 0,
        dst_strides: strides(shape),
    };
    backend.copy(x, &mut out, &repeated)?;
    Ok(out)
}

/// Products of many pairs of matrices, as one convolution with a group per pair: `b [K, M]` is an image of `K`
/// channels and `M` pixels, the rows of `a [R, K]` are the filters.
fn matmul<B: NetOps>(
    backend: &B,
    a: &B::Tensor,
    b: &B::Tensor,
    shape: &[usize],
) -> Result<B::Tensor> {
    let (batch, last) = shape.split_at(shape.len() - 2);
    let (rows, columns) = (last[0], last[1]);
    let inner = backend.shape(a)[backend.shape(a).len() - 1];
    let pairs: usize = batch.iter().product();
    let whole = |x: &B::Tensor, matrix: [usize; 2], wanted: [usize; 4]| {
        let full = [batch, &matrix].concat();
        let x = if backend.shape(x) == full {
            duplicate(backend, x)?
        } else {
            expand(backend, x, &full)?
        };
        backend.reshape(x, &wanted)
    };
    let filters = whole(a, [rows, inner], [pairs * rows, inner, 1, 1])?;
    let image = whole(b, [inner, columns], [1, pairs * inner, columns, 1])?;
    let plain = Conv2dParams {
        stride: [1, 1],
        padding: [0; 4],
        dilation: [1, 1],
        groups: pairs,
        activation: Activation::Identity,
    };
    let product = backend.conv2d(&image, &filters, None, &plain)?;
    backend.reshape(product, shape)
}

/// Padding that repeats parts of the value, one axis after the other.
fn continued<B: NetOps>(
    backend: &B,
    x: &B::Tensor,
    before: &[usize],
    after: &[usize],
    fill: Fill,
) -> Result<B::Tensor> {
    let mut current: Option<B::Tensor> = None;
    for axis in (1..=before.len()).filter(|a| before[a - 1] + after[a - 1] > 0) {
        let x = current.as_ref().unwrap_or(x);
        let from = backend.shape(x).to_vec();
        let (n, b, a) = (from[axis], before[axis - 1], after[axis - 1]);
        // First index and step in the source of the part before, the value, and the part after.
        let (first, last) = match fill {
            Fill::Reflect => ((b, -1), (n.wrapping_sub(2), -1)),
            Fill::Wrap => ((n - b, 1), (0, 1)),
            _ => ((0, 0), (n - 1, 0)),
        };
        let mut to = from.clone();
        to[axis] += b + a;
        let mut out = backend.zeros(&to)?;
        let (src, dst) = (strides(&from), strides(&to));
        for ((start, step), at, count) in [(first, 0, b), ((0, 1), b, n), (last, b + n, a)] {
            if count == 0 {
                continue;
            }
            let mut src_strides: Vec<isize> = src.iter().map(|&s| s as isize).collect();
            src_strides[axis] *= step;
            let mut extents = from.clone();
            extents[axis] = count;
            let part = StridedCopy {
                extents,
                src_offset: start * src[axis],
                src_strides,
                dst_offset: at * dst[axis],
                dst_strides: dst.clone(),
            };
            backend.copy(x, &mut out, &part)?;
        }
        current = Some(out);
    }
    current.map_or_else(|| duplicate(backend, x), Ok)
}

fn slice<B: NetOps>(
    backend: &B,
    x: &B::Tensor,
    shape: &[usize],
    s: &SliceSpec,
) -> Result<B::Tensor> {
    let from = strides(backend.shape(x));
    let mut out = backend.zeros(shape)?;
    let mut src_strides = vec![from[0] as isize];
    src_strides.extend(s.step.iter().zip(&from[1..]).map(|(n, &f)| n * f as isize));
    let part = StridedCopy {
        extents: shape.to_vec(),
        src_offset: s.start.iter().zip(&from[1..]).map(|(n, f)| n * f).sum(),
        src_strides,
        dst_offset: 0,
        dst_strides: strides(shape),
    };
    backend.copy(x, &mut out, &part)?;
    Ok(out)
}
