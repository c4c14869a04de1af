// The Gram matrix of every query's NNK polytope {x_j - x_i : j in support}
// (docs/definitions.md#principal-components).
#import nnk_tile

// [groups, list_count, k].
@group(0) @binding(1) var<storage, read> entries: array<Entry>;
// [groups, query_rows, dim].
@group(0) @binding(2) var<storage, read> queries: array<f32>;
// [groups, point_rows, dim] or [groups, list_count, k, dim].
@group(0) @binding(3) var<storage, read> vectors: array<f32>;
// [groups].
@group(0) @binding(4) var<storage, read> units: array<Unit>;
// [lists].
@group(0) @binding(5) var<storage, read> outcomes: array<Outcome>;
// [lists, k]: slots of the support.
@group(0) @binding(6) var<storage, read> supports: array<u32>;
// [lists, k, k]. A matrix has s rows of s numbers for a support of s, at the start of its place.
@group(0) @binding(7) var<storage, read_write> matrices: array<wide>;

// 16 terms of the query's own vector.
var<workgroup> origin: array<f32, 16>;

// The slot of a member of the support, or NOWHERE past the last one.
fn slot_of(local: u32, member: u32) -> u32 {
    if (member >= outcomes[local].support) {
        return NOWHERE;
    }
    return supports[local * params.k + member];
}

fn vector_term(row: u32, t: u32) -> f32 {
    return vectors[row * params.dim + t];
}

// A workgroup per block of 16 x 16 pairs on or below the diagonal of a query's matrix, 2 x 2 per thread.
@compute @workgroup_size(64)
fn nnk_polytope(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                @builtin(local_invocation_index) lane: u32) {
    wide_init(params.zero);
    let index = workgroup_index(id, count) + params.first;
    let side = (params.k + SIDE - 1u) / SIDE;
    let blocks = side * (side + 1u) / 2u;
    if (index >= params.workgroups) {
        return;
    }
    let local = index / blocks;
    let s = outcomes[local].support;
    let block = lower_block(index % blocks) * SIDE;
    if (outcomes[local].state != SOLVED || block.x >= s) {
        return;
    }
    let list = params.list_first + local;
    let group = list / params.list_count;
    let scale = units[group].scale;
    let query = group * params.query_rows + params.query_first + list % params.list_count;
    name_rows(block, local, list, lane);
    let y = lane / 8u * 2u;
    let x = lane % 8u * 2u;
    var sums = array<wide, 4>(wide_zeroed(), wide_zeroed(), wide_zeroed(), wide_zeroed());
    for (var start = 0u; start < params.dim; start += DEPTH) {
        load_tiles(start, lane);
        if (lane < DEPTH && start + lane < params.dim) {
            origin[lane] = queries[query * params.dim + start + lane];
        }
        workgroupBarrier();
        for (var t = 0u; t < min(DEPTH, params.dim - start); t++) {
            let o = origin[t];
            let a = difference(first_tile[y * PITCH + t], o, scale);
            let b = difference(first_tile[(y + 1u) * PITCH + t], o, scale);
            let c = difference(second_tile[x * PITCH + t], o, scale);
            let d = difference(second_tile[(x + 1u) * PITCH + t], o, scale);
            sums[0] = wide_add(sums[0], wide_mul(a, c));
            sums[1] = wide_add(sums[1], wide_mul(a, d));
            sums[2] = wide_add(sums[2], wide_mul(b, c));
            sums[3] = wide_add(sums[3], wide_mul(b, d));
        }
        workgroupBarrier();
    }
    let base = local * params.k * params.k;
    for (var i = 0u; i < 4u; i++) {
        let row = block.x + y + i / 2u;
        let column = block.y + x + i % 2u;
        if (row < s && column <= row) {
            let value = in_units(sums[i], scale);
            matrices[base + row * s + column] = value;
            matrices[base + column * s + row] = value;
        }
    }
}
