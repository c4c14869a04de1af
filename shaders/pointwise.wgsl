// Functions of one or two numbers, element by element. Exponentials are computed here, because the
// built-in ones of some drivers are inaccurate.
#import workgroup
#import exp
#import log
#import erf
#import trigonometry

struct PointwiseParams {
    // Elements of the result.
    len: u32,
    // First workgroup of this dispatch.
    first: u32,
    // One of the constants below.
    op: u32,
    // What follows a binary function, and the only operation of UNARY_ACTIVATION: one of the
    // ACTIVATION_* constants.
    activation: u32,
    // Parameters of the activation or of the unary function.
    low: f32,
    high: f32,
    // Axes that the binary functions iterate over: extents, and strides of both operands (0 where an
    // operand is broadcast). Element i belongs to vector i / 4.
    rank: u32,
    unused: u32,
    extents: array<vec4<u32>, 2>,
    a_strides: array<vec4<u32>, 2>,
    b_strides: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> params: PointwiseParams;
@group(0) @binding(1) var<storage, read> a: array<f32>;
// Not read by `unary`.
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Activations: clip to [low, high]; leaky, with slope `low` below 0.
const ACTIVATION_CLIP = 1u;
const ACTIVATION_LEAKY = 2u;

const UNARY_ACTIVATION = 0u;
const UNARY_ELU = 1u;
const UNARY_CELU = 2u;
const UNARY_SELU = 3u;
const UNARY_SIGMOID = 4u;
const UNARY_SWISH = 5u;
const UNARY_HARD_SIGMOID = 6u;
const UNARY_HARD_SWISH = 7u;
const UNARY_TANH = 8u;
const UNARY_GELU = 9u;
const UNARY_GELU_TANH = 10u;
const UNARY_ERF = 11u;
const UNARY_SOFTPLUS = 12u;
const UNARY_SOFTSIGN = 13u;
const UNARY_MISH = 14u;
const UNARY_THRESHOLDED_RELU = 15u;
const UNARY_SHRINK = 16u;
const UNARY_AFFINE = 17u;
const UNARY_ABS = 18u;
const UNARY_CEIL = 19u;
const UNARY_FLOOR = 20u;
const UNARY_ROUND = 21u;
const UNARY_SIGN = 22u;
const UNARY_SQRT = 23u;
const UNARY_RECIPROCAL = 24u;
const UNARY_EXP = 25u;
const UNARY_LOG = 26u;
const UNARY_SIN = 27u;
const UNARY_COS = 28u;
const UNARY_ATAN = 29u;
const UNARY_NOT = 30u;
const UNARY_IS_NAN = 31u;

const BINARY_ADD = 0u;
const BINARY_SUB = 1u;
const BINARY_MUL = 2u;
const BINARY_DIV = 3u;
const BINARY_PRELU = 4u;
const BINARY_POW = 5u;
const BINARY_MIN = 6u;
const BINARY_MAX = 7u;
const BINARY_LESS = 8u;
const BINARY_LESS_OR_EQUAL = 9u;
const BINARY_EQUAL = 10u;
const BINARY_KEEP = 11u;
const BINARY_DROP = 12u;

fn sigmoid(x: f32) -> f32 {
    let e = exp_nonpositive(-abs(x));
    return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

// e^x - 1 for x <= 0. Near 0, where the difference would cancel, by its Taylor series.
fn expm1_nonpositive(x: f32) -> f32 {
    if (x < -0.25) {
        return exp_nonpositive(x) - 1.0;
    }
    var p = 1.0 / 5040.0;
    p = p * x + 1.0 / 720.0;
    p = p * x + 1.0 / 120.0;
    p = p * x + 1.0 / 24.0;
    p = p * x + 1.0 / 6.0;
    p = p * x + 0.5;
    return x + x * x * p;
}

fn hyperbolic_tangent(x: f32) -> f32 {
    if (abs(x) < 0.25) {
        let s = x * x;
        return x * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * 62.0 / 2835.0))));
    }
    let e = exp_nonpositive(-2.0 * abs(x));
    return sign(x) * (1.0 - e) / (1.0 + e);
}

// ln(1 + e^x).
fn softplus(x: f32) -> f32 {
    return max(x, 0.0) + log_one_plus(exp_nonpositive(-abs(x)));
}

// x tanh(ln(1 + e^x)), where tanh(ln(1 + e)) = (e^2 + 2 e) / (e^2 + 2 e + 2), divided by e^2 for large e.
fn mish(x: f32) -> f32 {
    let e = exp_nonpositive(-abs(x));
    if (x > 0.0) {
        return x * ((1.0 + 2.0 * e) / (1.0 + 2.0 * e + 2.0 * e * e));
    }
    let p = e * (e + 2.0);
    return x * (p / (p + 2.0));
}

// x where positive, else alpha (e^(rate x) - 1).
fn elu(x: f32, alpha: f32, rate: f32) -> f32 {
    return select(alpha * expm1_nonpositive(min(rate * x, 0.0)), x, x > 0.0);
}

fn shrink(x: f32, lambda: f32, bias: f32) -> f32 {
    if (x < -lambda) {
        return x + bias;
    }
    return select(0.0, x - bias, x > lambda);
}

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn activate(v: f32, kind: u32) -> f32 {
    if (kind == ACTIVATION_CLIP) {
        // `clamp` may turn a NaN into a number.
        return select(select(v, params.low, v < params.low), params.high, v > params.high);
    }
    if (kind == ACTIVATION_LEAKY) {
        return select(v, params.low * v, v < 0.0);
    }
    return v;
}

// Clips to [0, 1].
fn hard(x: f32) -> f32 {
    return select(select(x, 0.0, x < 0.0), 1.0, x > 1.0);
}

fn apply(x: f32) -> f32 {
    switch (params.op) {
        case UNARY_ACTIVATION: { return activate(x, params.activation); }
        case UNARY_ELU: { return elu(x, params.low, 1.0); }
        case UNARY_CELU: { return elu(x, params.low, 1.0 / params.low); }
        case UNARY_SELU: { return params.high * elu(x, params.low, 1.0); }
        case UNARY_SIGMOID: { return sigmoid(x); }
        case UNARY_SWISH: { return x * sigmoid(params.low * x); }
        case UNARY_HARD_SIGMOID: { return hard(params.low * x + params.high); }
        case UNARY_HARD_SWISH: { return x * hard(x / 6.0 + 0.5); }
        case UNARY_TANH: { return hyperbolic_tangent(x); }
        case UNARY_GELU: { return 0.5 * x * erfc(-x * 0.7071067812); }
        case UNARY_GELU_TANH: {
            return 0.5 * x * (1.0 + hyperbolic_tangent(0.7978845608 * (x + 0.044715 * x * x * x)));
        }
        case UNARY_ERF: { return erf(x); }
        case UNARY_SOFTPLUS: { return softplus(x); }
        case UNARY_SOFTSIGN: { return x / (1.0 + abs(x)); }
        case UNARY_MISH: { return mish(x); }
        case UNARY_THRESHOLDED_RELU: { return select(0.0, x, x > params.low); }
        case UNARY_SHRINK: { return shrink(x, params.low, params.high); }
        case UNARY_AFFINE: { return params.low * x + params.high; }
        case UNARY_ABS: { return abs(x); }
        case UNARY_CEIL: { return ceil(x); }
        case UNARY_FLOOR: { return floor(x); }
        case UNARY_ROUND: { return round(x); }
        case UNARY_SIGN: { return sign(x); }
        case UNARY_SQRT: { return select(sqrt(x), not_a_number(), x < 0.0); }
        case UNARY_RECIPROCAL: { return 1.0 / x; }
        case UNARY_EXP: { return exponential(x); }
        case UNARY_LOG: { return logarithm(x); }
        case UNARY_SIN: { return sine(x); }
        case UNARY_COS: { return cosine(x); }
        case UNARY_ATAN: { return arc_tangent(x); }
        case UNARY_NOT: { return select(0.0, 1.0, x == 0.0); }
        case UNARY_IS_NAN, default: { return 0.0; }
    }
}

// a^b, as the C library has it.
fn power(a: f32, b: f32) -> f32 {
    let whole = floor(b) == b;
    let magnitude = abs(b);
    if (whole && magnitude <= 64.0) {
        // By squaring.
        var result = 1.0;
        var factor = a;
        for (var rest = u32(magnitude); rest > 0u; rest /= 2u) {
            if (rest % 2u == 1u) {
                result *= factor;
            }
            factor *= factor;
        }
        return select(result, 1.0 / result, b < 0.0);
    }
    if (a < 0.0 && a >= -3.4028234e38 && !whole) {
        return not_a_number();
    }
    if (b == 0.5) {
        return sqrt(abs(a));
    }
    let odd = whole && floor(0.5 * b) * 2.0 != b;
    // The logarithm of 1 is 0, which must not meet an infinite b.
    var result = 1.0;
    if (abs(a) != 1.0) {
        result = exponential(b * logarithm(abs(a)));
    }
    return select(result, -result, a < 0.0 && odd);
}

// A function of two numbers that are no NaN.
fn combine(p: f32, q: f32) -> f32 {
    switch (params.op) {
        case BINARY_ADD: { return p + q; }
        case BINARY_SUB: { return p - q; }
        case BINARY_MUL: { return p * q; }
        case BINARY_DIV: { return p / q; }
        case BINARY_PRELU: { return select(p, p * q, p < 0.0); }
        case BINARY_POW: { return power(p, q); }
        case BINARY_MIN: { return min(p, q); }
        case BINARY_MAX: { return max(p, q); }
        case BINARY_LESS: { return select(0.0, 1.0, p < q); }
        case BINARY_LESS_OR_EQUAL: { return select(0.0, 1.0, p <= q); }
        case BINARY_EQUAL: { return select(0.0, 1.0, p == q); }
        case BINARY_KEEP: { return select(q, 0.0, p == 0.0); }
        case BINARY_DROP, default: { return select(0.0, q, p == 0.0); }
    }
}

// The same for all numbers. Comparisons with NaN, which may do anything, are avoided.
fn combine_all(p: f32, q: f32) -> f32 {
    if (!is_nan(p) && !is_nan(q)) {
        return combine(p, q);
    }
    switch (params.op) {
        case BINARY_LESS, BINARY_LESS_OR_EQUAL, BINARY_EQUAL: { return 0.0; }
        case BINARY_KEEP: { return select(q, 0.0, !is_nan(p) && p == 0.0); }
        case BINARY_DROP: { return select(0.0, q, !is_nan(p) && p == 0.0); }
        case BINARY_PRELU: { return select(p, p * q, is_nan(p) || p < 0.0); }
        case BINARY_POW: {
            if ((!is_nan(q) && q == 0.0) || (!is_nan(p) && p == 1.0)) {
                return 1.0;
            }
            return p + q;
        }
        default: { return p + q; }
    }
}

// A thread per element, here and below.
@compute @workgroup_size(256)
fn unary(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
         @builtin(local_invocation_index) lane: u32) {
    let i = (workgroup_index(id, count) + params.first) * 256u + lane;
    if (i >= params.len) {
        return;
    }
    let x = a[i];
    // A NaN is passed through, because comparisons and conversions of NaN may do anything.
    if (!is_nan(x)) {
        y[i] = apply(x);
    } else if (params.op == UNARY_NOT || params.op == UNARY_IS_NAN) {
        y[i] = select(0.0, 1.0, params.op == UNARY_IS_NAN);
    } else {
        y[i] = x;
    }
}

@compute @workgroup_size(256)
fn binary(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
          @builtin(local_invocation_index) lane: u32) {
    let i = (workgroup_index(id, count) + params.first) * 256u + lane;
    if (i >= params.len) {
        return;
    }
    var rest = i;
    var at_a = 0u;
    var at_b = 0u;
    for (var axis = params.rank; axis > 0u; axis--) {
        let k = axis - 1u;
        let extent = params.extents[k / 4u][k % 4u];
        let at = rest % extent;
        rest /= extent;
        at_a += at * params.a_strides[k / 4u][k % 4u];
        at_b += at * params.b_strides[k / 4u][k % 4u];
    }
    y[i] = activate(combine_all(a[at_a], b[at_b]), params.activation);
}
