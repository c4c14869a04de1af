//! Cross-correlation of two stacks of maps, one lag at a time.

/// `(lag, sum over inputs and positions of x[p] y[p + lag])` for every lag at which the maps overlap, by
/// (y, x). `x` is `[inputs, h, w]`, `y` `[inputs, h', w']`.
pub fn correlations(
    x: &[f64],
    [h, w]: [usize; 2],
    y: &[f64],
    [h2, w2]: [usize; 2],
    inputs: usize,
) -> Vec<([i32; 2], f64)> {
    let mut all = vec![];
    for dy in 1 - h as i32..h2 as i32 {
        for dx in 1 - w as i32..w2 as i32 {
            let mut sum = 0.0;
            for c in 0..inputs {
                for py in 0..h {
                    for px in 0..w {
                        let (qy, qx) = (py as i32 + dy, px as i32 + dx);
                        if qy >= 0 && qx >= 0 && qy < h2 as i32 && qx < w2 as i32 {
                            sum += x[(c * h + py) * w + px]
                                * y[(c * h2 + qy as usize) * w2 + qx as usize];
                        }
                    }
                }
            }
            all.push(([dy, dx], sum));
        }
    }
    all
}
