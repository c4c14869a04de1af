// Convolutional Similarity with input channels summed, second step: the sum of squares of each pair's
// cross-correlation.
#import filters_pass
#import filters_partners

@group(0) @binding(1) var<storage, read> r: array<wide>;
// [row_count, partners].
@group(0) @binding(2) var<storage, read_write> squares: array<wide>;

// A thread per pair.
@compute @workgroup_size(64)
fn filters_squares(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                   @builtin(local_invocation_index) lane: u32) {
    wide_init(params.zero);
    let index = (workgroup_index(id, count) + params.first) * 64u + lane;
    if (index >= params.len) {
        return;
    }
    let lags = all_lags();
    var sum = wide_zeroed();
    for (var lag = 0u; lag < lags; lag++) {
        let value = r[index * lags + lag];
        sum = wide_add(sum, wide_mul(value, value));
    }
    squares[index] = sum;
}
