//! Halves give the bits that the same values give in `f32`.

use super::*;
use half::f16;

/// Rows of halves: like activations after a ReLU, subnormal, or of every magnitude. Some rows are equal but for the signs of
/// their zeros.
fn halves(n: usize, dim: usize, kind: usize) -> Vec<f16> {
    let mut u = uniform((n * dim + kind) as u64 + 1);
    let mut x: Vec<f16> = (0..n * dim)
        .map(|_| match kind {
            0 => f16::from_f64((u() - 0.4).max(0.0)),
            1 => f16::from_bits((u() * 1024.0) as u16 | u16::from(u() < 0.5) << 15),
            _ => f16::from_bits((u() * f64::from(0x7c00)) as u16 | u16::from(u() < 0.5) << 15),
        })
        .collect();
    for row in (6..n).step_by(6) {
        let from = (row - 3) * dim;
        x.copy_within(from..from + dim, row * dim);
        for value in &mut x[row * dim..][..dim] {
            if *value == f16::ZERO {
                *value = -*value;
            }
        }
    }
    x
}

/// Queries whose graphs are compared; fewer where each takes long.
fn count(k: usize) -> usize {
    if k > 100 { 4 } else { 24 }
}

/// The graph of the first rows, of points and queries as given. The points come in two blocks where they are `gathered`.
fn graph_of(
    device: &Cpu,
    [queries, points]: [Values<'_>; 2],
    dim: usize,
    params: &GraphParams,
    gathered: bool,
) -> GraphBlock {
    let (n, few) = (points.len() / dim, count(params.k));
    let prepared = |data: Values<'_>, first: usize| {
        let rows = data.len() / dim;
        device
            .points(
                PointsBlock {
                    data,
                    groups: 1,
                    rows,
                    dim,
                    first,
                },
                params.kernel,
            )
            .unwrap()
    };
    let mut found = device.candidates(1, few, params.k).unwrap();
    if !gathered {
        let all = prepared(points, 0);
        let samples: Vec<u32> = (0..few as u32).collect();
        let listed = PointsBlock {
            data: queries.slice(0..few * dim),
            groups: 1,
            rows: few,
            dim,
            first: 0,
        };
        let own = device.queries(listed, &samples, params.kernel).unwrap();
        device.knn(&own, 0..few, &all, params, &mut found).unwrap();
        return device
            .nnk(&own, 0..few, &found, Vectors::Points(&all), params)
            .unwrap();
    }
    let own = device
        .rows(queries.to_buffer(), 1, dim, 0, params.kernel)
        .unwrap();
    let cut = n / 3;
    let parts = [points.slice(0..cut * dim), points.slice(cut * dim..n * dim)];
    let parts = [(parts[0], 0), (parts[1], cut)].map(|(part, first)| prepared(part, first));
    let mut into = device
        .gathered([1, few, params.k, dim], points.value_type())
        .unwrap();
    for part in &parts {
        device.knn(&own, 0..few, part, params, &mut found).unwrap();
    }
    for part in &parts {
        device.gather(part, &found, &mut into).unwrap();
    }
    device
        .nnk(&own, 0..few, &found, Vectors::Gathered(&into), params)
        .unwrap()
}

pub fn halves_give_the_bits_of_the_same_values_in_f32(set: InstructionSet) {
    let device = Cpu::with_instruction_set(2, set).unwrap();
    // Around whole vectors, the long products, and the pieces that are widened at a time.
    let shapes = [1, 5, 8, 9, 31, 33, 49, 256, 257, 600].map(|dim| (70, dim, 12));
    let shapes = shapes.into_iter().chain([(310, 20, 300), (120, 20, 70)]);
    for (i, (n, dim, k)) in shapes.enumerate() {
        for kernel in [Kernel::Gaussian, Kernel::Cosine] {
            let kind = (i + usize::from(kernel == Kernel::Cosine)) % 3;
            let x = halves(n, dim, kind);
            let wide: Vec<f32> = x.iter().map(|v| v.to_f32()).collect();
            let (half, single) = (Values::F16(&x), Values::F32(&wide));
            let params = params(k, kernel);
            for gathered in [false, true] {
                let wanted = graph_of(&device, [single, single], dim, &params, gathered);
                for pair in [[half, half], [half, single], [single, half]] {
                    let found = graph_of(&device, pair, dim, &params, gathered);
                    assert_eq!(found, wanted, "{n} x {dim}, k {k}, {kernel:?}, {kind}");
                }
            }
        }
    }
}
