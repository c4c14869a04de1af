// Copies a box of one strided view into another.
#import workgroup

struct StridedParams {
    // Elements of the box.
    len: u32,
    // First workgroup of this dispatch.
    first: u32,
    // Axes of the box: extents, and strides in source and destination. Element i belongs to vector i /
    // 4.
    rank: u32,
    src_offset: u32,
    dst_offset: u32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
    extents: array<vec4<u32>, 2>,
    src_strides: array<vec4<i32>, 2>,
    dst_strides: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> params: StridedParams;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// A thread per element of the box.
@compute @workgroup_size(256)
fn strided(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
           @builtin(local_invocation_index) lane: u32) {
    let i = (workgroup_index(id, count) + params.first) * 256u + lane;
    if (i >= params.len) {
        return;
    }
    var rest = i;
    var src = i32(params.src_offset);
    var dst = params.dst_offset;
    for (var axis = params.rank; axis > 0u; axis--) {
        let k = axis - 1u;
        let extent = params.extents[k / 4u][k % 4u];
        let at = rest % extent;
        rest /= extent;
        src += i32(at) * params.src_strides[k / 4u][k % 4u];
        dst += at * params.dst_strides[k / 4u][k % 4u];
    }
    y[dst] = x[src];
}
