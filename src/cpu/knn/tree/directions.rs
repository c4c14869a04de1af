//! The directions in which rows differ most, by orthogonal iteration. Any other directions would give a correct tree,
//! with wider boxes.

use super::AXES;
use crate::cpu::knn::packed::Packed;
use crate::cpu::knn::rows::{Rows, sample};

/// Steps of orthogonal iteration. They need not converge.
const STEPS: usize = 4;

/// The directions in which a sample of the rows differs most, orthonormal: `[axes, dim]`.
pub(super) fn directions(points: &Rows, group: usize, packed: &Packed) -> Vec<f64> {
    let dim = points.dim;
    let rows: Vec<Vec<f64>> = sample(points, group)
        .map(|(row, factor)| {
            let row = row.iter().zip(packed.centre());
            row.map(|(&x, c)| f64::from(x) * factor - c).collect()
        })
        .collect();
    let axes = AXES.min(dim);
    // Pseudorandom start vectors, which are not orthogonal to the result.
    let mut state = 1u64;
    let mut basis: Vec<f64> = (0..axes * dim)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1u64 << 23) as f64 - 1.0
        })
        .collect();
    for _ in 0..STEPS {
        let mut next = vec![0f64; basis.len()];
        for row in &rows {
            for (next, direction) in next.chunks_exact_mut(dim).zip(basis.chunks_exact(dim)) {
                let along: f64 = row.iter().zip(direction).map(|(x, d)| x * d).sum();
                for (next, x) in next.iter_mut().zip(row) {
                    *next += along * x;
                }
            }
        }
        basis = orthonormal(next, dim);
    }
    basis
}

/// Gram-Schmidt orthogonalisation, done twice; directions that depend linearly on others are left out.
fn orthonormal(mut basis: Vec<f64>, dim: usize) -> Vec<f64> {
    let mut kept: Vec<f64> = Vec::with_capacity(basis.len());
    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    for direction in basis.chunks_exact_mut(dim) {
        let before = norm(direction);
        for _ in 0..2 {
            for other in kept.chunks_exact(dim) {
                let along: f64 = direction.iter().zip(other).map(|(a, b)| a * b).sum();
                for (x, o) in direction.iter_mut().zip(other) {
                    *x -= along * o;
                }
            }
        }
        let length = norm(direction);
        // The comparison is false for NaN.
        if length > 1e-6 * before && length.is_normal() {
            kept.extend(direction.iter().map(|x| x / length));
        }
    }
    kept
}
