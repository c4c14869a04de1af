//! Arguments of a convolution.

use crate::error::dims;
use crate::ops::Conv2dParams;
use crate::{Error, Result};

/// Sizes of a convolution whose operands fit each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conv2dSizes {
    /// `N`.
    pub(crate) samples: usize,
    /// `C`.
    pub(crate) channels: usize,
    /// `H` and `W`.
    pub(crate) input: [usize; 2],
    /// `M`.
    pub(crate) filters: usize,
    /// `C / groups`.
    pub(crate) group_channels: usize,
    /// `kh` and `kw`.
    pub(crate) kernel: [usize; 2],
    /// `H'` and `W'`.
    pub(crate) output: [usize; 2],
}

/// Sizes of `x [N, C, H, W]`, `weight [M, C / groups, kh, kw]`, `bias [M]`. Only `N` may be 0.
pub(crate) fn check_conv2d(
    x: &[usize],
    weight: &[usize],
    bias: Option<&[usize]>,
    params: &Conv2dParams,
) -> Result<Conv2dSizes> {
    let [samples, channels, height, width] = match *x {
        [n, c, h, w] if c * h * w > 0 => [n, c, h, w],
        _ => return Err(Error::wrong_shape("x", dims!["N", "C", "H", "W"], x)),
    };
    let [filters, group_channels, kh, kw] = match *weight {
        [m, c, h, w] if !weight.contains(&0) => [m, c, h, w],
        _ => {
            let expected = dims!["M", "C / groups", "kh", "kw"];
            return Err(Error::wrong_shape("weight", expected, weight));
        }
    };
    let refuse = |why: &str| {
        let Conv2dParams {
            groups,
            stride,
            padding,
            dilation,
            ..
        } = params;
        let how = format!(
            "{why} (groups {groups}, stride {stride:?}, padding {padding:?}, dilation {dilation:?})"
        );
        Err(Error::mismatch("conv2d", &[x, weight], how))
    };
    let groups = params.groups;
    if groups == 0
        || !filters.is_multiple_of(groups)
        || group_channels.checked_mul(groups) != Some(channels)
    {
        return refuse(
            "input channels must be the weights' second dimension times the groups, and filters a multiple of \
             the groups",
        );
    }
    for (name, steps) in [("stride", params.stride), ("dilation", params.dilation)] {
        if steps.contains(&0) {
            return Err(Error::argument(name, format!("{steps:?}"), "at least 1"));
        }
    }
    if let Some(bias) = bias
        && bias != [filters]
    {
        return Err(Error::wrong_shape("bias", dims![filters], bias));
    }
    let [top, left, bottom, right] = params.padding;
    let out = |size: usize, before: usize, after: usize, kernel: usize, axis: usize| {
        let padded = size.checked_add(before)?.checked_add(after)?;
        let span = (kernel - 1)
            .checked_mul(params.dilation[axis])?
            .checked_add(1)?;
        Some(padded.checked_sub(span)? / params.stride[axis] + 1)
    };
    let (Some(out_height), Some(out_width)) = (
        out(height, top, bottom, kh, 0),
        out(width, left, right, kw, 1),
    ) else {
        return refuse("the kernel does not fit into the padded input");
    };
    Ok(Conv2dSizes {
        samples,
        channels,
        input: [height, width],
        filters,
        group_channels,
        kernel: [kh, kw],
        output: [out_height, out_width],
    })
}
