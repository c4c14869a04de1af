// Convolutional Similarity with separate input channels (docs/definitions.md#convolutional-similarity),
// first step: the autocorrelation of every filter's every channel.
#import filters_pass
#import filters_half_lags

@group(0) @binding(1) var<storage, read> k: array<f32>;
// [M, channel_count, half of the lags].
@group(0) @binding(2) var<storage, read_write> a: array<wide>;

// A thread per filter, channel and lag.
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
