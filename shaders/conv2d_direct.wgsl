// Convolution with few filters per group (depthwise and first layers), where most of a 64 x 64 tile of
// `conv2d` would be empty. The host defines BLOCK, the filters that one thread computes.
#import conv2d_shape

// Positions that one thread computes, side by side in a row: lanes of a vector.
const STRIP = 4u;

// The filters of a thread: their sums, and where their weights start.
struct Filters {
    sums: array<vec4<f32>, BLOCK>,
    weights: array<u32, BLOCK>,
}

// Adds tap `t`, under which the inputs are `v`.
fn add(filters: ptr<function, Filters>, v: vec4<f32>, t: u32) {
    for (var b = 0u; b < BLOCK; b++) {
        (*filters).sums[b] += v * weight[(*filters).weights[b] + t];
    }
}

@compute @workgroup_size(64)
fn conv2d_direct(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                 @builtin(local_invocation_index) lane: u32) {
    let strips = (params.out_width + STRIP - 1u) / STRIP;
    let places = params.out_height * strips;
    let blocks = (params.group_filters + BLOCK - 1u) / BLOCK;
    let groups = params.filters / params.group_filters;
    let index = workgroup_index(id, count) + params.first;
    let thread = index * 64u + lane;
    // Positions vary fastest, so neighbouring threads read neighbouring inputs and the same weights.
    let sample = thread / (places * blocks * groups);
    if (index >= params.workgroups || sample >= params.batch) {
        return;
    }
    let block = thread / places % (blocks * groups);
    let group = block / blocks;
    let first_filter = block % blocks * BLOCK;
    let out_y = thread % places / strips;
    let out_x = thread % strips * STRIP;
    let terms = params.group_channels * params.kernel_height * params.kernel_width;
    var filters: Filters;
    for (var b = 0u; b < BLOCK; b++) {
        // Filters past the last are computed as the last, and not stored.
        let own = min(first_filter + b, params.group_filters - 1u);
        filters.weights[b] = (group * params.group_filters + own) * terms;
    }
    let height = i32(params.height);
    let width = i32(params.width);
    let stride = i32(params.stride_x);
    // Row and columns under the first tap; outside the input in the padding.
    let top = i32(out_y * params.stride_y) - i32(params.pad_top);
    let left = i32(out_x) * stride - i32(params.pad_left) + vec4<i32>(0, 1, 2, 3) * stride;
    let reach = i32((params.kernel_width - 1u) * params.dilation_x);
    let is_inside = left.x >= 0 && left.w + reach < width;
    let first_channel = sample * params.channels + group * params.group_channels;
    for (var channel = 0u; channel < params.group_channels; channel++) {
        for (var ky = 0u; ky < params.kernel_height; ky++) {
            let row = top + i32(ky * params.dilation_y);
            if (row < 0 || row >= height) {
                continue;
            }
            let line = (i32(first_channel + channel) * height + row) * width;
            let t = (channel * params.kernel_height + ky) * params.kernel_width;
            if (is_inside) {
                var at = line + left;
                for (var kx = 0u; kx < params.kernel_width; kx++) {
                    add(&filters, vec4<f32>(x[at.x], x[at.y], x[at.z], x[at.w]), t + kx);
                    at += i32(params.dilation_x);
                }
            } else {
                var columns = left;
                for (var kx = 0u; kx < params.kernel_width; kx++) {
                    let at = line + max(min(columns, vec4<i32>(width - 1)), vec4<i32>());
                    let inside = (columns >= vec4<i32>()) & (columns < vec4<i32>(width));
                    let v = vec4<f32>(x[at.x], x[at.y], x[at.z], x[at.w]);
                    add(&filters, select(vec4<f32>(), v, inside), t + kx);
                    columns += i32(params.dilation_x);
                }
            }
        }
    }
    for (var b = 0u; b < BLOCK; b++) {
        let f = first_filter + b;
        if (f < params.group_filters) {
            let map = group * params.group_filters + f;
            let to = ((sample * params.filters + map) * params.out_height + out_y) * params.out_width + out_x;
            let sums = filters.sums[b];
            y[to] = finish(sums.x, map);
            if (out_x + 1u < params.out_width) {
                y[to + 1u] = finish(sums.y, map);
            }
            if (out_x + 2u < params.out_width) {
                y[to + 2u] = finish(sums.z, map);
            }
            if (out_x + 3u < params.out_width) {
                y[to + 3u] = finish(sums.w, map);
            }
        }
    }
}
