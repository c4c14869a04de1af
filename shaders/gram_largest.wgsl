// The largest absolute value of each group, before its rows are packed to f16.
#import gram_half_params

@group(0) @binding(1) var<storage, read> x: array<f32>;
// [groups], all zero before.
@group(0) @binding(2) var<storage, read_write> exactness: array<Exactness>;

// As in shared/gram_exactness.wgsl; the workgroups of a group's rows write it at the same time.
struct Exactness {
    largest: atomic<u32>,
    inexact: u32,
}

var<workgroup> partial: array<u32, 64>;

// A workgroup per row.
@compute @workgroup_size(64)
fn gram_largest(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                @builtin(local_invocation_index) lane: u32) {
    let row = workgroup_index(id, count) + params.first;
    if (row >= params.groups * params.n) {
        return;
    }
    // Absolute values are ordered like their bits; NaN comes last.
    var largest = 0u;
    for (var t = lane; t < params.dim; t += 64u) {
        largest = max(largest, bitcast<u32>(x[row * params.dim + t]) & 0x7fffffffu);
    }
    partial[lane] = largest;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (lane < half) {
            partial[lane] = max(partial[lane], partial[lane + half]);
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        atomicMax(&exactness[row / params.n].largest, partial[0]);
    }
}
