// Cross-correlation of all pairs of maps at all lags; a workgroup computes one pair. x [P, I, h, w] and
// z [Q, I, h2, w2] hold P and Q maps with I input channels each.
#import workgroup
#import infinity

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

// Value of the row of z that starts at `line`, 0 beside it.
fn z_or_zero(line: i32, column: i32) -> f32 {
    let last = i32(params.right_width) - 1;
    return select(0.0, z[line + clamp(column, 0, last)], column >= 0 && column <= last);
}

// Correlation of maps i and j at the lags (dy, dx) to (dy, dx + 3), so that a value that was loaded serves four of them.
// Each row is summed on its own, to keep rounding errors small.
fn at_lags(i: u32, j: u32, dy: i32, dx: i32) -> vec4<f32> {
    let h = i32(params.height);
    let w = i32(params.width);
    let h2 = i32(params.right_height);
    let w2 = i32(params.right_width);
    let top = max(0, -dy);
    let bottom = min(h, h2 - dy);
    // Columns that meet one of z at some of these lags.
    let left = max(0, -dx - 3);
    let right = min(w, w2 - dx);
    var total = vec4<f32>();
    for (var c = 0u; c < params.inputs; c++) {
        let a = i32((i * params.inputs + c)) * h * w;
        let b = i32((j * params.inputs + c)) * h2 * w2;
        for (var row = top; row < bottom; row++) {
            let from_a = a + row * w;
            let from_b = b + (row + dy) * w2;
            var sum = vec4<f32>();
            var column = left;
            while (column < right) {
                let at = column + dx;
                let p = from_a + column;
                if (at >= 0 && at + 6 < w2 && column + 4 <= right) {
                    // Four columns, which meet seven.
                    let q = from_b + at;
                    let near = vec4<f32>(z[q], z[q + 1], z[q + 2], z[q + 3]);
                    let far = vec3<f32>(z[q + 4], z[q + 5], z[q + 6]);
                    sum += x[p] * near;
                    sum += x[p + 1] * vec4<f32>(near.yzw, far.x);
                    sum += x[p + 2] * vec4<f32>(near.zw, far.xy);
                    sum += x[p + 3] * vec4<f32>(near.w, far);
                    column += 4;
                } else {
                    sum += x[p] * vec4<f32>(z_or_zero(from_b, at), z_or_zero(from_b, at + 1),
                        z_or_zero(from_b, at + 2), z_or_zero(from_b, at + 3));
                    column += 1;
                }
            }
            total += sum;
        }
    }
    return total;
}

// The best of a thread's lags so far.
struct Best {
    high: f32,
    low: f32,
    // Lag of the largest value; of equal ones the first.
    place: u32,
}

// Takes lag number `lag` into account, which is one unless `column` lies beside them.
fn consider(best: Best, value: f32, lag: u32, column: u32, columns: u32) -> Best {
    var next = best;
    if (column < columns) {
        if (value > best.high) {
            next.high = value;
            next.place = lag;
        }
        next.low = min(best.low, value);
    }
    return next;
}

@compute @workgroup_size(256)
fn correlate(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
             @builtin(local_invocation_index) lane: u32) {
    let pair = workgroup_index(id, count) + params.first;
    let i = pair / params.right_maps;
    let j = pair % params.right_maps;
    let wanted = pair < params.len && (params.symmetric == 0u || i <= j);
    let columns = params.width + params.right_width - 1u;
    let fours = (columns + 3u) / 4u;
    let all = fours * (params.height + params.right_height - 1u);
    var best = Best(-infinity(), infinity(), 0u);
    if (wanted) {
        for (var four = lane; four < all; four += 256u) {
            let column = four % fours * 4u;
            let lag = four / fours * columns + column;
            let dy = i32(four / fours) - i32(params.height) + 1;
            let v = at_lags(i, j, dy, i32(column) - i32(params.width) + 1);
            best = consider(best, v.x, lag, column, columns);
            best = consider(best, v.y, lag + 1u, column + 1u, columns);
            best = consider(best, v.z, lag + 2u, column + 2u, columns);
            best = consider(best, v.w, lag + 3u, column + 3u, columns);
        }
    }
    largest[lane] = best.high;
    smallest[lane] = best.low;
    place[lane] = best.place;
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
