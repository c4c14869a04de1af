//! 2-D convolution as every framework means it: cross-correlation.

use chanscope::device::{Activation, Conv2dParams};

/// `x [N, C, H, W]`, `weight [M, C / groups, kh, kw]` to `[N, M, H', W']`.
pub fn conv2d(
    (x, [batch, channels, height, width]): (&[f32], [usize; 4]),
    (weight, [filters, group_channels, kh, kw]): (&[f32], [usize; 4]),
    bias: Option<&[f32]>,
    p: &Conv2dParams,
) -> Vec<f64> {
    let [top, left, bottom, right] = p.padding;
    let rows = (height + top + bottom - p.dilation[0] * (kh - 1) - 1) / p.stride[0] + 1;
    let columns = (width + left + right - p.dilation[1] * (kw - 1) - 1) / p.stride[1] + 1;
    let mut out = Vec::new();
    for n in 0..batch {
        for m in 0..filters {
            for oy in 0..rows {
                for ox in 0..columns {
                    let mut sum = bias.map_or(0.0, |b| f64::from(b[m]));
                    for c in 0..group_channels {
                        let channel = m / (filters / p.groups) * group_channels + c;
                        for ky in 0..kh {
                            for kx in 0..kw {
                                let y = oy * p.stride[0] + ky * p.dilation[0];
                                let z = ox * p.stride[1] + kx * p.dilation[1];
                                let inside = (top..top + height).contains(&y)
                                    && (left..left + width).contains(&z);
                                if inside {
                                    let at = ((n * channels + channel) * height + y - top) * width;
                                    let w = ((m * group_channels + c) * kh + ky) * kw + kx;
                                    sum += f64::from(x[at + z - left]) * f64::from(weight[w]);
                                }
                            }
                        }
                    }
                    out.push(match p.activation {
                        Activation::Identity => sum,
                        Activation::Relu => sum.max(0.0),
                        Activation::Clip(lo, hi) => sum.clamp(f64::from(lo), f64::from(hi)),
                        Activation::LeakyRelu(slope) if sum < 0.0 => f64::from(slope) * sum,
                        Activation::LeakyRelu(_) => sum,
                    });
                }
            }
        }
    }
    out
}
