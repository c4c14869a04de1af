//! Layers of a network, one output number at a time.

/// `x [n, c, h, w]`, `k [m, c / groups, kh, kw]`; positions outside `x` count as 0.
#[allow(clippy::too_many_arguments)]
pub fn conv2d(
    x: &[f64],
    [n, c, h, w]: [usize; 4],
    k: &[f64],
    [m, cg, kh, kw]: [usize; 4],
    bias: &[f64],
    stride: [usize; 2],
    pad: [usize; 4],
    dilation: [usize; 2],
    groups: usize,
) -> (Vec<f64>, [usize; 4]) {
    let oh = (h + pad[0] + pad[2] - dilation[0] * (kh - 1) - 1) / stride[0] + 1;
    let ow = (w + pad[1] + pad[3] - dilation[1] * (kw - 1) - 1) / stride[1] + 1;
    let mut out = vec![];
    for i in 0..n {
        for o in 0..m {
            let group = o / (m / groups);
            for y in 0..oh {
                for xx in 0..ow {
                    let mut sum = bias[o];
                    for ci in 0..cg {
                        for ky in 0..kh {
                            for kx in 0..kw {
                                let sy =
                                    (y * stride[0] + ky * dilation[0]) as isize - pad[0] as isize;
                                let sx =
                                    (xx * stride[1] + kx * dilation[1]) as isize - pad[1] as isize;
                                let inside =
                                    sy >= 0 && sx >= 0 && sy < h as isize && sx < w as isize;
                                if inside {
                                    let at = ((i * c + group * cg + ci) * h + sy as usize) * w;
                                    sum += x[at + sx as usize]
                                        * k[((o * cg + ci) * kh + ky) * kw + kx];
                                }
                            }
                        }
                    }
                    out.push(sum);
                }
            }
        }
    }
    (out, [n, m, oh, ow])
}

/// What a pooling window becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pool {
    Max,
    Average,
    AveragePadded,
    First,
}

/// Pools maps `[maps, h, w]`; the window starts `pad` before the map.
#[allow(clippy::too_many_arguments)]
pub fn pool2d(
    x: &[f64],
    [h, w]: [usize; 2],
    kind: Pool,
    kernel: [usize; 2],
    stride: [usize; 2],
    pad: [usize; 4],
    dilation: [usize; 2],
    out: [usize; 2],
) -> Vec<f64> {
    let mut result = vec![];
    for map in x.chunks(h * w) {
        for oy in 0..out[0] {
            for ox in 0..out[1] {
                let mut inside = vec![];
                let mut padded = 0;
                for ky in 0..kernel[0] {
                    for kx in 0..kernel[1] {
                        let y = (oy * stride[0] + ky * dilation[0]) as isize - pad[0] as isize;
                        let xx = (ox * stride[1] + kx * dilation[1]) as isize - pad[1] as isize;
                        if y < (h + pad[2]) as isize && xx < (w + pad[3]) as isize {
                            padded += 1;
                        }
                        if y >= 0 && xx >= 0 && y < h as isize && xx < w as isize {
                            inside.push(map[y as usize * w + xx as usize]);
                        }
                    }
                }
                let sum: f64 = inside.iter().sum();
                result.push(match kind {
                    Pool::Max => inside.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                    Pool::Average => sum / inside.len() as f64,
                    Pool::AveragePadded => sum / f64::from(padded),
                    Pool::First => inside[0],
                });
            }
        }
    }
    result
}

/// `x [rows, k]` times `w [m, k]` transposed, plus `bias [m]`.
pub fn linear(x: &[f64], w: &[f64], bias: &[f64], k: usize) -> Vec<f64> {
    let mut out = vec![];
    for row in x.chunks(k) {
        for (w, b) in w.chunks(k).zip(bias) {
            out.push(b + row.iter().zip(w).map(|(x, w)| x * w).sum::<f64>());
        }
    }
    out
}

/// `max(0, x)` everywhere.
pub fn relu(x: &[f64]) -> Vec<f64> {
    x.iter().map(|v| v.max(0.0)).collect()
}
