// exp(x) within 2 units in the last place. The built-in exp of some drivers has a relative
// error of 4e-6.
#import infinity

// exp(x) = 2^n exp(r) with |r| <= ln(2) / 2. ln(2) is the sum of two constants, of which the first has
// so few bits that n times it is exact.
const EXP_LN2_HI = 0.693359375;
const EXP_LN2_LO = -2.12194440e-4;

// exp(r) for r = x - n ln(2).
fn exp_rest(x: f32, n: f32) -> f32 {
    let r = (x - n * EXP_LN2_HI) - n * EXP_LN2_LO;
    var p = 1.9875691500e-4;
    p = p * r + 1.3981999507e-3;
    p = p * r + 8.3334519073e-3;
    p = p * r + 4.1665795894e-2;
    p = p * r + 1.6666665459e-1;
    p = p * r + 5.0000001201e-1;
    return p * r * r + r + 1.0;
}

// exp(x) for x <= 0; 0 below -87.
fn exp_nonpositive(x: f32) -> f32 {
    if (x < -87.0) {
        return 0.0;
    }
    let n = round(x * 1.4426950408889634);
    return exp_rest(x, n) * bitcast<f32>(u32(i32(n) + 127) << 23u);
}

// exp(x) for every x that is a number.
fn exponential(x: f32) -> f32 {
    if (x <= 0.0) {
        return exp_nonpositive(x);
    }
    if (x > 88.7228) {
        return infinity();
    }
    // 2^n is multiplied in two parts, because 2^128 is no float.
    let n = round(x * 1.4426950408889634);
    return exp_rest(x, n) * bitcast<f32>(u32(i32(n) + 126) << 23u) * 2.0;
}
