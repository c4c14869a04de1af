// The Gram matrix of every query's NNK polytope {x_j - x_i : j in support}
// (docs/definitions.md#principal-components), scaled by a power of two for each query. The number of
// components does not depend on it, and it keeps the squares within the range of f32, whatever the
// vectors' range.
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
// A norm per vector; read for the cosine kernel only.
@group(0) @binding(8) var<storage, read> norms: array<RowNorm>;

// 16 terms of the query's own vector.
var<workgroup> origin: array<f32, 16>;
#ifdef COSINE
// Each thread's largest exponent, reduced to element 0.
var<workgroup> exponents: array<u32, 64>;
#endif

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

// The biased exponent of |x|, within what a power of two and its inverse can have.
fn exponent_of(x: f32) -> u32 {
    return clamp((bitcast<u32>(x) >> 23u) & 0xffu, 1u, 252u);
}

// The power of two that brings the polytope's largest coordinates near 1: by the distance of its
// farthest vertex (Gaussian), or by the largest value of the query and the vertices (cosine), whose
// differences cannot be smaller than that by more than the precision of f32.
fn polytope_scale(local: u32, list: u32, query: u32, s: u32, scale: f32, lane: u32) -> f32 {
#ifdef COSINE
    var most = 1u;
    for (var t = lane; t < params.dim; t += 64u) {
        most = max(most, exponent_of(queries[query * params.dim + t]));
    }
    for (var i = lane; i < s; i += 64u) {
        let at = list * params.k + supports[local * params.k + i];
        let power = norms[vector_of(at, list, entries[at].sample)].power;
        most = max(most, 254u - exponent_of(power));
    }
    exponents[lane] = most;
    workgroupBarrier();
    for (var part = 32u; part > 0u; part /= 2u) {
        if (lane < part) {
            exponents[lane] = max(exponents[lane], exponents[lane + part]);
        }
        workgroupBarrier();
    }
    return bitcast<f32>((254u - min(exponents[0], 252u)) << 23u);
#else
    // The support is in the order of distances, which are in units of 1 / scale.
    let last = list * params.k + supports[local * params.k + s - 1u];
    let length = wide_round(wide_sqrt(entries[last].distance));
    let exponent = i32(exponent_of(scale)) + 127 - i32(exponent_of(length));
    return bitcast<f32>(u32(clamp(exponent, 1, 253)) << 23u);
#endif
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
    let query = group * params.query_rows + params.query_first + list % params.list_count;
    let scale = polytope_scale(local, list, query, s, units[group].scale, lane);
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
