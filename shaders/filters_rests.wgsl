// Convolutional Similarity with separate input channels, second step: the value, and for the gradient
// the sum of the other filters' autocorrelations ("rest") for each filter. Sums that leave the filter
// itself out are accumulated from both ends, which takes M steps instead of M^2. Subtracting the filter
// from the sum of all would take as few, but would cancel.
#import filters_pass
#import filters_half_lags

@group(0) @binding(1) var<storage, read> a: array<wide>;
// Like `a`; not written without a gradient.
@group(0) @binding(2) var<storage, read_write> rests: array<wide>;
// [channel_count, half of the lags]: each one's contribution to the value.
@group(0) @binding(3) var<storage, read_write> values: array<wide>;

// The rest of the next filter.
fn join(rest: wide, own: wide) -> wide {
    if (params.adjacent != 0u) {
        return own;
    }
    return wide_add(rest, own);
}

// A thread per channel and lag.
@compute @workgroup_size(64)
fn filters_rests(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                 @builtin(local_invocation_index) lane: u32) {
    wide_init(params.zero);
    let index = (workgroup_index(id, count) + params.first) * 64u + lane;
    if (index >= params.len) {
        return;
    }
    var rest = wide_zeroed();
    var value = wide_zeroed();
    // From the last filter to the first: the sum of the later ones.
    for (var i = params.filters; i > 0u; i--) {
        let at = (i - 1u) * params.len + index;
        let own = a[at];
        value = wide_add(value, wide_mul(own, rest));
        if (params.gradient != 0u) {
            rests[at] = rest;
        }
        rest = join(rest, own);
    }
    // Every lag but (0, 0) also represents its negative.
    if (index % half_lags() != 0u) {
        value = wide_add(value, value);
    }
    values[index] = value;
    if (params.gradient == 0u) {
        return;
    }
    // From the first filter to the last: add the sum of the earlier ones.
    rest = wide_zeroed();
    for (var i = 0u; i < params.filters; i++) {
        let at = i * params.len + index;
        rests[at] = wide_add(rests[at], rest);
        rest = join(rest, a[at]);
    }
}
