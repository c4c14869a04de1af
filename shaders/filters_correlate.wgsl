// Convolutional Similarity with input channels summed before squaring, first step: the cross-correlation
// R[lag] = sum_c sum_n K_i[n] K_j[n + lag] of each filter with its partners.
#import filters_pass
#import filters_partners

@group(0) @binding(1) var<storage, read> k: array<f32>;
// [row_count, partners, lags]; 0 where a pair does not count.
@group(0) @binding(2) var<storage, read_write> r: array<wide>;

// A thread per pair and lag.
@compute @workgroup_size(64)
fn filters_correlate(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                     @builtin(local_invocation_index) lane: u32) {
    wide_init(params.zero);
    let index = (workgroup_index(id, count) + params.first) * 64u + lane;
    if (index >= params.len) {
        return;
    }
    let lags = all_lags();
    let pair = index / lags;
    let i = params.row_first + pair / params.partners;
    let j = partner(i, pair % params.partners);
    var sum = wide_zeroed();
    if (j < params.filters) {
        let w = i32(params.width);
        let lag = i32(index % lags);
        let dy = lag / (2 * w - 1) - i32(params.height) + 1;
        let dx = lag % (2 * w - 1) - w + 1;
        let area = params.height * params.width;
        for (var c = 0u; c < params.channels; c++) {
            let own = i32((i * params.channels + c) * area);
            let other = i32((j * params.channels + c) * area) + dy * w + dx;
            for (var y = max(-dy, 0); y < i32(params.height) - max(dy, 0); y++) {
                for (var x = max(-dx, 0); x < w - max(dx, 0); x++) {
                    let n = y * w + x;
                    sum = wide_add(sum, wide_product(k[u32(own + n)], k[u32(other + n)]));
                }
            }
        }
    }
    r[index] = sum;
}
