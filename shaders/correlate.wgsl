// Cross-correlation of all pairs of maps at all lags; a workgroup computes one pair. x [P, I, h, w] and
// z [Q, I, h2, w2] hold P and Q maps with I input channels each.
#import workgroup

struct CorrelateParams {
    // Pairs: P * Q.
    len: u32,
    // First workgroup of this dispatch.
    first: u32,
    right_maps: u32,
    inputs: u32,
    height: u32,
    width: u32,
    right_height: u32,
    right_width: u32,
    // 1 where both operands are the same: then only pairs with i <= j are computed.
    symmetric: u32,
}

@group(0) @binding(0) var<uniform> params: CorrelateParams;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> z: array<f32>;
// [P * Q, 3]: the largest value, the smallest value, and the bits of the largest value's lag, as an
// index into the lags ordered by (dy, dx).
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Best of each thread, reduced to element 0.
var<workgroup> largest: array<f32, 256>;
var<workgroup> smallest: array<f32, 256>;
var<workgroup> place: array<u32, 256>;

// Correlation of maps i and j at one lag. Each row is summed on its own, to keep rounding errors small.
fn at_lag(i: u32, j: u32, dy: i32, dx: i32) -> f32 {
    let h = i32(params.height);
    let w = i32(params.width);
    let h2 = i32(params.right_height);
    let w2 = i32(params.right_width);
    let top = max(0, -dy);
    let bottom = min(h, h2 - dy);
    let left = max(0, -dx);
    let right = min(w, w2 - dx);
    var total = 0.0;
    for (var c = 0u; c < params.inputs; c++) {
        let a = i32((i * params.inputs + c)) * h * w;
        let b = i32((j * params.inputs + c)) * h2 * w2;
        for (var row = top; row < bottom; row++) {
            let from_a = a + row * w;
            let from_b = b + (row + dy) * w2 + dx;
            var sum = 0.0;
            for (var column = left; column < right; column++) {
                sum += x[from_a + column] * z[from_b + column];
            }
            total += sum;
        }
    }
    return total;
}

@compute @workgroup_size(256)
fn correlate(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
             @builtin(local_invocation_index) lane: u32) {
    let pair = workgroup_index(id, count) + params.first;
    let i = pair / params.right_maps;
    let j = pair % params.right_maps;
    let wanted = pair < params.len && (params.symmetric == 0u || i <= j);
    let columns = params.width + params.right_width - 1u;
    let lags = columns * (params.height + params.right_height - 1u);
    var high = bitcast<f32>(0xff800000u);
    var low = bitcast<f32>(0x7f800000u);
    var best = 0u;
    if (wanted) {
        for (var lag = lane; lag < lags; lag += 256u) {
            let dy = i32(lag / columns) - i32(params.height) + 1;
            let dx = i32(lag % columns) - i32(params.width) + 1;
            let v = at_lag(i, j, dy, dx);
            if (v > high) {
                high = v;
                best = lag;
            }
            low = min(low, v);
        }
    }
    largest[lane] = high;
    smallest[lane] = low;
    place[lane] = best;
    workgroupBarrier();
    for (var step = 128u; step > 0u; step /= 2u) {
        if (lane < step) {
            let other = lane + step;
            // Of equal values the first lag wins.
            if (largest[other] > largest[lane]
                || (largest[other] == largest[lane] && place[other] < place[lane])) {
                largest[lane] = largest[other];
                place[lane] = place[other];
            }
            smallest[lane] = min(smallest[lane], smallest[other]);
        }
        workgroupBarrier();
    }
    if (wanted && lane == 0u) {
        y[pair * 3u] = largest[0];
        y[pair * 3u + 1u] = smallest[0];
        y[pair * 3u + 2u] = bitcast<f32>(place[0]);
    }
}
