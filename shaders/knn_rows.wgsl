// Norms of rows before a search (`knn_norms`), and copies of candidates' rows after it (`knn_gather`).
#import workgroup
#import distance

struct RowsParams {
    dim: u32,
    // Rows of the block, and those of this pass.
    rows: u32,
    row_first: u32,
    row_count: u32,
    group_first: u32,
    group_count: u32,
    k: u32,
    // Candidate lists per group.
    list_count: u32,
    // Sample index of the block's first row.
    sample: u32,
    first: u32,
    workgroups: u32,
    zero: u32,
}

struct Entry {
    distance: wide,
    sample: u32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> params: RowsParams;
@group(0) @binding(1) var<storage, read> rows: array<f32>;

#ifdef NORMS
// [groups, 1 + dim]: scale, centre. [groups, rows]: identical rows before each.
@group(0) @binding(2) var<storage, read> frames: array<f32>;
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
    // 2^-e for a largest number in [2^e, 2^(e+1)), within what f32 can hold.
    power = bitcast<f32>((254u - clamp(bitcast<u32>(most) >> 23u, 1u, 252u)) << 23u);
#endif
    var sum = wide_zeroed();
    for (var t = lane; t < params.dim; t += 64u) {
#ifdef COSINE
        let x = rows[row * params.dim + t] * power;
#else
        let x = (rows[row * params.dim + t] - frames[frame + 1u + t]) * power;
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
    // With more than k identical rows before it (one may be the query), a row loses all ties.
    let beaten = params.k > 0u && copies[row] > params.k;
    var result = RowNorm(0.0, power, wide_zeroed());
#ifdef COSINE
    if (most > 0.0) {
        result.inverse = wide_div(wide_from(1.0), wide_sqrt(sums[0]));
        result.norm = select(wide_round(result.inverse), 0.0, beaten);
    }
#else
    // Beyond 2^100, told by the exponent since it may be no number, products might overflow.
    let norm = wide_round(sums[0]);
    let exponent = (bitcast<u32>(norm) >> 23u) & 0xffu;
    result.norm = select(select(norm, -1.0, exponent > 227u), FAR, beaten);
#endif
    norms[index] = result;
}
#endif

#ifdef GATHER
@group(0) @binding(2) var<storage, read> entries: array<Entry>;
// [lists, k, dim].
@group(0) @binding(3) var<storage, read_write> gathered: array<f32>;

// A workgroup per 64 numbers.
@compute @workgroup_size(64)
fn knn_gather(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
              @builtin(local_invocation_index) lane: u32) {
    let index = workgroup_index(id, count) + params.first;
    let at = index * 64u + lane;
    let entry = at / params.dim;
    if (index >= params.workgroups || entry >= params.group_count * params.list_count * params.k) {
        return;
    }
    let sample = entries[entry].sample;
    let row = sample - 1u - params.sample;
    if (sample > params.sample && row < params.rows) {
        let group = entry / (params.list_count * params.k);
        gathered[at] = rows[(group * params.rows + row) * params.dim + at % params.dim];
    }
}
#endif
