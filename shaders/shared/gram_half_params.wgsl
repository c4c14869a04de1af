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

// e where an absolute value lies in [2^e, 2^(e + 1)), from its bits. A subnormal number counts units of 2^-149.
fn exponent(largest: u32) -> i32 {
    if (largest < 0x00800000u) {
        return firstLeadingBit(i32(max(largest, 1u))) - 149;
    }
    return i32(largest >> 23u) - 127;
}

// Two normal numbers whose product is 2^e, |e| <= 252.
fn powers(e: i32) -> vec2<f32> {
    let part = e / 2;
    return vec2(bitcast<f32>(u32(part + 127) << 23u), bitcast<f32>(u32(e - part + 127) << 23u));
}
