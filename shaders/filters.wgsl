// Convolutional Similarity, input channels separate (docs/definitions.md#convolutional-similarity): autocorrelations a_i, what
// the partners of each filter add up to, and the gradient. Sums that leave the filter itself out have
// nothing to cancel; taken from both ends they cost M steps, not M^2.
#import filters

// AUTOCORRELATE: k [M, C, h w] and the result a [M, channels of this pass, half of the lags].
// RESTS: a, and the result rests like a; what each channel and lag adds to the value.
// GRADIENT: k, rests, and the result [M, C, h w].
#ifdef AUTOCORRELATE
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read_write> a: array<wide>;

@compute @workgroup_size(64)
fn filters_autocorrelate(@builtin(workgroup_id) id: vec3<u32>,
                         @builtin(num_workgroups) count: vec3<u32>,
                         @builtin(local_invocation_index) lane: u32) {
    wide_init(params.zero);
    let index = (workgroup_index(id, count) + params.first) * 64u + lane;
    if (index >= params.len) {
        return;
    }
    let half = half_lags();
    let lag = lag_of(index % half);
    let map = index / half;
    let channel = map % params.channel_count + params.channel_first;
    let base = (map / params.channel_count * params.channels + channel)
        * params.height * params.width;
    let shift = lag_number(0, lag.y) + lag.x * i32(params.width);
    var sum = wide_zeroed();
    for (var y = 0u; y < params.height - u32(lag.x); y++) {
        let end = i32(params.width) - max(lag.y, 0);
        for (var x = max(-lag.y, 0); x < end; x++) {
            let at = base + y * params.width + u32(x);
            sum = wide_add(sum, wide_product(k[at], k[u32(i32(at) + shift)]));
        }
    }
    a[index] = sum;
}
#endif

#ifdef RESTS
@group(0) @binding(1) var<storage, read> a: array<wide>;
@group(0) @binding(2) var<storage, read_write> rests: array<wide>;
@group(0) @binding(3) var<storage, read_write> values: array<wide>;

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
    // From the last filter down: the later ones.
    for (var i = params.filters; i > 0u; i--) {
        let at = (i - 1u) * params.len + index;
        let own = a[at];
        value = wide_add(value, wide_mul(own, rest));
        if (params.gradient != 0u) {
            rests[at] = rest;
        }
        rest = join(rest, own);
    }
    // Every lag but (0, 0) stands for two.
    if (index % half_lags() != 0u) {
        value = wide_add(value, value);
    }
    values[index] = value;
    if (params.gradient == 0u) {
        return;
    }
    // From the first one up: the earlier ones.
    rest = wide_zeroed();
    for (var i = 0u; i < params.filters; i++) {
        let at = i * params.len + index;
        rests[at] = wide_add(rests[at], rest);
        rest = join(rest, a[at]);
    }
}
#endif

#ifdef GRADIENT
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> rests: array<wide>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;

// dL/dK_i[n] = 2 sum_m rest[m - n] K_i[m], a thread per weight.
@compute @workgroup_size(64)
fn filters_gradient(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                    @builtin(local_invocation_index) lane: u32) {
    wide_init(params.zero);
    let index = (workgroup_index(id, count) + params.first) * 64u + lane;
    if (index >= params.len) {
        return;
    }
    let area = params.height * params.width;
    let n = index % area;
    let map = index / area;
    let channel = map % params.channel_count + params.channel_first;
    let base = (map / params.channel_count * params.channels + channel) * area;
    let rest = map * half_lags();
    var sum = wide_zeroed();
    for (var y = 0u; y < params.height; y++) {
        for (var x = 0u; x < params.width; x++) {
            let number = lag_number(i32(y) - i32(n / params.width), i32(x) - i32(n % params.width));
            let weight = wide_from(k[base + y * params.width + x]);
            sum = wide_add(sum, wide_mul(rests[rest + u32(abs(number))], weight));
        }
    }
    gradient[base + n] = wide_round(wide_add(sum, sum));
}
#endif
