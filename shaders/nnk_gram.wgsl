// Kernel matrices of every query's candidates, in wide arithmetic (docs/definitions.md#kernels).
#import nnk
#ifdef GRAM
#import nnk_block
#endif

@group(0) @binding(1) var<storage, read> entries: array<Entry>;
@group(0) @binding(2) var<storage, read> vectors: array<f32>;
// Cosine: a norm per vector. Gaussian: not used.
@group(0) @binding(3) var<storage, read> norms: array<RowNorm>;
// [groups] scales and the factors of a given bandwidth.
@group(0) @binding(4) var<storage, read> units: array<Unit>;
@group(0) @binding(5) var<storage, read_write> problems: array<Problem>;
// [lists of this pass, k, k].
@group(0) @binding(6) var<storage, read_write> kernels: array<wide>;

#ifdef PREPARE
// A thread per query: which candidates are used, and the bandwidth.
@compute @workgroup_size(64)
fn nnk_prepare(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
               @builtin(local_invocation_index) lane: u32) {
    wide_init(params.zero);
    let local = workgroup_index(id, count) * 64u + lane;
    if (local >= params.lists) {
        return;
    }
    let list = params.list_first + local;
    var result = Problem(wide_zeroed(), 0u, 0u, DEGENERATE, 0u);
    var length = 0u;
    var identical = 0u;
    var missing = false;
    for (var i = 0u; i < params.k; i++) {
        let entry = entries[list * params.k + i];
        if (entry.sample == 0u) {
            break;
        }
        length++;
        identical += select(0u, 1u, wide_round(entry.distance) == 0.0);
        let row = entry.sample - 1u - params.point_sample;
        missing = missing || entry.sample <= params.point_sample || row >= params.point_rows;
    }
    if (length > 0u) {
        if (params.drop_identical != 0u && identical < length) {
            result.skip = identical;
        }
        result.count = length - result.skip;
        result.state = SOLVED;
#ifndef COSINE
        result.factor = units[list / params.list_count].factor;
        if (params.fixed_sigma == 0u) {
            let last = entries[list * params.k + length - 1u].distance;
            if (wide_round(last) > 0.0) {
                // s^2 = last / 9.
                result.factor = wide_div(wide_from(4.5), last);
            } else {
                result.state = DEGENERATE;
            }
        }
#endif
    }
    if (missing && params.gathered == 0u) {
        result.state = MISSING;
    }
    problems[local] = result;
}
#endif

#ifdef GRAM
// Candidate `member` of a problem as a slot of its list.
fn slot_of(local: u32, member: u32) -> u32 {
    return select(NOWHERE, problems[local].skip + member, member < problems[local].count);
}

// One more term of an inner product or squared distance.
fn accumulate(sum: wide, a: f32, b: f32, scale: f32) -> wide {
#ifdef COSINE
    return wide_add(sum, wide_product(a, b));
#else
    let d = difference(a, b, scale);
    return wide_add(sum, wide_mul(d, d));
#endif
}

fn similarity(sum: wide, i: u32, j: u32, factor: wide, scale: f32) -> wide {
#ifdef COSINE
    let cosine = wide_mul(wide_mul(sum, norms[i].inverse), norms[j].inverse);
    return wide_add(wide_from(0.5), wide_mul(wide_from(0.5), cosine));
#else
    return gaussian(in_units(sum, scale), factor);
#endif
}

// A workgroup per 32 x 32 block on or below the diagonal of one query's matrix, 4 x 4 per thread.
@compute @workgroup_size(64)
fn nnk_gram(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
            @builtin(local_invocation_index) lane: u32) {
    wide_init(params.zero);
    let index = workgroup_index(id, count) + params.first;
    let side = (params.k + SIDE - 1u) / SIDE;
    let blocks = side * (side + 1u) / 2u;
    let local = index / blocks;
    if (index >= params.workgroups) {
        return;
    }
    let problem = problems[local];
    let block = lower_block(index % blocks) * SIDE;
    let first = block.x;
    let second = block.y;
    if (problem.state != SOLVED || first >= problem.count) {
        return;
    }
    let list = params.list_first + local;
    name_rows(block, local, list, lane);
    let scale = units[list / params.list_count].scale;
    let y = lane / 8u * 4u;
    let x = lane % 8u * 4u;
    var sums: array<wide, 16>;
    for (var i = 0u; i < 16u; i++) {
        sums[i] = wide_zeroed();
    }
    for (var start = 0u; start < params.dim; start += DEPTH) {
        load_tiles(start, lane);
        workgroupBarrier();
        for (var s = 0u; s < min(DEPTH, params.dim - start); s++) {
            let a = vec4(first_tile[y * PITCH + s], first_tile[(y + 1u) * PITCH + s],
                first_tile[(y + 2u) * PITCH + s], first_tile[(y + 3u) * PITCH + s]);
            let b = vec4(second_tile[x * PITCH + s], second_tile[(x + 1u) * PITCH + s],
                second_tile[(x + 2u) * PITCH + s], second_tile[(x + 3u) * PITCH + s]);
            sums[0] = accumulate(sums[0], a.x, b.x, scale);
            sums[1] = accumulate(sums[1], a.x, b.y, scale);
            sums[2] = accumulate(sums[2], a.x, b.z, scale);
            sums[3] = accumulate(sums[3], a.x, b.w, scale);
            sums[4] = accumulate(sums[4], a.y, b.x, scale);
            sums[5] = accumulate(sums[5], a.y, b.y, scale);
            sums[6] = accumulate(sums[6], a.y, b.z, scale);
            sums[7] = accumulate(sums[7], a.y, b.w, scale);
            sums[8] = accumulate(sums[8], a.z, b.x, scale);
            sums[9] = accumulate(sums[9], a.z, b.y, scale);
            sums[10] = accumulate(sums[10], a.z, b.z, scale);
            sums[11] = accumulate(sums[11], a.z, b.w, scale);
            sums[12] = accumulate(sums[12], a.w, b.x, scale);
            sums[13] = accumulate(sums[13], a.w, b.y, scale);
            sums[14] = accumulate(sums[14], a.w, b.z, scale);
            sums[15] = accumulate(sums[15], a.w, b.w, scale);
        }
        workgroupBarrier();
    }
    let base = local * params.k * params.k;
    for (var i = 0u; i < 4u; i++) {
        for (var j = 0u; j < 4u; j++) {
            let row = first + y + i;
            let column = second + x + j;
            if (row >= problem.count || column > row) {
                continue;
            }
            var value = wide_from(1.0);
            if (row != column) {
                value = similarity(sums[i * 4u + j], first_rows[y + i], second_rows[x + j],
                    problem.factor, scale);
            }
            kernels[base + row * params.k + column] = value;
            kernels[base + column * params.k + row] = value;
        }
    }
}
#endif
