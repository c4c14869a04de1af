//! Made-up data that behaves like activations. Deterministic.

/// Values in `[-1, 1)`.
pub fn noise(len: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// `[rows, dim]` around ten centres, as samples of ten classes would be.
pub fn clusters(rows: usize, dim: usize) -> Vec<f32> {
    let values = noise((rows + 10) * dim);
    let (centres, rest) = values.split_at(10 * dim);
    rest.chunks_exact(dim)
        .enumerate()
        .flat_map(|(i, row)| {
            let centre = &centres[i * 7 % 10 * dim..][..dim];
            row.iter()
                .zip(centre)
                .map(|(x, c)| x + 0.7 * c)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// [`clusters`] behind a ReLU, every second sample all-zero.
pub fn relu(rows: usize, dim: usize) -> Vec<f32> {
    let mut values = clusters(rows, dim);
    for (i, row) in values.chunks_exact_mut(dim).enumerate() {
        row.iter_mut()
            .for_each(|x| *x = if i % 2 == 0 { x.max(0.0) } else { 0.0 });
    }
    values
}
