// x times a power of two, also where x is subnormal: a device may take such a number for 0 in every
// operation, so its value comes from its bits.
fn scaled(x: f32, power: f32) -> f32 {
    let bits = bitcast<u32>(x);
    if ((bits & 0x7f800000u) != 0u) {
        return x * power;
    }
    // The lower 23 bits count units of 2^-149 = 2^-126 2^-23.
    let size = f32(bits & 0x7fffffu) * (power * 1.1754943508222875e-38) * 1.1920928955078125e-7;
    return select(size, -size, (bits >> 31u) != 0u);
}
