// Convolution with few filters per group (depthwise and first layers), where most of a 64 x 64 tile of
// `conv2d` would be empty. The host defines BLOCK, the filters that one thread computes.
#import conv2d_shape

// A thread computes BLOCK filters of one group at one position.
@compute @workgroup_size(64)
fn conv2d_direct(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                 @builtin(local_invocation_index) lane: u32) {
    let plane = params.out_height * params.out_width;
    let blocks = (params.group_filters + BLOCK - 1u) / BLOCK;
    let groups = params.filters / params.group_filters;
    let index = workgroup_index(id, count) + params.first;
    let thread = index * 64u + lane;
    // Positions vary fastest, so neighbouring threads read neighbouring inputs and the same weights.
    let sample = thread / (plane * blocks * groups);
    if (index >= params.workgroups || sample >= params.batch) {
        return;
    }
    let block = thread / plane % (blocks * groups);
    let group = block / blocks;
    let first_filter = block % blocks * BLOCK;
    let w = window(sample * plane + thread % plane, group);
    let taps = params.kernel_height * params.kernel_width;
    let terms = params.group_channels * taps;
    var acc: array<f32, BLOCK>;
    for (var channel = 0u; channel < params.group_channels; channel++) {
        for (var ky = 0u; ky < params.kernel_height; ky++) {
            for (var kx = 0u; kx < params.kernel_width; kx++) {
                let v = tap(w, channel, i32(ky * params.dilation_y), i32(kx * params.dilation_x));
                let t = (channel * params.kernel_height + ky) * params.kernel_width + kx;
                for (var b = 0u; b < BLOCK; b++) {
                    acc[b] += v * weight_or_zero(group, first_filter + b, t, terms);
                }
            }
        }
    }
    for (var b = 0u; b < BLOCK; b++) {
        let f = first_filter + b;
        if (f < params.group_filters) {
            let map = group * params.group_filters + f;
            y[(sample * params.filters + map) * plane + thread % plane] = finish(acc[b], map);
        }
    }
}
