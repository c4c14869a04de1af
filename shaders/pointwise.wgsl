// Functions of one or two numbers, element by element. Exponentials are computed here, because the
// built-in ones of some drivers are inaccurate.
#import workgroup
#import exp

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
const UNARY_SIGMOID = 2u;
const UNARY_HARD_SIGMOID = 3u;
const UNARY_HARD_SWISH = 4u;
const UNARY_TANH = 5u;
const UNARY_GELU = 6u;
const UNARY_GELU_TANH = 7u;
const UNARY_ERF = 8u;

const BINARY_ADD = 0u;
const BINARY_SUB = 1u;
const BINARY_MUL = 2u;
const BINARY_DIV = 3u;
const BINARY_PRELU = 4u;

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

// 1 - erf(x), with a relative error of 1.2e-7 and the rounding error of the exponent.
fn erfc(x: f32) -> f32 {
    let z = abs(x);
    let t = 1.0 / (1.0 + 0.5 * z);
    var p = 0.17087277;
    p = p * t - 0.82215223;
    p = p * t + 1.48851587;
    p = p * t - 1.13520398;
    p = p * t + 0.27886807;
    p = p * t - 0.18628806;
    p = p * t + 0.09678418;
    p = p * t + 0.37409196;
    p = p * t + 1.00002368;
    p = p * t - 1.26551223;
    let tail = t * exp_nonpositive(min(p - z * z, 0.0));
    return select(2.0 - tail, tail, x >= 0.0);
}

fn erf(x: f32) -> f32 {
    if (abs(x) > 0.5) {
        return 1.0 - erfc(x);
    }
    let s = x * x;
    var p = -1.0 / 1320.0;
    p = p * s + 1.0 / 216.0;
    p = p * s - 1.0 / 42.0;
    p = p * s + 1.0 / 10.0;
    p = p * s - 1.0 / 3.0;
    return 1.1283791671 * (x + x * s * p);
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
        case UNARY_ELU: { return select(params.low * expm1_nonpositive(min(x, 0.0)), x, x > 0.0); }
        case UNARY_SIGMOID: { return sigmoid(x); }
        case UNARY_HARD_SIGMOID: { return hard(params.low * x + params.high); }
        case UNARY_HARD_SWISH: { return x * hard(x / 6.0 + 0.5); }
        case UNARY_TANH: { return hyperbolic_tangent(x); }
        case UNARY_GELU: { return 0.5 * x * erfc(-x * 0.7071067812); }
        case UNARY_GELU_TANH: {
            return 0.5 * x * (1.0 + hyperbolic_tangent(0.7978845608 * (x + 0.044715 * x * x * x)));
        }
        case UNARY_ERF, default: { return erf(x); }
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
    let nan = (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
    y[i] = select(apply(x), x, nan);
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
    let p = a[at_a];
    let q = b[at_b];
    var v = 0.0;
    switch (params.op) {
        case BINARY_ADD: { v = p + q; }
        case BINARY_SUB: { v = p - q; }
        case BINARY_MUL: { v = p * q; }
        case BINARY_DIV: { v = p / q; }
        case BINARY_PRELU, default: { v = select(p, p * q, p < 0.0); }
    }
    y[i] = activate(v, params.activation);
}
