// Sine, cosine and inverse tangent with an absolute error of 2e-7 for every finite argument. The built-in
// functions may be off by 5e-4.
#import infinity

// Word `i` of the bits of 2 / pi, 32 at a time, after two bits that are zero. A choice among constants: a table
// would be an array in memory.
fn two_over_pi(i: u32) -> u32 {
    switch i {
        case 0u: { return 0x00000000u; }
        case 1u: { return 0x28be60dbu; }
        case 2u: { return 0x9391054au; }
        case 3u: { return 0x7f09d5f4u; }
        case 4u: { return 0x7d4d3770u; }
        case 5u: { return 0x36d8a566u; }
        case 6u: { return 0x4f10e410u; }
        default: { return 0x7f9458eau; }
    }
}

// Both halves of a product: low, high.
fn wide_product(a: u32, b: u32) -> vec2<u32> {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let left = (a >> 16u) * (b & 0xffffu);
    let right = (a & 0xffffu) * (b >> 16u);
    let middle = (low >> 16u) + (left & 0xffffu) + (right & 0xffffu);
    let high = (a >> 16u) * (b >> 16u) + (left >> 16u) + (right >> 16u) + (middle >> 16u);
    return vec2(a * b, high);
}

// An angle as a multiple of pi / 2, and what remains, within pi / 4 of 0.
struct Angle {
    quadrant: u32,
    rest: f32,
}

// Reduces |x| by integer arithmetic (Payne and Hanek, 1983): the product of its 24 bits with 2 / pi, of which
// whole multiples of 4 do not matter.
fn reduced(x: f32) -> Angle {
    let a = abs(x);
    if (a < 0.78539816) {
        return Angle(0u, a);
    }
    let bits = bitcast<u32>(a);
    let mantissa = ((bits & 0x007fffffu) | 0x00800000u) << 8u;
    let exponent = (bits >> 23u) - 126u;
    let word = exponent / 32u;
    let shift = exponent % 32u;
    var high = two_over_pi(word);
    var middle = two_over_pi(word + 1u);
    var low = two_over_pi(word + 2u);
    if (shift > 0u) {
        high = (high << shift) | (middle >> (32u - shift));
        middle = (middle << shift) | (low >> (32u - shift));
        low = (low << shift) | (two_over_pi(word + 3u) >> (32u - shift));
    }
    // The product in units of 2^-62 quarter turns, modulo 2^64.
    let carry = wide_product(mantissa, low).y;
    let second = wide_product(mantissa, middle);
    var bottom = second.x + carry;
    var top = second.y + select(0u, 1u, bottom < carry) + mantissa * high;
    // The nearest multiple, and the signed rest.
    let quadrant = (top + 0x20000000u) >> 30u;
    top = top - (quadrant << 30u);
    let negative = (top & 0x80000000u) != 0u;
    if (negative) {
        bottom = ~bottom + 1u;
        top = ~top + select(0u, 1u, bottom == 0u);
    }
    // pi / 2 times 2^-62, in two steps that neither overflow nor underflow.
    let rest = (f32(top) * 4294967296.0 + f32(bottom)) * 2.168404344971009e-19 * 1.5707963267948966;
    return Angle(quadrant & 3u, select(rest, -rest, negative));
}

// Sine of an angle in [-pi / 4, pi / 4], and cosine (Cephes, sinf.c).
fn sine_near_zero(x: f32) -> f32 {
    let z = x * x;
    return ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * x + x;
}

fn cosine_near_zero(x: f32) -> f32 {
    let z = x * x;
    return ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z
        - 0.5 * z + 1.0;
}

// Infinite angles have no sine.
fn is_infinite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) >= 0x7f800000u;
}

fn cosine(x: f32) -> f32 {
    if (is_infinite(x)) {
        return not_a_number();
    }
    let angle = reduced(x);
    switch (angle.quadrant) {
        case 0u: { return cosine_near_zero(angle.rest); }
        case 1u: { return -sine_near_zero(angle.rest); }
        case 2u: { return -cosine_near_zero(angle.rest); }
        default: { return sine_near_zero(angle.rest); }
    }
}

fn sine(x: f32) -> f32 {
    if (is_infinite(x)) {
        return not_a_number();
    }
    let angle = reduced(x);
    var y = 0.0;
    switch (angle.quadrant) {
        case 0u: { y = sine_near_zero(angle.rest); }
        case 1u: { y = cosine_near_zero(angle.rest); }
        case 2u: { y = -sine_near_zero(angle.rest); }
        default: { y = -cosine_near_zero(angle.rest); }
    }
    return select(y, -y, x < 0.0);
}

// Inverse tangent (Cephes, atanf.c).
fn arc_tangent(x: f32) -> f32 {
    var v = abs(x);
    var base = 0.0;
    if (v > 2.414213562373095) {
        base = 1.5707963267948966;
        v = -1.0 / v;
    } else if (v > 0.414213562373095) {
        base = 0.7853981633974483;
        v = (v - 1.0) / (v + 1.0);
    }
    let z = v * v;
    let y = base + ((((8.05374449538e-2 * z - 1.38776856032e-1) * z + 1.99777106478e-1) * z
        - 3.33329491539e-1) * z * v + v);
    return select(y, -y, x < 0.0);
}
