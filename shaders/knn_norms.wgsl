// Norms of rows, before a search.
#import knn_rows_params
#import knn_bounds

// [groups, 1 + dim]: scale, centre.
@group(0) @binding(2) var<storage, read> frames: array<f32>;
// [groups, rows]: identical rows before each; read if k > 0.
@group(0) @binding(3) var<storage, read> copies: array<u32>;
// [group_count, row_count].
@group(0) @binding(4) var<storage, read_write> norms: array<RowNorm>;

var<workgroup> largest: array<f32, 64>;
var<workgroup> sums: array<wide, 64>;

// A workgroup per row.
@compute @workgroup_size(64)
fn knn_norms(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
             @builtin(local_invocation_index) lane: u32) {
    wide_init(params.zero);
    let index = workgroup_index(id, count) + params.first;
    if (index >= params.workgroups) {
        return;
    }
    let group = params.group_first + index / params.row_count;
    let row = group * params.rows + params.row_first + index % params.row_count;
    let frame = group * (params.dim + 1u);
    var power = frames[frame];
#ifdef COSINE
    var most = 0.0;
    for (var t = lane; t < params.dim; t += 64u) {
        most = max(most, abs(rows[row * params.dim + t]));
    }
    largest[lane] = most;
    workgroupBarrier();
    for (var i = 0u; i < 64u; i++) {
        most = max(most, largest[i]);
    }
    // 2^-e for a largest value in [2^e, 2^(e+1)), clamped to what f32 can represent.
    power = bitcast<f32>((254u - clamp(bitcast<u32>(most) >> 23u, 1u, 252u)) << 23u);
#endif
    var sum = wide_zeroed();
    for (var t = lane; t < params.dim; t += 64u) {
#ifdef COSINE
        let x = rows[row * params.dim + t] * power;
#else
        let x = centred(rows[row * params.dim + t], frames[frame + 1u + t], power);
#endif
        sum = wide_add(sum, wide_product(x, x));
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var part = 32u; part > 0u; part /= 2u) {
        if (lane < part) {
            sums[lane] = wide_add(sums[lane], sums[lane + part]);
        }
        workgroupBarrier();
    }
    if (lane > 0u) {
        return;
    }
    // Identical rows are ordered by index. With more than k of them before it (one may be the query
    // itself), a row can enter no list.
    let beaten = params.k > 0u && copies[row] > params.k;
    var result = RowNorm(0.0, power, wide_zeroed());
#ifdef COSINE
    if (most > 0.0) {
        result.inverse = wide_div(wide_from(1.0), wide_sqrt(sums[0]));
        result.norm = select(wide_round(result.inverse), 0.0, beaten);
    }
#else
    // Above 2^100 products might overflow. The exponent tells, because the norm may be infinite or NaN.
    let norm = wide_round(sums[0]);
    let exponent = (bitcast<u32>(norm) >> 23u) & 0xffu;
    result.norm = select(select(norm, -1.0, exponent > 227u), NEVER, beaten);
#endif
    norms[index] = result;
}
