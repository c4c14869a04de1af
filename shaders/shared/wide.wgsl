// Wide numbers, for all steps whose rounding could change a result: f64 where the adapter has it, with
// about 16 digits; elsewhere double-float, pairs of f32 whose value is x + y with |y| <= ulp(x) / 2,
// with about 14. Both kinds have the same functions and occupy 8 bytes. The host defines WIDE_F64 where
// f64 is used.

#ifdef WIDE_F64
alias wide = f64;

fn wide_init(zero: u32) {}
fn wide_from(x: f32) -> wide { return f64(x); }
fn wide_round(x: wide) -> f32 { return f32(x); }
fn wide_largest() -> wide { return 1e308lf; }
fn wide_difference(a: f32, b: f32) -> wide { return f64(a) - f64(b); }
fn wide_product(a: f32, b: f32) -> wide { return f64(a) * f64(b); }
fn wide_add(a: wide, b: wide) -> wide { return a + b; }
fn wide_sub(a: wide, b: wide) -> wide { return a - b; }
fn wide_mul(a: wide, b: wide) -> wide { return a * b; }
fn wide_div(a: wide, b: wide) -> wide { return a / b; }
fn wide_sqrt(a: wide) -> wide { return sqrt(a); }
fn wide_less(a: wide, b: wide) -> bool { return a < b; }
// a * 2^n, |n| <= 1000.
fn wide_scale(a: wide, n: i32) -> wide {
    let eighth = n >> 3u;
    var p = f64(bitcast<f32>(u32(eighth + 127) << 23u));
    p = p * p;
    p = p * p;
    p = p * p;
    return a * p * f64(bitcast<f32>(u32(n - 8 * eighth + 127) << 23u));
}
const WIDE_LN2 = 0.6931471805599453lf;
// 1 / i!.
const WIDE_EXP = array<f64, 15>(
    1.0lf,
    1.0lf,
    0.5lf,
    0.16666666666666666lf,
    0.041666666666666664lf,
    0.008333333333333333lf,
    0.001388888888888889lf,
    0.0001984126984126984lf,
    2.48015873015873e-05lf,
    2.7557319223985893e-06lf,
    2.755731922398589e-07lf,
    2.505210838544172e-08lf,
    2.08767569878681e-09lf,
    1.6059043836821613e-10lf,
    1.1470745597729725e-11lf,
);
#else
alias wide = vec2<f32>;

// Compilers may simplify (a + b) - a to b, or fuse a * b + c, both of which would destroy the rounding
// errors that double-float arithmetic is made of. Every sum and product whose rounding error is needed
// is therefore made opaque: it passes through an exclusive-or with a parameter that is 0, which no
// compiler can know.
var<private> wide_zero: u32;

// Every kernel that uses wide numbers calls this first, with a parameter that the host sets to 0.

fn wide_init(zero: u32) { wide_zero = zero; }
fn hide(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ wide_zero); }

// a + b as an unevaluated sum, exactly (Knuth's two-sum).
fn two_sum(a: f32, b: f32) -> vec2<f32> {
    let s = hide(a + b);
    let v = hide(s - a);
    return vec2(s, (a - hide(s - v)) + (b - v));
}
// The same for |a| >= |b| (Dekker's fast two-sum).
fn fast_sum(a: f32, b: f32) -> vec2<f32> {
    let s = hide(a + b);
    return vec2(s, b - hide(s - a));
}
// a * b as an unevaluated sum, exactly: each factor is split into its 12 leading and 12 trailing bits,
// whose products need no rounding (Dekker's product).
fn two_product(a: f32, b: f32) -> vec2<f32> {
    let p = hide(a * b);
    let c = bitcast<f32>(bitcast<u32>(a) & 0xfffff000u);
    let d = bitcast<f32>(bitcast<u32>(b) & 0xfffff000u);
    let e = hide(a - c);
    let f = hide(b - d);
    return vec2(p, ((hide(hide(c * d) - p) + c * f) + e * d) + e * f);
}

fn wide_from(x: f32) -> wide { return vec2(x, 0.0); }
fn wide_round(x: wide) -> f32 { return x.x; }
fn wide_largest() -> wide { return vec2(3e38, 0.0); }
fn wide_difference(a: f32, b: f32) -> wide { return two_sum(a, -b); }
fn wide_product(a: f32, b: f32) -> wide { return two_product(a, b); }
fn wide_add(a: wide, b: wide) -> wide {
    let s = two_sum(a.x, b.x);
    let t = two_sum(a.y, b.y);
    let u = fast_sum(s.x, s.y + t.x);
    return fast_sum(u.x, u.y + t.y);
}
fn wide_sub(a: wide, b: wide) -> wide { return wide_add(a, -b); }
fn wide_mul(a: wide, b: wide) -> wide {
    let p = two_product(a.x, b.x);
    return fast_sum(p.x, p.y + (a.x * b.y + a.y * b.x));
}
fn wide_div(a: wide, b: wide) -> wide {
    let q = a.x / b.x;
    let r = wide_sub(a, wide_mul(b, vec2(q, 0.0)));
    let s = r.x / b.x;
    let t = wide_sub(r, wide_mul(b, vec2(s, 0.0)));
    let u = fast_sum(q, s);
    return wide_add(u, vec2(t.x / b.x, 0.0));
}
fn wide_sqrt(a: wide) -> wide {
    if (a.x <= 0.0) {
        return vec2(0.0, 0.0);
    }
    let s = sqrt(a.x);
    let r = wide_sub(a, two_product(s, s));
    let t = fast_sum(s, r.x / (2.0 * s));
    let q = wide_sub(a, wide_mul(t, t));
    return wide_add(t, vec2(q.x / (2.0 * s), 0.0));
}
fn wide_less(a: wide, b: wide) -> bool { return a.x < b.x || (a.x == b.x && a.y < b.y); }
// a * 2^n; 0 if that underflows f32.
fn wide_scale(a: wide, n: i32) -> wide {
    let whole = max(n, -250);
    let part = whole / 2;
    let p = bitcast<f32>(u32(part + 127) << 23u);
    return a * p * bitcast<f32>(u32(whole - part + 127) << 23u);
}
const WIDE_LN2 = vec2<f32>(0.6931471824645996, -1.9046542121259336e-09);
// 1 / i!.
const WIDE_EXP = array<vec2<f32>, 15>(
    vec2<f32>(1.0, 0.0),
    vec2<f32>(1.0, 0.0),
    vec2<f32>(0.5, 0.0),
    vec2<f32>(0.1666666716337204, -4.967053879312289e-09),
    vec2<f32>(0.0416666679084301, -1.2417634698280722e-09),
    vec2<f32>(0.008333333767950535, -4.34617203337595e-10),
    vec2<f32>(0.0013888889225199819, -3.3631094437103215e-11),
    vec2<f32>(0.00019841270113829523, -2.725596874933456e-12),
    vec2<f32>(2.4801587642286904e-05, -3.40699609366682e-13),
    vec2<f32>(2.7557318844628753e-06, 3.793571224297229e-14),
    vec2<f32>(2.755731998149713e-07, -7.575112209051195e-15),
    vec2<f32>(2.5052107943679403e-08, 4.4176230446483665e-16),
    vec2<f32>(2.0876755879584152e-09, 1.1082839147459852e-16),
    vec2<f32>(1.6059044372074283e-10, -5.352526511562726e-18),
    vec2<f32>(1.147074536050896e-11, 2.372207689231238e-19),
);
#endif

fn wide_zeroed() -> wide { return wide_from(0.0); }

// exp(x) for x <= 0, to the last few bits of a wide number; 0 for x < -690. x = n ln(2) + r, and exp(r)
// by its Taylor series.
fn wide_exp(x: wide) -> wide {
    let rough = wide_round(x);
    if (rough < -690.0) {
        return wide_zeroed();
    }
    let n = round(rough * 1.4426950408889634);
    let r = wide_sub(x, wide_mul(wide_from(n), WIDE_LN2));
    var coefficients = WIDE_EXP;
    var p = coefficients[14];
    for (var i = 13i; i >= 0; i--) {
        p = wide_add(wide_mul(p, r), coefficients[i]);
    }
    return wide_scale(p, i32(n));
}
