// Weighted sums along the middle axis of [outer, source, inner].
#import workgroup

struct ResampleParams {
    // Elements of the result.
    len: u32,
    // First workgroup of this dispatch.
    first: u32,
    // Elements along the axis, of the source and of the result.
    source: u32,
    target_len: u32,
    inner: u32,
    // Terms of a sum.
    terms: u32,
}

@group(0) @binding(0) var<uniform> params: ResampleParams;
@group(0) @binding(1) var<storage, read> x: array<f32>;
// [target_len, terms] elements along the axis, and their weights.
@group(0) @binding(2) var<storage, read> index: array<u32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

// A thread per element of the result.
@compute @workgroup_size(256)
fn resample(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
            @builtin(local_invocation_index) lane: u32) {
    let i = (workgroup_index(id, count) + params.first) * 256u + lane;
    if (i >= params.len) {
        return;
    }
    let row = i / params.inner;
    let base = row / params.target_len * params.source;
    let first = row % params.target_len * params.terms;
    var sum = 0.0;
    for (var t = first; t < first + params.terms; t++) {
        // What a term of weight 0 refers to may be infinite.
        if (weight[t] != 0.0) {
            sum += weight[t] * x[(base + index[t]) * params.inner + i % params.inner];
        }
    }
    y[i] = sum;
}
