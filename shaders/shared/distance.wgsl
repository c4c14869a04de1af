// Squared distances that decide, by plain differences in wide arithmetic, in units of a power of two
// (`scale`) that keeps them in range where wide numbers are pairs of f32.
#import wide

// What the kernels keep per row.
struct RowNorm {
    // Gaussian: squared norm of the centred row in units of the scale; negative: too large to filter by.
    // Cosine: 1 / norm of the row times `power`. Never a candidate: FAR (gaussian), 0 (cosine).
    norm: f32,
    // Cosine: a power of two that brings the row near 1.
    power: f32,
    // Cosine: 1 / norm of the row times `power`.
    inverse: wide,
}

// A norm that marks rows which are no candidates.
const FAR = 3e38;
// Below this 2 - 2 cos, vectors parallel before they were rounded to f32 cannot be told from others.
const PARALLEL = 1e-14;

#ifdef WIDE_F64
fn difference(a: f32, b: f32, scale: f32) -> wide {
    return f64(a) - f64(b);
}

fn in_units(sum: wide, scale: f32) -> wide {
    return sum * f64(scale) * f64(scale);
}

fn unit_component(x: f32, row: RowNorm) -> wide {
    return f64(x) * (f64(row.power) * row.inverse);
}
#else
fn difference(a: f32, b: f32, scale: f32) -> wide {
    return two_sum(a * scale, -(b * scale));
}

// What overflowed (infinity or NaN, told by its bits) is as far as anything can be.
fn in_units(sum: wide, scale: f32) -> wide {
    if ((bitcast<u32>(sum.x) & 0x7f800000u) == 0x7f800000u) {
        return wide_largest();
    }
    return sum;
}

fn unit_component(x: f32, row: RowNorm) -> wide {
    let v = x * row.power;
    let p = two_product(v, row.inverse.x);
    return fast_sum(p.x, p.y + v * row.inverse.y);
}
#endif

fn snapped(sum: wide) -> wide {
    if (wide_less(sum, wide_from(PARALLEL))) {
        return wide_zeroed();
    }
    return sum;
}

// exp(-factor d), 0 where that is too small to be told from 0.
fn gaussian(sq_distance: wide, factor: wide) -> wide {
    if (wide_round(sq_distance) * wide_round(factor) > 700.0) {
        return wide_zeroed();
    }
    return wide_exp(-wide_mul(sq_distance, factor));
}
