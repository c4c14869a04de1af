// Distances that decide the order of neighbours: plain differences, in wide arithmetic. Where a wide
// number is a pair of f32, squared distances are kept in units of 1 / scale^2, to stay within its range;
// `scale` is a power of two, so that scaling is exact.
#import wide

// What is known of a row before a search.
struct RowNorm {
    // Gaussian kernel: squared norm of the centred row times scale^2; -1 if it is too large for the
    // filter. Cosine kernel: 1 / norm of the row times `power`, rounded. A row that can be no candidate
    // has NEVER (Gaussian) or 0 (cosine).
    norm: f32,
    // A power of two. Cosine kernel: it brings the row's largest value near 1. Gaussian: the scale.
    power: f32,
    // Cosine kernel: 1 / norm of the row times `power`.
    inverse: wide,
}

// Values of 2 - 2 cos below this cannot be told from 0: the vectors may have been parallel before they
// were rounded to f32.
const PARALLEL = 1e-14;

#ifdef WIDE_F64
// (a - b) in units of 1 / scale.
fn difference(a: f32, b: f32, scale: f32) -> wide {
    return f64(a) - f64(b);
}

// A squared distance in units of 1 / scale^2.
fn in_units(sum: wide, scale: f32) -> wide {
    return sum * f64(scale) * f64(scale);
}

// A distance from 1 to 4 as it is.
fn rounded_to_float64(distance: wide) -> wide {
    return distance;
}

// A component of the row's unit vector.
fn unit_component(x: f32, row: RowNorm) -> wide {
    return f64(x) * (f64(row.power) * row.inverse);
}
#else
fn difference(a: f32, b: f32, scale: f32) -> wide {
    let x = a * scale;
    let y = b * scale;
    if (max(abs(x), abs(y)) < 1e38) {
        return two_sum(x, -y);
    }
    // Of values too large to be scaled, the difference may not be.
    return two_sum(a, -b) * scale;
}

// A sum that overflowed (infinity or NaN, recognised by its bits) is the largest distance.
fn in_units(sum: wide, scale: f32) -> wide {
    if ((bitcast<u32>(sum.x) & 0x7f800000u) == 0x7f800000u) {
        return wide_largest();
    }
    return sum;
}

// A distance from 1 to 4 with the digits that float64 has. A pair of f32 can have more, and distances that are equal in
// float64, as that of opposite vectors nearly always is, are ordered by their samples. The sum has f32 steps of 2^-50.
fn rounded_to_float64(distance: wide) -> wide {
    const STEPS = 0x1.8p-27f;
    return fast_sum(distance.x, hide(hide(distance.y + STEPS) - STEPS));
}

fn unit_component(x: f32, row: RowNorm) -> wide {
    let v = x * row.power;
    let p = two_product(v, row.inverse.x);
    return fast_sum(p.x, p.y + v * row.inverse.y);
}
#endif

// 2 - 2 cos, or 0 if it cannot be told from 0.
fn snapped(sum: wide) -> wide {
    if (wide_less(sum, wide_from(PARALLEL))) {
        return wide_zeroed();
    }
    return sum;
}

// exp(-factor d^2); 0 where that is negligible.
#ifdef WIDE_F64
fn gaussian(sq_distance: wide, factor: wide) -> wide {
    // In float64, because the range of f32 does not hold every distance and factor.
    let exponent = sq_distance * factor;
    if (wide_less(wide_from(700.0), exponent)) {
        return wide_zeroed();
    }
    return wide_exp(-exponent);
}
#else
fn gaussian(sq_distance: wide, factor: wide) -> wide {
    if (wide_round(sq_distance) * wide_round(factor) > 700.0) {
        return wide_zeroed();
    }
    return wide_exp(-wide_mul(sq_distance, factor));
}
#endif

// (x - centre) scale in f32. Values are scaled first, because a small difference may be below the range
// of f32 and be taken for 0; but not those that would leave the range at its other end.
fn centred(x: f32, centre: f32, scale: f32) -> f32 {
    let a = x * scale;
    let b = centre * scale;
    return select((x - centre) * scale, a - b, max(abs(a), abs(b)) < 1e38);
}
