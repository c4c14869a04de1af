// Convolutional Similarity with input channels summed, third step: the gradient
// dL/dK_i[n] = 2 sum_j sum_m R_ij[m - n] K_j[m].
#import filters_pass
#import filters_partners

@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> r: array<wide>;
// [row_count, C, h w].
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;

// A thread per weight.
@compute @workgroup_size(64)
fn filters_spread(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                  @builtin(local_invocation_index) lane: u32) {
    wide_init(params.zero);
    let index = (workgroup_index(id, count) + params.first) * 64u + lane;
    if (index >= params.len) {
        return;
    }
    let area = params.height * params.width;
    let size = params.channels * area;
    let row = index / size;
    let c = index % size / area;
    let n = index % area;
    let lags = all_lags();
    // Index of the lag from weight n to weight 0.
    let origin = (params.height - 1u - n / params.width) * (2u * params.width - 1u)
        + params.width - 1u - n % params.width;
    var sum = wide_zeroed();
    for (var slot = 0u; slot < params.partners; slot++) {
        let j = partner(params.row_first + row, slot);
        if (j >= params.filters) {
            continue;
        }
        let other = (j * params.channels + c) * area;
        let own = (row * params.partners + slot) * lags + origin;
        for (var y = 0u; y < params.height; y++) {
            for (var x = 0u; x < params.width; x++) {
                let weight = wide_from(k[other + y * params.width + x]);
                let value = r[own + y * (2u * params.width - 1u) + x];
                sum = wide_add(sum, wide_mul(value, weight));
            }
        }
    }
    gradient[index] = wide_round(wide_add(sum, sum));
}
