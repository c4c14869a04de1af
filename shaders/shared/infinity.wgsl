// Infinities, and what is no number. WGSL forbids expressions that a compiler knows to be either, so the bits come out
// of a variable.
var<private> infinity_bits: u32 = 0x7f800000u;

fn infinity() -> f32 {
    return bitcast<f32>(infinity_bits);
}

fn not_a_number() -> f32 {
    return bitcast<f32>(infinity_bits | 0x00400000u);
}
