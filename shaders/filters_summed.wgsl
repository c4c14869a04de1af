// Convolutional Similarity, input channels summed before squaring: every pair is correlated.
#import filters

// CORRELATE: k [M, C, h w], and the result r [filters of this pass, partners, lags], 0 where a pair does
// not count. SQUARES: r, and the result [filters of this pass, partners].
// SPREAD: k, r, and the result [filters of this pass, C, h w].

// The filter that is partner `slot` of filter `i`; `filters` where there is none that counts.
fn partner(i: u32, slot: u32) -> u32 {
    var j = slot;
    if (params.adjacent != 0u) {
        // One before the first wraps around and does not count either.
        j = i - 1u + 2u * slot;
    }
    let skip = (params.which == 0u && j == i) || (params.which == 1u && j <= i)
        || (params.which == 2u && j < i);
    return select(j, params.filters, skip || j >= params.filters);
}

fn all_lags() -> u32 {
    return (2u * params.height - 1u) * (2u * params.width - 1u);
}

#ifdef CORRELATE
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read_write> r: array<wide>;

// R[lag] = sum_c sum_n K_i[n] K_j[n + lag], a thread per pair and lag.
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
#endif

#ifdef SQUARES
@group(0) @binding(1) var<storage, read> r: array<wide>;
@group(0) @binding(2) var<storage, read_write> squares: array<wide>;

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
#endif

#ifdef SPREAD
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> r: array<wide>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;

// dL/dK_i[n] = 2 sum_j sum_m R_ij[m - n] K_j[m], a thread per weight.
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
    // Number of the lag of weight 0 seen from n.
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
#endif
