// Reductions, softmax and normalisation along the middle axis of [outer, len, inner].
#import workgroup
#import exp
#import log
#import scaled

struct ReduceParams {
    // outer * inner.
    threads: u32,
    // First workgroup of this dispatch.
    first: u32,
    len: u32,
    inner: u32,
    // Of `reduce`: one of the REDUCE_* constants.
    kind: u32,
    // Of `normalise`: added to the variance.
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: ReduceParams;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

const REDUCE_MEAN = 0u;
const REDUCE_SUM = 1u;
const REDUCE_SUM_ABS = 2u;
const REDUCE_SUM_SQUARES = 3u;
const REDUCE_NORM = 4u;
const REDUCE_PRODUCT = 5u;
const REDUCE_MAX = 6u;
const REDUCE_MIN = 7u;
const REDUCE_LOG_SUM_EXP = 8u;
const REDUCE_ARG_MAX = 9u;

// Elements whose sum is formed before it is added to the total, to keep rounding errors small.
const STRETCH = 32u;

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

// The term of a sum.
fn term(v: f32, largest: f32) -> f32 {
    switch (params.kind) {
        case REDUCE_SUM_ABS: { return abs(v); }
        case REDUCE_SUM_SQUARES, REDUCE_NORM: { return v * v; }
        case REDUCE_LOG_SUM_EXP: { return exponential(v - largest); }
        default: { return v; }
    }
}

// The largest or smallest of the elements from `base` on; NaN if one is NaN.
fn extreme(base: u32, smallest: bool) -> f32 {
    var found = x[base];
    for (var j = 1u; j < params.len; j++) {
        let v = x[base + j * params.inner];
        if (is_nan(v) || (!is_nan(found) && select(v > found, v < found, smallest))) {
            found = v;
        }
    }
    return found;
}

// The first element that is the largest, or NaN.
fn first_largest(base: u32) -> f32 {
    let largest = extreme(base, false);
    for (var j = 0u; j < params.len; j++) {
        let v = x[base + j * params.inner];
        if (is_nan(v) || v == largest) {
            return f32(j);
        }
    }
    return 0.0;
}

// The sum of the terms of the elements from `base` on, each element times a power of two.
fn sum_of(base: u32, largest: f32, power: f32) -> f32 {
    var total = 0.0;
    for (var start = 0u; start < params.len; start += STRETCH) {
        var sum = 0.0;
        for (var j = start; j < min(start + STRETCH, params.len); j++) {
            sum += term(scaled(x[base + j * params.inner], power), largest);
        }
        total += sum;
    }
    return total;
}

fn is_finite(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7f800000u) != 0x7f800000u;
}

// The power of two that elements have to be multiplied by, so that a sum stays within the range of f32
// where its result does. `total` is the sum without it.
fn power_for(base: u32, total: f32) -> f32 {
    if (params.kind == REDUCE_MEAN && !is_finite(total)) {
        // At most 1 / len.
        return bitcast<f32>((126u - firstLeadingBit(params.len)) << 23u);
    }
    if (params.kind == REDUCE_NORM && (!is_finite(total) || total < 1e-30)) {
        // Absolute values are ordered like their bits. The largest one comes near 2^-16.
        var largest = 0u;
        for (var j = 0u; j < params.len; j++) {
            largest = max(largest, bitcast<u32>(x[base + j * params.inner]) & 0x7fffffffu);
        }
        return bitcast<f32>((max(254u - min(largest >> 23u, 237u), 17u) - 16u) << 23u);
    }
    return 1.0;
}

// A thread per (outer, inner), here and below.
@compute @workgroup_size(64)
fn reduce(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
          @builtin(local_invocation_index) lane: u32) {
    let i = (workgroup_index(id, count) + params.first) * 64u + lane;
    if (i >= params.threads) {
        return;
    }
    let base = i / params.inner * params.len * params.inner + i % params.inner;
    var largest = 0.0;
    switch (params.kind) {
        case REDUCE_MAX, REDUCE_MIN: {
            y[i] = extreme(base, params.kind == REDUCE_MIN);
            return;
        }
        case REDUCE_ARG_MAX: {
            y[i] = first_largest(base);
            return;
        }
        case REDUCE_PRODUCT: {
            var product = 1.0;
            for (var j = 0u; j < params.len; j++) {
                product *= x[base + j * params.inner];
            }
            y[i] = product;
            return;
        }
        case REDUCE_LOG_SUM_EXP: {
            largest = extreme(base, false);
            if ((bitcast<u32>(largest) & 0x7fffffffu) >= 0x7f800000u) {
                // The largest element is infinite or no number, and so is the result.
                y[i] = largest;
                return;
            }
        }
        default: {}
    }
    var total = sum_of(base, largest, 1.0);
    let power = power_for(base, total);
    if (power != 1.0) {
        total = sum_of(base, largest, power);
    }
    switch (params.kind) {
        case REDUCE_MEAN: { total = total / (f32(params.len) * power); }
        case REDUCE_NORM: { total = sqrt(total) / power; }
        case REDUCE_LOG_SUM_EXP: { total = largest + logarithm(total); }
        default: {}
    }
    y[i] = total;
}

@compute @workgroup_size(64)
fn softmax(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
           @builtin(local_invocation_index) lane: u32) {
    let i = (workgroup_index(id, count) + params.first) * 64u + lane;
    if (i >= params.threads) {
        return;
    }
    let base = i / params.inner * params.len * params.inner + i % params.inner;
    var largest = x[base];
    for (var j = 1u; j < params.len; j++) {
        largest = max(largest, x[base + j * params.inner]);
    }
    var sum = 0.0;
    for (var j = 0u; j < params.len; j++) {
        let e = exp_nonpositive(min(x[base + j * params.inner] - largest, 0.0));
        y[base + j * params.inner] = e;
        sum += e;
    }
    for (var j = 0u; j < params.len; j++) {
        y[base + j * params.inner] /= sum;
    }
}

var<workgroup> sums: array<f32, 64>;

// The sum of a value of each thread, known to all of them.
fn sum_of_all(v: f32, lane: u32) -> f32 {
    sums[lane] = v;
    workgroupBarrier();
    for (var step = 32u; step > 0u; step /= 2u) {
        if (lane < step) {
            sums[lane] += sums[lane + step];
        }
        workgroupBarrier();
    }
    return workgroupUniformLoad(&sums[0]);
}

// Mean of a run of elements, its rounding error, and the variance; each element times a power of two.
fn moments(base: u32, power: f32, lane: u32) -> vec3<f32> {
    var sum = 0.0;
    for (var j = lane; j < params.len; j += 64u) {
        sum += x[base + j] * power;
    }
    let mean = sum_of_all(sum, lane) / f32(params.len);
    // The rounding error of the mean is measured with it, and taken out of both.
    var rest = 0.0;
    var squares = 0.0;
    for (var j = lane; j < params.len; j += 64u) {
        let d = x[base + j] * power - mean;
        rest += d;
        squares += d * d;
    }
    let shift = sum_of_all(rest, lane) / f32(params.len);
    let variance = sum_of_all(squares, lane) / f32(params.len) - shift * shift;
    return vec3(mean, shift, variance);
}

// A workgroup per run of `len` elements: to mean 0 and variance 1.
@compute @workgroup_size(64)
fn normalise(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
             @builtin(local_invocation_index) lane: u32) {
    // Workgroups beyond the last run repeat it without writing: barriers need every thread.
    let at = workgroup_index(id, count) + params.first;
    let base = min(at, params.threads - 1u) * params.len;
    var power = 1.0;
    var found = moments(base, power, lane);
    if (!is_finite(found.z)) {
        // The squares are too large for f32. The result does not depend on the scale.
        power = bitcast<f32>((127u - 80u) << 23u);
        found = moments(base, power, lane);
    }
    let scale = sqrt(max(found.z, 0.0) + params.epsilon * power * power);
    if (at < params.threads) {
        for (var j = lane; j < params.len; j += 64u) {
            y[base + j] = ((x[base + j] * power - found.x) - found.y) / scale;
        }
    }
}
