// 2-D convolution (cross-correlation) with bias and activation: x [N, C, H, W], weight [M, C / G, kh, kw]
// to [N, M, H', W']. `conv2d` is a matrix product whose columns are gathered while loading;
// `conv2d_direct` serves few output channels per group (depthwise, first layers).
#import workgroup
#import tile

struct Conv2dShape {
    batch: u32,
    channels: u32,
    height: u32,
    width: u32,
    filters: u32,
    // Input channels and filters of a convolution group.
    group_channels: u32,
    group_filters: u32,
    kernel_height: u32,
    kernel_width: u32,
    out_height: u32,
    out_width: u32,
    stride_y: u32,
    stride_x: u32,
    pad_top: u32,
    pad_left: u32,
    dilation_y: u32,
    dilation_x: u32,
    // First workgroup of this dispatch among all, and number of all.
    first: u32,
    workgroups: u32,
    has_bias: u32,
    // 0 identity, 1 clip to [low, high], 2 leaky with slope `low`.
    activation: u32,
    low: f32,
    high: f32,
}

@group(0) @binding(0) var<uniform> params: Conv2dShape;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn finish(sum: f32, map: u32) -> f32 {
    var v = sum;
    if (params.has_bias != 0u) {
        v += bias[map];
    }
    if (params.activation == 1u) {
        v = clamp(v, params.low, params.high);
    } else if (params.activation == 2u) {
        v = select(params.low * v, v, v > 0.0);
    }
    return v;
}

// Where an output position begins to read: offset of (n, group's first channel), then y and x.
struct Window {
    base: u32,
    y: i32,
    x: i32,
}

fn window(position: u32, group: u32) -> Window {
    let plane = params.out_height * params.out_width;
    let within = position % plane;
    let channel = position / plane * params.channels + group * params.group_channels;
    return Window(channel * params.height * params.width,
        i32(within / params.out_width * params.stride_y) - i32(params.pad_top),
        i32(within % params.out_width * params.stride_x) - i32(params.pad_left));
}

// The input number that meets tap (channel, dy, dx), 0 in the padding.
fn tap(w: Window, channel: u32, dy: i32, dx: i32) -> f32 {
    let row = w.y + dy;
    let column = w.x + dx;
    if (row < 0 || column < 0 || row >= i32(params.height) || column >= i32(params.width)) {
        return 0.0;
    }
    return x[w.base + (channel * params.height + u32(row)) * params.width + u32(column)];
}

fn weight_or_zero(group: u32, map: u32, t: u32, terms: u32) -> f32 {
    if (map >= params.group_filters || t >= terms) {
        return 0.0;
    }
    return weight[(group * params.group_filters + map) * terms + t];
}

// Workgroup: 64 filters of a group times 64 output positions (all samples in a row).
@compute @workgroup_size(64)
fn conv2d(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
          @builtin(local_invocation_index) lane: u32) {
    let index = workgroup_index(id, count) + params.first;
    if (index >= params.workgroups) {
        return;
    }
    let positions = params.batch * params.out_height * params.out_width;
    let filter_tiles = (params.group_filters + TILE - 1u) / TILE;
    let group_tiles = filter_tiles * (params.filters / params.group_filters);
    // Neighbouring workgroups share input positions, not filters: the input is what is large.
    let filter_tile = index % group_tiles;
    let group = filter_tile / filter_tiles;
    let first_filter = filter_tile % filter_tiles * TILE;
    let first_position = index / group_tiles * TILE;
    let taps = params.kernel_height * params.kernel_width;
    let terms = params.group_channels * taps;
    let row = lane / 8u;
    let column = lane % 8u;

    // This thread always loads the same four positions.
    let q = lane % 16u;
    var windows: array<Window, 4>;
    for (var i = 0u; i < 4u; i++) {
        windows[i] = window(min(first_position + q * 4u + i, positions - 1u), group);
    }
    var acc: array<vec4<f32>, 16>;
    for (var first = 0u; first < terms; first += DEPTH) {
        let t = lane % 16u;
        for (var r = lane / 16u; r < 16u; r += 4u) {
            let f = first_filter + r * 4u;
            tile_rows[t * PITCH + r] = vec4(
                weight_or_zero(group, f, first + t, terms),
                weight_or_zero(group, f + 1u, first + t, terms),
                weight_or_zero(group, f + 2u, first + t, terms),
                weight_or_zero(group, f + 3u, first + t, terms));
        }
        for (var s = lane / 16u; s < DEPTH; s += 4u) {
            let term = first + s;
            let channel = term / taps;
            let dy = i32(term % taps / params.kernel_width * params.dilation_y);
            let dx = i32(term % params.kernel_width * params.dilation_x);
            var v = vec4<f32>();
            if (term < terms) {
                v = vec4(tap(windows[0], channel, dy, dx), tap(windows[1], channel, dy, dx),
                    tap(windows[2], channel, dy, dx), tap(windows[3], channel, dy, dx));
            }
            tile_columns[s * PITCH + q] = v;
        }
        workgroupBarrier();
        tile_multiply(&acc, row, column);
        workgroupBarrier();
    }
    let plane = params.out_height * params.out_width;
    for (var c = 0u; c < 8u; c++) {
        let position = first_position + column * 8u + c;
        if (position >= positions) {
            continue;
        }
        let out = position / plane * params.filters * plane + position % plane;
        for (var r = 0u; r < 8u; r++) {
            let f = first_filter + row * 8u + r;
            if (f < params.group_filters) {
                let map = group * params.group_filters + f;
                y[out + map * plane] = finish(acc[r * 2u + c / 4u][c % 4u], map);
            }
        }
    }
}

#ifdef BLOCK
// Thread: BLOCK filters of a group at one output position.
@compute @workgroup_size(64)
fn conv2d_direct(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                 @builtin(local_invocation_index) lane: u32) {
    let plane = params.out_height * params.out_width;
    let blocks = (params.group_filters + BLOCK - 1u) / BLOCK;
    let groups = params.filters / params.group_filters;
    let index = workgroup_index(id, count) + params.first;
    let thread = index * 64u + lane;
    // Positions vary fastest, so that threads read neighbouring inputs and the same weights.
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
#endif
