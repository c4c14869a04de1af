//! The number of principal components that hold 95 % of the squared norm of one query's NNK polytope
//! (docs/definitions.md#principal-components), in float64, accurate to rounding errors of the trace.
//!
//! The polytope of query `x_i` consists of the vectors `y_j = x_j - x_i` to its `m` support points. The components are
//! counted from the eigenvalues of the `m x m` Gram matrix of the `y_j`, or, if `dim` is smaller than `m`, of the
//! `dim x dim` matrix with the same non-zero eigenvalues. Only eigenvalues are needed: Householder's reduction to
//! tridiagonal form is followed by the square-root-free QL iteration of Pal, Walker and Kahan (Parlett, The Symmetric
//! Eigenvalue Problem, section 8.15).
//!
//! Both backends use it for the few queries that their faster arithmetic does not decide.

use super::Source;
use std::ops::Range;

/// The fraction of the squared norm that the components must hold.
pub(crate) const SHARE: f64 = 0.95;

/// Relative slack of the comparison with the 95 %. Some polytopes, such as equal integer vectors, hold exactly
/// that fraction, and rounding errors must not make them count one component more.
const SLACK: f64 = 1e-12;

/// How near to the 95 % a sum of eigenvalues may come, as a share of the trace, where products may be summed in any order. It is
/// far more than rounding changes: at most `m dim 2^-53`.
const DOUBT: f64 = 1e-9;

/// Numbers of a vector that are widened at a time, where vectors are long.
const PIECE: usize = 512;

/// Working memory for one query.
#[derive(Default)]
pub(crate) struct Components {
    /// The vectors minus the query, `[m, dim]`, or a piece of them.
    vectors: Vec<f64>,
    /// The Gram matrix, a packed lower triangle.
    matrix: Vec<f64>,
    /// `A u` of a Householder reflection, then its update vector.
    update: Vec<f64>,
    /// The diagonal, which the eigenvalues replace, the largest first.
    pub(crate) diagonal: Vec<f64>,
    /// Squares of the off-diagonal entries: `beside[i]` is that of entry `(i, i + 1)`.
    beside: Vec<f64>,
}

/// Bytes of [`Components`] for `k` candidates.
pub(crate) fn components_bytes(k: usize, dim: usize) -> u64 {
    let n = k.min(dim);
    (size_of::<f64>() * (k * dim.min(PIECE.max(k)) + packed(n, 0) + 3 * n)) as u64
}

/// Inner product. Eight sums side by side: an addition need not wait for the one before.
fn product(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks(sums.len()).zip(b.chunks(sums.len())) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

impl Components {
    /// Counts the principal components of `vectors - query`, for at least one vector; 0 if all equal the query.
    pub(crate) fn dimension(&mut self, source: &Source<'_>) -> u16 {
        let (m, dim) = (source.vectors.len(), source.query.len());
        let n = m.min(dim);
        self.matrix.clear();
        self.matrix.resize(packed(n, 0), 0.0);
        if dim < m {
            self.widen(source, 0..dim);
            for y in self.vectors.chunks_exact(dim) {
                for i in 0..n {
                    for (a, x) in self.matrix[packed(i, 0)..=packed(i, i)].iter_mut().zip(y) {
                        *a += y[i] * x;
                    }
                }
            }
        } else {
            for first in (0..dim).step_by(PIECE) {
                let piece = first..dim.min(first + PIECE);
                self.widen(source, piece.clone());
                let rows = |j: usize| &self.vectors[j * piece.len()..][..piece.len()];
                for i in 0..n {
                    for l in 0..=i {
                        let sum = &mut self.matrix[packed(i, l)];
                        *sum += product(rows(i), rows(l));
                    }
                }
            }
        }
        let trace = self.decompose(n);
        let (mut held, mut count) = (0.0, 0);
        for eigenvalue in &self.diagonal {
            if held >= trace * SHARE * (1.0 - SLACK) {
                break;
            }
            held += eigenvalue;
            count += 1;
        }
        count
    }

    /// What [`Components::dimension`] would count, from the inner products of all pairs of the `n` differences, in any order of
    /// summation: a packed lower triangle in float64. `None` where a sum of eigenvalues comes so near to the 95 % that the order
    /// might matter.
    pub(crate) fn dimension_of_products(&mut self, products: &[f64], n: usize) -> Option<u16> {
        self.matrix.clear();
        self.matrix.extend_from_slice(&products[..packed(n, 0)]);
        let trace = self.decompose(n);
        let (mut held, mut count) = (0.0, 0);
        for eigenvalue in &self.diagonal {
            let over = held - trace * SHARE;
            if over.abs() <= trace * DOUBT {
                return None;
            }
            if over > 0.0 {
                break;
            }
            held += eigenvalue;
            count += 1;
        }
        Some(count)
    }

    /// Replaces `diagonal` by the eigenvalues of the first `n` rows of `matrix`, the largest first. Returns their sum.
    fn decompose(&mut self, n: usize) -> f64 {
        let trace: f64 = (0..n).map(|i| self.matrix[packed(i, i)]).sum();
        self.reduce(n);
        self.eigenvalues(trace);
        self.diagonal.sort_unstable_by(|a, b| b.total_cmp(a));
        trace
    }

    /// Writes some numbers of the vectors minus the query to `vectors`.
    fn widen(&mut self, source: &Source<'_>, piece: Range<usize>) {
        self.vectors.clear();
        let query = source.query.slice(piece.clone()).wide();
        for vector in &source.vectors {
            let vector = vector.slice(piece.clone()).wide();
            let less = vector.iter().zip(&*query);
            self.vectors
                .extend(less.map(|(&x, &q)| f64::from(x) - f64::from(q)));
        }
    }

    /// Householder's reduction of the matrix to `diagonal` and `beside`, from the last row up.
    fn reduce(&mut self, n: usize) {
        for v in [&mut self.update, &mut self.diagonal, &mut self.beside] {
            v.clear();
            v.resize(n, 0.0);
        }
        for i in (1..n).rev() {
            let (block, rest) = self.matrix.split_at_mut(packed(i, 0));
            let (u, own) = rest.split_at_mut(i);
            self.diagonal[i] = own[0];
            let square: f64 = u.iter().map(|x| x * x).sum();
            self.beside[i - 1] = square;
            if square > 0.0 {
                // u = row + sign(last) |row| e_last; H = |u|^2 / 2.
                let norm = square.sqrt().copysign(u[i - 1]);
                let half = square + u[i - 1] * norm;
                u[i - 1] += norm;
                reflect(block, u, &mut self.update[..i], 1.0 / half);
            }
        }
        self.diagonal[0] = self.matrix[0];
    }

    /// Replaces `diagonal` by the eigenvalues, in no order.
    fn eigenvalues(&mut self, trace: f64) {
        let (d, beside) = (&mut self.diagonal, &mut self.beside);
        let last = d.len() - 1;
        let small = (trace * 0.25 * f64::EPSILON).powi(2);
        let mut top = 0;
        // An eigenvalue takes about two sweeps. The bound guards against iterations that rounding errors keep
        // from converging.
        for _ in 0..60 * d.len() {
            while top < last && beside[top] <= small {
                top += 1;
            }
            if top == last {
                return;
            }
            let shift = wilkinson(d[top], d[top + 1], beside[top]);
            let (mut cos, mut sin) = (1.0, 0.0);
            let mut gamma = d[last] - shift;
            let mut p = gamma * gamma;
            for i in (top..last).rev() {
                let square = beside[i];
                let r = p + square;
                if i + 1 < last {
                    beside[i + 1] = sin * r;
                }
                let before = cos;
                // Without an off-diagonal entry there is no rotation.
                (cos, sin) = match square > 0.0 {
                    true => (p / r, square / r),
                    false => (1.0, 0.0),
                };
                let next = cos * (d[i] - shift) - sin * gamma;
                d[i + 1] = gamma + (d[i] - next);
                p = match cos > 0.0 {
                    true => next * next / cos,
                    false => before * square,
                };
                gamma = next;
            }
            beside[top] = sin * p;
            d[top] = gamma + shift;
        }
    }
}

/// Index of entry `(j, l)`, `l <= j`, in a packed lower triangle, row after row.
#[inline(always)]
pub(crate) const fn packed(j: usize, l: usize) -> usize {
    j * (j + 1) / 2 + l
}

/// Wilkinson's shift: the eigenvalue of `[[d, b], [b, next]]`, `square = b^2 > 0`, that is nearer to `d`.
fn wilkinson(d: f64, next: f64, square: f64) -> f64 {
    let beside = square.sqrt();
    let ratio = (next - d) / (2.0 * beside);
    // If the square of the ratio overflows, the result is d, which is then correct to rounding.
    d - beside / (ratio + (ratio * ratio + 1.0).sqrt().copysign(ratio))
}

/// Householder reflection: replaces the symmetric `a` by `(I - u u'/H) a (I - u u'/H)`; `inverse` is `1 / H`.
fn reflect(a: &mut [f64], u: &[f64], update: &mut [f64], inverse: f64) {
    for j in 0..u.len() {
        let row = &a[packed(j, 0)..=packed(j, j)];
        update[j] = row.iter().zip(u).map(|(a, u)| a * u).sum();
        for (p, a) in update[..j].iter_mut().zip(row) {
            *p += a * u[j];
        }
    }
    let product: f64 = update.iter().zip(u).map(|(p, u)| p * u).sum();
    let half = 0.5 * product * inverse;
    for (p, u) in update.iter_mut().zip(u) {
        *p = inverse * (*p - half * u);
    }
    for j in 0..u.len() {
        let row = a[packed(j, 0)..=packed(j, j)].iter_mut();
        for ((a, x), p) in row.zip(u).zip(update.iter()) {
            *a -= u[j] * p + update[j] * x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Values;

    /// The count from the vectors, and that from products summed from the last number to the first.
    fn both(vectors: &[Vec<f32>]) -> (u16, Option<u16>) {
        let query = vec![0.25; vectors[0].len()];
        let source = Source {
            query: Values::from(&query),
            vectors: vectors.iter().map(Values::from).collect(),
            gamma: 0.0,
        };
        let mut products = Vec::new();
        for (i, a) in vectors.iter().enumerate() {
            for b in &vectors[..=i] {
                let pairs = a.iter().zip(b).rev();
                let less = |x: f32| f64::from(x) - 0.25;
                products.push(pairs.map(|(&a, &b)| less(a) * less(b)).sum());
            }
        }
        let mut components = Components::default();
        let count = components.dimension(&source);
        (
            count,
            components.dimension_of_products(&products, vectors.len()),
        )
    }

    #[test]
    fn products_decide_as_the_vectors_do() {
        let mut state = 9u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        for size in 1..26 {
            let vectors: Vec<Vec<f32>> = (0..size)
                .map(|_| {
                    (0..600)
                        .map(|t| random() / (1.0 + (t % 9) as f32))
                        .collect()
                })
                .collect();
            let (count, found) = both(&vectors);
            assert_eq!(found, Some(count), "{size} vectors");
        }
    }

    /// Of twenty equal orthogonal vectors, nineteen hold exactly 95 %.
    #[test]
    fn products_leave_what_is_close_to_the_vectors() {
        let vectors: Vec<Vec<f32>> = (0..20)
            .map(|i| (0..600).map(|t| if t == i { 2.25 } else { 0.25 }).collect())
            .collect();
        assert_eq!(both(&vectors), (19, None));
        // All equal to the query.
        assert_eq!(both(&vec![vec![0.25; 600]; 3]), (0, None));
    }
}
