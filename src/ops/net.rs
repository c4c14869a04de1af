//! The operations a network needs beyond convolution. Parameters here, one trait both backends implement.
//!
//! Every operation treats samples (axis 0) independently, so a batch can be cut anywhere without
//! changing a bit of the result.

mod functions;

pub use functions::{Binary, Reduction, Resampling, Unary};

use super::{Activation, Backend, Conv2dParams};
use crate::{Error, Result};
use std::ops::Range;

/// What a pooling window becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// Largest in-range element.
    Max,
    /// Mean of the in-range elements.
    Average,
    /// Sum of the in-range elements over the number of positions inside the padded input
    /// (`count_include_pad`).
    AveragePadded,
    /// First in-range element in row order: max pooling made linear (docs/definitions.md#impulse-response).
    First,
}

/// Geometry of 2-D pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2dParams {
    /// What a window becomes.
    pub kind: PoolKind,
    /// Window in y and x.
    pub kernel: [usize; 2],
    /// Step in y and x.
    pub stride: [usize; 2],
    /// Out-of-range positions at top, left, bottom, right.
    pub padding: [usize; 4],
    /// Distance between elements of a window in y and x.
    pub dilation: [usize; 2],
    /// Rows and columns of the result; given, because rounding up (`ceil_mode`) changes them.
    pub output: [usize; 2],
}

/// Copies a box of a strided view of one tensor into a strided view of another. Offsets and strides
/// count elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StridedCopy {
    /// Size of the box along each axis, at most 8 of them.
    pub extents: Vec<usize>,
    /// First element read.
    pub src_offset: usize,
    /// Step of each axis in the source; 0 repeats, negative runs backwards.
    pub src_strides: Vec<isize>,
    /// First element written.
    pub dst_offset: usize,
    /// Step of each axis in the target.
    pub dst_strides: Vec<usize>,
}

/// Most axes of a tensor in a network, batch included.
pub const MAX_RANK: usize = 8;

/// Which elements a shuffle exchanges (docs/definitions.md#shuffling).
#[derive(Clone, Copy, Debug)]
pub enum Shuffle<'a> {
    /// `out[i, c, p] = x[index[i], c, p]`, `[N]`.
    Samples(&'a [u32]),
    /// `out[i, c, p] = x[i, c, index[i, p]]`, `[N, d]`.
    Pixels(&'a [u32]),
}

/// Extremes over all lags of the cross-correlation of `P` maps with `Q` others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Correlation {
    /// Maps on the left, `P`, and on the right, `Q`.
    pub pairs: [usize; 2],
    /// `[P, Q]` largest value.
    pub max: Vec<f32>,
    /// `[P, Q]` largest absolute value.
    pub max_abs: Vec<f32>,
    /// `[P, Q]` lag (y, x) of the largest value, the first by (y, x) of equals; `[j, i]` is minus `[i, j]`
    /// where maps meet themselves.
    pub lag: Vec<[i32; 2]>,
}

impl Correlation {
    /// Nothing correlates yet.
    pub fn zeros(left: usize, right: usize) -> Self {
        Self {
            pairs: [left, right],
            max: vec![0.0; left * right],
            max_abs: vec![0.0; left * right],
            lag: vec![[0; 2]; left * right],
        }
    }

    /// Enters one pair.
    pub(crate) fn set(&mut self, i: usize, j: usize, max: f32, max_abs: f32, lag: [i32; 2]) {
        let at = i * self.pairs[1] + j;
        (self.max[at], self.max_abs[at], self.lag[at]) = (max, max_abs, lag);
    }
}

/// The operations of a network. `N` is the batch; `d` the number of elements per sample and channel.
pub trait NetOps: Backend {
    /// The same elements under another shape of equal size.
    fn reshape(&self, x: Self::Tensor, shape: &[usize]) -> Result<Self::Tensor>;
    /// Copies part of `x` into part of `into`. Elements of the target must not be named twice.
    fn copy(&self, x: &Self::Tensor, into: &mut Self::Tensor, copy: &StridedCopy) -> Result<()>;
    /// As [`Backend::conv2d`], for callers to whom a larger rounding error does not matter: a backend may compute outputs
    /// otherwise than by the sum of the definition, if that takes fewer operations. The error of an output is then up to
    /// about `1e-5` of the largest outputs, and intermediate results, up to a hundred times as large as the inputs, may
    /// overflow where the sum would not. Which way is taken depends on the sizes of a sample only; results do not depend on
    /// the batch.
    ///
    /// # Errors
    /// As [`Backend::conv2d`].
    fn conv2d_relaxed(
        &self,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        bias: Option<&Self::Tensor>,
        params: &Conv2dParams,
    ) -> Result<Self::Tensor> {
        self.conv2d(x, weight, bias, params)
    }
    /// Pooling, `[N, C, H, W]` to `[N, C, H', W']`.
    fn pool2d(&self, x: &Self::Tensor, params: &Pool2dParams) -> Result<Self::Tensor>;
    /// A function of every element.
    fn unary(&self, x: &Self::Tensor, f: Unary) -> Result<Self::Tensor>;
    /// A function of two tensors, broadcast as in numpy, then an activation.
    fn binary(
        &self,
        a: &Self::Tensor,
        b: &Self::Tensor,
        f: Binary,
        activation: Activation,
    ) -> Result<Self::Tensor>;
    /// Reduces neighbouring axes `axes`; `shape` is the result's, without them or with 1 in their place.
    fn reduce(
        &self,
        x: &Self::Tensor,
        kind: Reduction,
        axes: Range<usize>,
        shape: &[usize],
    ) -> Result<Self::Tensor>;
    /// `(x - m) / sqrt(v + epsilon)` for every run of `len` elements, C order, where `m` is their mean and `v`
    /// their variance (the mean of the squared differences).
    fn normalise(&self, x: &Self::Tensor, len: usize, epsilon: f32) -> Result<Self::Tensor>;
    /// Weighted sums along an axis.
    fn resample(&self, x: &Self::Tensor, axis: usize, by: &Resampling) -> Result<Self::Tensor>;
    /// `e^x / sum e^x` along an axis.
    fn softmax(&self, x: &Self::Tensor, axis: usize) -> Result<Self::Tensor>;
    /// `x [R, K]` times `weight [K, M]`, plus `bias [M]`, then an activation, `[R, M]`.
    fn linear(
        &self,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        bias: Option<&Self::Tensor>,
        activation: Activation,
    ) -> Result<Self::Tensor>;
    /// `x [N, C, ...]` with its elements exchanged.
    fn shuffle(&self, x: &Self::Tensor, how: Shuffle<'_>) -> Result<Self::Tensor>;
    /// `K` variants of every sample of `x [N, C, ...]`, `[N K, C, ...]`: variant `k` of sample `i` is
    /// row `i K + k`, where channel `channels.start + k` comes from `other` (of `x`'s shape), the rest
    /// from `x`.
    fn substitute(
        &self,
        x: &Self::Tensor,
        other: &Self::Tensor,
        channels: Range<usize>,
    ) -> Result<Self::Tensor>;
    /// Dot products per channel of `x [N, M, ...]` with its variants `y [N K, M, ...]`, on the host:
    /// `[N, K, M, 3]` holding `<x, y>`, `<x, x>`, `<y, y>`. In float64, so that squares of any finite `f32`
    /// neither overflow nor vanish.
    fn channel_dots(&self, x: &Self::Tensor, y: &Self::Tensor) -> Result<Vec<f64>>;
    /// `R_ij[lag] = sum_p x_i[p] y_j[p + lag]`, summed over the `I` inputs, for every pair of maps of
    /// `x [P, I, h, w]` and `y [Q, I, h', w']` (`x` again where there is none); out-of-range terms are 0,
    /// lags those at which the maps overlap. What comes back are the extremes (docs/definitions.md#ncc).
    /// Scale maps to unit norm first: errors are relative to the product of the norms.
    fn correlate(&self, x: &Self::Tensor, y: Option<&Self::Tensor>) -> Result<Correlation>;
    /// [`NetOps::correlate`], where only pairs count whose largest correlation is at least `least`, above 0. Others
    /// may come back as 0 without having been computed.
    fn correlate_above(
        &self,
        x: &Self::Tensor,
        y: &Self::Tensor,
        least: f32,
    ) -> Result<Correlation> {
        let _ = least;
        self.correlate(x, Some(y))
    }
}

/// Shape of the broadcast of two shapes, as in numpy.
///
/// # Errors
/// [`Error::Mismatch`] where they do not fit.
pub fn broadcast_shape(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |j| s[j]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => Err(Error::mismatch(
                "binary",
                &[a, b],
                "axes must be equal, or 1 to be broadcast",
            )),
        })
        .collect()
}

/// Strides of a C-order tensor of `shape` seen as `rank` axes that are broadcast where it has 1 or none.
pub fn broadcast_strides(shape: &[usize], rank: usize) -> Vec<usize> {
    let mut strides = vec![0; rank];
    let mut step = 1;
    for (i, &d) in shape.iter().enumerate().rev() {
        if d != 1 {
            strides[rank - shape.len() + i] = step;
        }
        step *= d;
    }
    strides
}

/// Strides of a C-order tensor of `shape`.
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}

/// Two operands of one result, with neighbouring axes merged where neither broadcasts differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroadcastPlan {
    /// Shape of the result.
    pub shape: Vec<usize>,
    /// Extents of the merged axes; at least one.
    pub extents: Vec<usize>,
    /// Strides of the first operand along them.
    pub a: Vec<usize>,
    /// Strides of the second operand along them.
    pub b: Vec<usize>,
}

impl BroadcastPlan {
    /// # Errors
    /// [`Error::Mismatch`] where the shapes do not fit or have more than [`MAX_RANK`] axes.
    pub fn new(a: &[usize], b: &[usize]) -> Result<Self> {
        let shape = broadcast_shape(a, b)?;
        if shape.len() > MAX_RANK {
            let most = format!("there may be at most {MAX_RANK} axes");
            return Err(Error::mismatch("binary", &[a, b], most));
        }
        let (sa, sb) = (
            broadcast_strides(a, shape.len()),
            broadcast_strides(b, shape.len()),
        );
        let mut plan = Self {
            shape: shape.clone(),
            extents: vec![],
            a: vec![],
            b: vec![],
        };
        // From the innermost axis out: an axis joins the one inside it when both operands go on in step.
        for i in (0..shape.len()).rev().filter(|&i| shape[i] != 1) {
            let joined = match (plan.extents.last(), plan.a.last(), plan.b.last()) {
                (Some(n), Some(x), Some(y)) => sa[i] == n * x && sb[i] == n * y,
                _ => false,
            };
            match plan.extents.last_mut() {
                Some(n) if joined => *n *= shape[i],
                _ => {
                    plan.extents.push(shape[i]);
                    plan.a.push(sa[i]);
                    plan.b.push(sb[i]);
                }
            }
        }
        if plan.extents.is_empty() {
            (plan.extents, plan.a, plan.b) = (vec![1], vec![1], vec![1]);
        }
        plan.extents.reverse();
        plan.a.reverse();
        plan.b.reverse();
        Ok(plan)
    }
}
