// Natural logarithms within 2 units in the last place. The built-in log of some drivers has an absolute
// error of 5e-7 near 1.
#import exp

// ln(1 + x) for 1 / sqrt(2) <= 1 + x <= sqrt(2), by a polynomial (Cephes, logf.c), plus e ln(2).
fn log_near_one(x: f32, e: f32) -> f32 {
    let z = x * x;
    var p = 7.0376836292e-2;
    p = p * x - 1.1514610310e-1;
    p = p * x + 1.1676998740e-1;
    p = p * x - 1.2420140846e-1;
    p = p * x + 1.4249322787e-1;
    p = p * x - 1.6668057665e-1;
    p = p * x + 2.0000714765e-1;
    p = p * x - 2.4999993993e-1;
    p = p * x + 3.3333331174e-1;
    let tail = p * x * z + e * EXP_LN2_LO - 0.5 * z;
    return (x + tail) + e * EXP_LN2_HI;
}

// ln(x); NaN below 0, -infinity at 0.
fn logarithm(x: f32) -> f32 {
    if (x <= 0.0) {
        return bitcast<f32>(select(0x7fc00000u, 0xff800000u, x == 0.0));
    }
    let bits = bitcast<u32>(x);
    if (bits >= 0x7f800000u) {
        return x;
    }
    // x = m 2^e with 1/2 <= m < 1. Numbers below the smallest normal one are scaled first.
    let small = bits < 0x00800000u;
    let scaled = select(bits, bitcast<u32>(x * 16777216.0), small);
    var e = i32(scaled >> 23u) - 126 - select(0, 24, small);
    var m = bitcast<f32>((scaled & 0x007fffffu) | 0x3f000000u);
    if (m < 0.70710678) {
        m = m + m;
        e -= 1;
    }
    return log_near_one(m - 1.0, f32(e));
}

// ln(1 + x) for 0 <= x <= 1.
fn log_one_plus(x: f32) -> f32 {
    if (x < 0.41421356) {
        return log_near_one(x, 0.0);
    }
    return log_near_one(0.5 * x - 0.5, 1.0);
}
