// Convolutional Similarity with separate input channels, third step: the gradient
// dL/dK_i[n] = 2 sum_m rest_i[m - n] K_i[m].
#import filters_pass
#import filters_half_lags

@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> rests: array<wide>;
// [M, C, h w].
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;

// A thread per weight.
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
