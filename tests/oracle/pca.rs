//! Components that hold 95 % of the squared norm of a set of vectors about a point.

/// Eigenvalues of a symmetric matrix by Jacobi's rotations, largest first.
pub fn eigenvalues(mut a: Vec<Vec<f64>>) -> Vec<f64> {
    let n = a.len();
    for _ in 0..100 {
        let mut off = 0.0;
        for p in 0..n {
            for q in p + 1..n {
                off += a[p][q].powi(2);
                if a[p][q] == 0.0 {
                    continue;
                }
                let angle = 0.5 * (2.0 * a[p][q]).atan2(a[p][p] - a[q][q]);
                let (s, c) = angle.sin_cos();
                for i in 0..n {
                    let (x, y) = (a[i][p], a[i][q]);
                    a[i][p] = c * x + s * y;
                    a[i][q] = c * y - s * x;
                }
                for i in 0..n {
                    let (x, y) = (a[p][i], a[q][i]);
                    a[p][i] = c * x + s * y;
                    a[q][i] = c * y - s * x;
                }
            }
        }
        if off == 0.0 {
            break;
        }
    }
    let mut values: Vec<f64> = (0..n).map(|i| a[i][i]).collect();
    values.sort_by(|x, y| y.total_cmp(x));
    values
}

/// The dimension with shares that differ from 95 % by less than `slack` (relative) counted both
/// ways: the least and the largest count it may be.
pub fn dimension(query: &[f32], vectors: &[&[f32]], slack: f64) -> (u16, u16) {
    let rows: Vec<Vec<f64>> = vectors
        .iter()
        .map(|v| {
            let pairs = v.iter().zip(query);
            pairs.map(|(&a, &b)| f64::from(a) - f64::from(b)).collect()
        })
        .collect();
    let gram: Vec<Vec<f64>> = rows
        .iter()
        .map(|x| {
            let dot = |y: &Vec<f64>| x.iter().zip(y).map(|(a, b)| a * b).sum();
            rows.iter().map(dot).collect()
        })
        .collect();
    let trace: f64 = (0..rows.len()).map(|i| gram[i][i]).sum();
    if trace == 0.0 {
        return (0, 0);
    }
    let values = eigenvalues(gram);
    let count = |enough: f64| {
        let mut held = 0.0;
        for (i, v) in values.iter().enumerate() {
            held += v;
            if held >= enough {
                return i as u16 + 1;
            }
        }
        values.len() as u16
    };
    (
        count(0.95 * trace * (1.0 - slack)),
        count(0.95 * trace * (1.0 + slack)),
    )
}
