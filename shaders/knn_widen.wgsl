// Widens halves to f32, on their way from the host to the rows of a block.
#import workgroup

struct WidenParams {
    // Words to widen, and the place in `rows` of the first number.
    words: u32,
    to: u32,
    // First workgroup of this dispatch, and the number of workgroups of all dispatches.
    first: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: WidenParams;
// Two halves in a word, the first one in its lower bits.
@group(0) @binding(1) var<storage, read> halves: array<u32>;
@group(0) @binding(2) var<storage, read_write> rows: array<f32>;

// The value of a half, given by its bits. Exact: arithmetic on integers does not depend on how a device treats subnormal
// numbers, and the product of a subnormal half's digits with 2^-24 is a normal f32.
fn widened(bits: u32) -> f32 {
    let magnitude = bits & 0x7fffu;
    let sign = (bits & 0x8000u) << 16u;
    if (magnitude < 0x400u) {
        return bitcast<f32>(bitcast<u32>(f32(magnitude) * 0x1p-24f) | sign);
    }
    // The exponent is wider and has another bias: 127 in place of 15.
    return bitcast<f32>(((magnitude << 13u) + (112u << 23u)) | sign);
}

// A thread per word.
@compute @workgroup_size(64)
fn knn_widen(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
             @builtin(local_invocation_index) lane: u32) {
    let index = workgroup_index(id, count) + params.first;
    let word = index * 64u + lane;
    if (index >= params.workgroups || word >= params.words) {
        return;
    }
    let bits = halves[word];
    let to = params.to + 2u * word;
    rows[to] = widened(bits & 0xffffu);
    rows[to + 1u] = widened(bits >> 16u);
}
