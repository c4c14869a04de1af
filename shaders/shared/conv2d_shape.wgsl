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
