//! Convolutional Similarity literally as defined: every pair, every lag, no identity.

/// Filters `K[M][C]`, each `h x w` in row order.
#[derive(Clone, Debug)]
pub struct Filters {
    pub m: usize,
    pub c: usize,
    pub h: usize,
    pub w: usize,
    pub k: Vec<f64>,
}

impl Filters {
    fn at(&self, i: usize, c: usize, y: isize, x: isize) -> f64 {
        if y < 0 || x < 0 || y >= self.h as isize || x >= self.w as isize {
            return 0.0;
        }
        self.k[((i * self.c + c) * self.h + y as usize) * self.w + x as usize]
    }

    /// `R_ij^c[b] = sum_n K_i^c[n] K_j^c[n + b]` for all lags.
    fn correlation(&self, i: usize, j: usize, c: usize) -> Vec<f64> {
        let (h, w) = (self.h as isize, self.w as isize);
        let mut out = Vec::new();
        for by in 1 - h..h {
            for bx in 1 - w..w {
                let mut sum = 0.0;
                for y in 0..h {
                    for x in 0..w {
                        sum += self.at(i, c, y, x) * self.at(j, c, y + by, x + bx);
                    }
                }
                out.push(sum);
            }
        }
        out
    }

    /// What a pair adds.
    pub fn pair(&self, i: usize, j: usize, summed: bool) -> f64 {
        let lags: Vec<Vec<f64>> = (0..self.c).map(|c| self.correlation(i, j, c)).collect();
        let square = |x: f64| x * x;
        if summed {
            let total = |b: usize| lags.iter().map(|r| r[b]).sum::<f64>();
            (0..lags[0].len()).map(|b| square(total(b))).sum()
        } else {
            lags.iter().flatten().map(|&r| square(r)).sum()
        }
    }

    /// `L`.
    pub fn value(&self, adjacent: bool, summed: bool) -> f64 {
        let mut sum = 0.0;
        for i in 0..self.m {
            for j in i + 1..self.m {
                if !adjacent || j == i + 1 {
                    sum += self.pair(i, j, summed);
                }
            }
        }
        sum
    }

    /// `dL/dK`, by the product rule on the definition.
    pub fn gradient(&self, adjacent: bool, summed: bool) -> Vec<f64> {
        let (h, w) = (self.h as isize, self.w as isize);
        let mut g = vec![0.0; self.k.len()];
        for i in 0..self.m {
            for j in 0..self.m {
                if i == j || (adjacent && i.abs_diff(j) != 1) {
                    continue;
                }
                // R_ij[b] depends on K_i[n] through K_j[n + b]; R_ji[-b] = R_ij[b] is the same pair.
                let mut r: Vec<Vec<f64>> = (0..self.c).map(|c| self.correlation(i, j, c)).collect();
                if summed {
                    let total: Vec<f64> = (0..r[0].len())
                        .map(|b| r.iter().map(|r| r[b]).sum())
                        .collect();
                    r = vec![total; self.c];
                }
                for c in 0..self.c {
                    for y in 0..h {
                        for x in 0..w {
                            let mut sum = 0.0;
                            for by in 1 - h..h {
                                for bx in 1 - w..w {
                                    let b = ((by + h - 1) * (2 * w - 1) + bx + w - 1) as usize;
                                    sum += 2.0 * r[c][b] * self.at(j, c, y + by, x + bx);
                                }
                            }
                            g[((i * self.c + c) * self.h + y as usize) * self.w + x as usize] +=
                                sum;
                        }
                    }
                }
            }
        }
        g
    }
}
