// 2-D convolution (cross-correlation, as in all deep-learning libraries): x [N, C, H, W] and
// weight [M, C / G, kh, kw] give y [N, M, H', W'], where G is the number of convolution groups.
// A position is an index into [N, H', W']; a term is an index into [C / G, kh, kw].
#import workgroup

struct Conv2dShape {
    batch: u32,
    channels: u32,
    height: u32,
    width: u32,
    filters: u32,
    // Input channels and filters of one convolution group.
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
    // First workgroup of this dispatch, and the number of workgroups of all dispatches.
    first: u32,
    workgroups: u32,
    has_bias: u32,
    // 0 for none, or one of the ACTIVATION_* constants.
    activation: u32,
    low: f32,
    high: f32,
}

@group(0) @binding(0) var<uniform> params: Conv2dShape;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
// [M]; not read unless `has_bias` is set.
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

// Clip to [low, high]; leaky, with slope `low` below 0.
const ACTIVATION_CLIP = 1u;
const ACTIVATION_LEAKY = 2u;

// Adds the bias of filter `map` and applies the activation.
fn finish(sum: f32, map: u32) -> f32 {
    var v = sum;
    if (params.has_bias != 0u) {
        v += bias[map];
    }
    if (params.activation == ACTIVATION_CLIP) {
        v = clamp(v, params.low, params.high);
    } else if (params.activation == ACTIVATION_LEAKY) {
        v = select(params.low * v, v, v > 0.0);
    }
    return v;
}

// The part of the input that one output position reads.
struct Window {
    // Offset in `x` of the first channel that the convolution group reads.
    base: u32,
    // Row and column of the kernel's first tap; negative in the padding.
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

// The input under the tap (dy, dx) of a channel; 0 in the padding.
fn tap(w: Window, channel: u32, dy: i32, dx: i32) -> f32 {
    let row = w.y + dy;
    let column = w.x + dx;
    if (row < 0 || column < 0 || row >= i32(params.height) || column >= i32(params.width)) {
        return 0.0;
    }
    return x[w.base + (channel * params.height + u32(row)) * params.width + u32(column)];
}

// Weight of term `t` of filter `map` of a group; 0 outside the filter or the group.
fn weight_or_zero(group: u32, map: u32, t: u32, terms: u32) -> f32 {
    if (map >= params.group_filters || t >= terms) {
        return 0.0;
    }
    return weight[(group * params.group_filters + map) * terms + t];
}
