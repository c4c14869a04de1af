//! The sizes of a convolution, and the layout of its padded input.
//!
//! A *plane* is a padded input map, `[rows, stride, phase_width]`: with a stride of `s`, pixel `x` of a padded row is
//! number `x / s` of *phase* `x % s`. The inputs of one tap for neighbouring outputs then lie side by side.

use crate::Result;
use crate::ops::{Conv2dParams, Conv2dSizes, check_conv2d};

/// The sizes of one convolution, checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) samples: usize,
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) filters: usize,
    pub(super) groups: usize,
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) dilation: [usize; 2],
    /// Top and left.
    pub(super) padding: [usize; 2],
    pub(super) out: [usize; 2],
}

impl Geometry {
    /// The sizes for `x [N, C, H, W]`, `weight [M, C / groups, kh, kw]` and `bias [M]`.
    ///
    /// # Errors
    /// Those of [`check_conv2d`].
    pub(super) fn new(
        x: &[usize],
        weight: &[usize],
        bias: Option<&[usize]>,
        params: &Conv2dParams,
    ) -> Result<Self> {
        let Conv2dSizes {
            samples,
            channels,
            input: [height, width],
            filters,
            kernel,
            output,
            ..
        } = check_conv2d(x, weight, bias, params)?;
        let [top, left, ..] = params.padding;
        // Where there is one output along an axis, no step is made: a plane has a phase for every pixel of a step.
        let step = |axis: usize| match output[axis] {
            1 => 1,
            _ => params.stride[axis],
        };
        Ok(Self {
            samples,
            channels,
            height,
            width,
            filters,
            groups: params.groups,
            kernel,
            stride: [step(0), step(1)],
            dilation: params.dilation,
            padding: [top, left],
            out: output,
        })
    }

    /// The same convolution with each map as one row, if a 1x1 kernel visits every pixel; else unchanged.
    pub(super) fn flattened(mut self) -> Self {
        if self.is_pointwise() {
            self.width *= self.height;
            self.out = [1, self.width];
            self.height = 1;
        }
        self
    }

    /// Whether a 1x1 kernel visits every pixel.
    pub(super) fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1]
            && self.stride == [1, 1]
            && self.out == [self.height, self.width]
            && self.padding == [0, 0]
    }

    /// Input channels of a group.
    pub(super) fn group_channels(&self) -> usize {
        self.channels / self.groups
    }

    /// Filters of a group.
    pub(super) fn group_filters(&self) -> usize {
        self.filters / self.groups
    }

    /// Whether all filters see all channels through 3x3 taps side by side, at every pixel.
    pub(super) fn is_dense_3x3(&self) -> bool {
        self.groups == 1
            && self.kernel == [3, 3]
            && self.stride == [1, 1]
            && self.dilation == [1, 1]
    }

    /// Taps per channel.
    pub(super) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Terms of the sum of an output.
    pub(super) fn depth(&self) -> usize {
        self.group_channels() * self.taps()
    }

    /// Pixels of an output map.
    pub(super) fn pixels(&self) -> usize {
        self.out[0] * self.out[1]
    }

    /// Rows of a plane: those that the kernel visits.
    pub(super) fn plane_rows(&self) -> usize {
        (self.out[0] - 1) * self.stride[0] + (self.kernel[0] - 1) * self.dilation[0] + 1
    }

    /// Pixels in one phase of a row of a plane.
    pub(super) fn phase_width(&self) -> usize {
        self.out[1] + (self.kernel[1] - 1) * self.dilation[1] / self.stride[1]
    }

    /// Values of a plane.
    pub(super) fn plane_len(&self) -> usize {
        self.plane_rows() * self.stride[1] * self.phase_width()
    }

    /// Place in a plane of the input of output `(0, 0)` for the tap `(ky, kx)`.
    pub(super) fn tap_offset(&self, ky: usize, kx: usize) -> usize {
        let x = kx * self.dilation[1];
        (ky * self.dilation[0] * self.stride[1] + x % self.stride[1]) * self.phase_width()
            + x / self.stride[1]
    }

    /// Place of the input of output `(y, x)`, relative to that of output `(0, 0)`.
    pub(super) fn output_offset(&self, y: usize, x: usize) -> usize {
        y * self.stride[0] * self.stride[1] * self.phase_width() + x
    }

    /// Copies a map `[height, width]` into a plane of zeros.
    pub(super) fn fill_plane(&self, map: &[f32], plane: &mut [f32]) {
        let [step, phase_width] = [self.stride[1], self.phase_width()];
        let [top, left] = self.padding;
        for (row, to) in plane
            .chunks_exact_mut(step * phase_width)
            .take(self.plane_rows())
            .enumerate()
        {
            let Some(y) = row.checked_sub(top).filter(|&y| y < self.height) else {
                continue;
            };
            let from = &map[y * self.width..][..self.width];
            for (phase, to) in to.chunks_exact_mut(phase_width).enumerate() {
                // The first pixel of this phase that is not left padding.
                let skip = left.saturating_sub(phase).div_ceil(step);
                let first = skip * step + phase - left;
                if skip >= phase_width || first >= from.len() {
                    continue;
                }
                if step == 1 {
                    let len = (phase_width - skip).min(from.len() - first);
                    to[skip..][..len].copy_from_slice(&from[first..][..len]);
                } else {
                    for (to, &x) in to[skip..]
                        .iter_mut()
                        .zip(from[first..].iter().step_by(step))
                    {
                        *to = x;
                    }
                }
            }
        }
    }
}
