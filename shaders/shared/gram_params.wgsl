// Parameters of the f32 Gram kernels.
struct GramParams {
    n: u32,
    dim: u32,
    groups: u32,
    // Tiles per side of a matrix.
    tiles: u32,
    // First workgroup of this dispatch.
    first: u32,
    // Gaussian kernel: a power of two that x is multiplied by, and -1 / (2 s^2) for the bandwidth s in
    // those units.
    scale: f32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: GramParams;
