//! 2-D convolution from the definition: zero padding, cross-correlation, groups.

use chanscope::ops::{Activation, Conv2dParams};

/// `x [N, C, H, W]`, `weight [M, C / groups, kh, kw]`, `bias [M]` or empty: the output's shape, its
/// values, and for each the sum of the absolute terms (what rounding errors are relative to).
pub fn conv2d(
    x: &[f32],
    [n, c, h, w]: [usize; 4],
    weight: &[f32],
    [m, per_group, kh, kw]: [usize; 4],
    bias: &[f32],
    params: &Conv2dParams,
) -> ([usize; 4], Vec<f64>, Vec<f64>) {
    let [top, left, bottom, right] = params.padding;
    let [sy, sx] = params.stride;
    let [dy, dx] = params.dilation;
    let oh = (h + top + bottom - (kh - 1) * dy - 1) / sy + 1;
    let ow = (w + left + right - (kw - 1) * dx - 1) / sx + 1;
    let mut values = Vec::new();
    let mut scales = Vec::new();
    for sample in 0..n {
        for filter in 0..m {
            let group = filter / (m / params.groups);
            for oy in 0..oh {
                for ox in 0..ow {
                    let mut sum = bias.get(filter).map_or(0.0, |&b| f64::from(b));
                    let mut scale = sum.abs();
                    for i in 0..per_group {
                        for ky in 0..kh {
                            for kx in 0..kw {
                                let (y, x0) = (oy * sy + ky * dy, ox * sx + kx * dx);
                                if y < top || x0 < left || y - top >= h || x0 - left >= w {
                                    continue;
                                }
                                let channel = group * per_group + i;
                                let value =
                                    x[((sample * c + channel) * h + y - top) * w + x0 - left];
                                let tap = weight[((filter * per_group + i) * kh + ky) * kw + kx];
                                sum += f64::from(value) * f64::from(tap);
                                scale += (f64::from(value) * f64::from(tap)).abs();
                            }
                        }
                    }
                    values.push(activate(sum, params.activation));
                    scales.push(scale);
                }
            }
        }
    }
    ([n, m, oh, ow], values, scales)
}

fn activate(x: f64, activation: Activation) -> f64 {
    match activation {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::Clip(lo, hi) => x.max(f64::from(lo)).min(f64::from(hi)),
        Activation::LeakyRelu(slope) => {
            if x < 0.0 {
                x * f64::from(slope)
            } else {
                x
            }
        }
    }
}
