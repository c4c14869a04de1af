// Gram matrices of groups whose values f16 holds exactly, up to a power of two. Their products are exact
// in f32, so cooperative matrices can compute them. `gram_largest` and `gram_pack` find those groups and
// pack them; `gram_half` computes them, and `gram` computes the other groups.
#import workgroup

struct HalfGramParams {
    n: u32,
    dim: u32,
    groups: u32,
    // Vectors of four values per packed row.
    pitch: u32,
    // Blocks per side of a matrix.
    blocks: u32,
    // First workgroup of this dispatch.
    first: u32,
}

@group(0) @binding(0) var<uniform> params: HalfGramParams;

// The biased exponent of an absolute value, from its bits.
fn exponent(largest: u32) -> u32 {
    return largest >> 23u;
}
