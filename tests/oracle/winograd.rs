//! What rounding errors of convolutions by transforms are relative to: of Winograd's F(4x4, 3x3) from the published
//! transforms (Lavin and Gray, arXiv 1509.09308, section 4.3), and of the products of 2x2 maps.

const B: [[f64; 6]; 6] = [
    [4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
    [0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
    [0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
    [0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
    [0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
    [0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
];
const G: [[f64; 3]; 6] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];
const A: [[f64; 6]; 4] = [
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
    [0.0, 1.0, -1.0, 2.0, -2.0, 0.0],
    [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
    [0.0, 1.0, -1.0, 8.0, -8.0, 1.0],
];

/// `|t| v |t|'`, row by row.
fn both_sides<const N: usize, const M: usize>(
    t: &[[f64; N]; M],
    v: &[[f64; N]; N],
) -> [[f64; M]; M] {
    let mut out = [[0.0; M]; M];
    for i in 0..M {
        for j in 0..M {
            for (k, row) in v.iter().enumerate() {
                for (l, value) in row.iter().enumerate() {
                    out[i][j] += t[i][k].abs() * value * t[j][l].abs();
                }
            }
        }
    }
    out
}

/// For every output of `x [N, C, H, W]`, `weight [M, C, 3, 3]`, `[M, oh, ow]` per sample: the result of the algorithm
/// where every number is replaced by its absolute value, from which the error of each step follows.
pub fn scales(
    x: &[f32],
    [n, c, h, w]: [usize; 4],
    weight: &[f32],
    bias: &[f32],
    [top, left]: [usize; 2],
    [m, oh, ow]: [usize; 3],
) -> Vec<f64> {
    let filters: Vec<[[f64; 6]; 6]> = (weight.chunks_exact(9))
        .map(|taps| {
            let mut g = [[0.0; 3]; 3];
            for (i, &tap) in taps.iter().enumerate() {
                g[i / 3][i % 3] = f64::from(tap).abs();
            }
            both_sides(&G, &g)
        })
        .collect();
    let mut out = vec![0.0; n * m * oh * ow];
    for sample in 0..n {
        for (ty, tx) in (0..oh.div_ceil(4)).flat_map(|y| (0..ow.div_ceil(4)).map(move |x| (y, x))) {
            let tiles: Vec<[[f64; 6]; 6]> = (0..c)
                .map(|channel| {
                    let mut d = [[0.0; 6]; 6];
                    for (i, row) in d.iter_mut().enumerate() {
                        for (j, value) in row.iter_mut().enumerate() {
                            let (y, x0) = (4 * ty + i, 4 * tx + j);
                            if y >= top && x0 >= left && y - top < h && x0 - left < w {
                                let at = ((sample * c + channel) * h + y - top) * w + x0 - left;
                                *value = f64::from(x[at]).abs();
                            }
                        }
                    }
                    both_sides(&B, &d)
                })
                .collect();
            for filter in 0..m {
                let mut sum = [[0.0; 6]; 6];
                for (tile, taps) in tiles.iter().zip(&filters[filter * c..][..c]) {
                    for i in 0..6 {
                        for j in 0..6 {
                            sum[i][j] += tile[i][j] * taps[i][j];
                        }
                    }
                }
                let of_tile = both_sides(&A, &sum);
                let own = bias.get(filter).map_or(0.0, |&b| f64::from(b).abs());
                for (i, row) in of_tile.iter().enumerate() {
                    for (j, &value) in row.iter().enumerate() {
                        let (y, x0) = (4 * ty + i, 4 * tx + j);
                        if y < oh && x0 < ow {
                            out[((sample * m + filter) * oh + y) * ow + x0] = value + own;
                        }
                    }
                }
            }
        }
    }
    out
}

/// The same for 3x3 convolutions of 2x2 maps with a padding of 1, where the products of an axis are
/// `g1 (x0 + x1)`, `(g2 - g1) x1` and `(g0 - g1) x0`.
pub fn scales_two_by_two(
    x: &[f32],
    [n, c]: [usize; 2],
    weight: &[f32],
    bias: &[f32],
    m: usize,
) -> Vec<f64> {
    const B: [[f64; 2]; 3] = [[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]];
    const G: [[f64; 3]; 3] = [[0.0, 1.0, 0.0], [0.0, -1.0, 1.0], [1.0, -1.0, 0.0]];
    const A: [[f64; 3]; 2] = [[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]];
    let mut out = Vec::new();
    for sample in 0..n {
        for filter in 0..m {
            let mut sum = [[0.0; 3]; 3];
            for channel in 0..c {
                let pixel = |i: usize| f64::from(x[(sample * c + channel) * 4 + i]).abs();
                let tap = |i: usize| f64::from(weight[(filter * c + channel) * 9 + i]).abs();
                let map = [[pixel(0), pixel(1)], [pixel(2), pixel(3)]];
                let taps = [0, 3, 6].map(|row| [tap(row), tap(row + 1), tap(row + 2)]);
                let (map, taps) = (both_sides(&B, &map), both_sides(&G, &taps));
                for (i, row) in sum.iter_mut().enumerate() {
                    for (j, value) in row.iter_mut().enumerate() {
                        *value += map[i][j] * taps[i][j];
                    }
                }
            }
            let own = bias.get(filter).map_or(0.0, |&b| f64::from(b).abs());
            out.extend(both_sides(&A, &sum).as_flattened().iter().map(|v| v + own));
        }
    }
    out
}
