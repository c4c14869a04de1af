// 2-D pooling of maps [maps, H, W] to [maps, H', W'].
#import workgroup
#import infinity

struct Pool2dShape {
    // Elements of the result.
    len: u32,
    // First workgroup of this dispatch.
    first: u32,
    // One of the POOL_* constants.
    kind: u32,
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    kernel_height: u32,
    kernel_width: u32,
    stride_y: u32,
    stride_x: u32,
    pad_top: u32,
    pad_left: u32,
    pad_bottom: u32,
    pad_right: u32,
    dilation_y: u32,
    dilation_x: u32,
}

@group(0) @binding(0) var<uniform> params: Pool2dShape;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

const POOL_MAX = 0u;
const POOL_AVERAGE = 1u;
// The average over the padded window: padding counts as zeros.
const POOL_AVERAGE_PADDED = 2u;
// The first element of the window that is not padding.
const POOL_FIRST = 3u;

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

// A thread per element of the result.
@compute @workgroup_size(256)
fn pool2d(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
          @builtin(local_invocation_index) lane: u32) {
    let i = (workgroup_index(id, count) + params.first) * 256u + lane;
    if (i >= params.len) {
        return;
    }
    let plane = params.out_height * params.out_width;
    let within = i % plane;
    let base = i / plane * params.height * params.width;
    let top = i32(within / params.out_width * params.stride_y) - i32(params.pad_top);
    let left = i32(within % params.out_width * params.stride_x) - i32(params.pad_left);
    let height = i32(params.height);
    let width = i32(params.width);
    var best = -infinity();
    var sum = 0.0;
    var inside = 0u;
    var padded = 0u;
    var head = 0.0;
    for (var ky = 0u; ky < params.kernel_height; ky++) {
        let row = top + i32(ky * params.dilation_y);
        if (row >= height + i32(params.pad_bottom)) {
            break;
        }
        for (var kx = 0u; kx < params.kernel_width; kx++) {
            let column = left + i32(kx * params.dilation_x);
            if (column >= width + i32(params.pad_right)) {
                break;
            }
            padded++;
            if (row < 0 || column < 0 || row >= height || column >= width) {
                continue;
            }
            let v = x[base + u32(row) * params.width + u32(column)];
            if (inside == 0u) {
                head = v;
            }
            inside++;
            sum += v;
            if (v > best || is_nan(v)) {
                best = v;
            }
        }
    }
    var result = 0.0;
    if (inside > 0u) {
        switch (params.kind) {
            case POOL_MAX: { result = best; }
            case POOL_AVERAGE: { result = sum / f32(inside); }
            case POOL_AVERAGE_PADDED: { result = sum / f32(padded); }
            case POOL_FIRST, default: { result = head; }
        }
    }
    y[i] = result;
}
