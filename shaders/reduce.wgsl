// Mean and softmax along the middle axis of [outer, len, inner].
#import workgroup
#import exp

struct ReduceParams {
    // outer * inner.
    threads: u32,
    // First workgroup of this dispatch.
    first: u32,
    len: u32,
    inner: u32,
}

@group(0) @binding(0) var<uniform> params: ReduceParams;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// Elements whose sum is formed before it is added to the total, to keep rounding errors small.
const STRETCH = 32u;

// A thread per (outer, inner), here and below.
@compute @workgroup_size(64)
fn mean(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (workgroup_index(id, count) + params.first) * 64u + lane;
    if (i >= params.threads) {
        return;
    }
    let base = i / params.inner * params.len * params.inner + i % params.inner;
    var total = 0.0;
    for (var start = 0u; start < params.len; start += STRETCH) {
        var sum = 0.0;
        for (var j = start; j < min(start + STRETCH, params.len); j++) {
            sum += x[base + j * params.inner];
        }
        total += sum;
    }
    y[i] = total / f32(params.len);
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
