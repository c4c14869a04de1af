// The kernel matrix of every query's candidates, in wide arithmetic (docs/definitions.md#kernels).
#import nnk_tile

// [groups, list_count, k].
@group(0) @binding(1) var<storage, read> entries: array<Entry>;
// [groups, point_rows, dim] or [groups, list_count, k, dim].
@group(0) @binding(2) var<storage, read> vectors: array<f32>;
// A norm per vector; read for the cosine kernel only.
@group(0) @binding(3) var<storage, read> norms: array<RowNorm>;
// [groups].
@group(0) @binding(4) var<storage, read> units: array<Unit>;
// [lists].
@group(0) @binding(5) var<storage, read> problems: array<Problem>;
// [lists, k, k].
@group(0) @binding(6) var<storage, read_write> kernels: array<wide>;

// The slot of a problem's candidate, or NOWHERE past the last one.
fn slot_of(local: u32, member: u32) -> u32 {
    return select(NOWHERE, problems[local].skip + member, member < problems[local].count);
}

fn vector_term(row: u32, t: u32) -> f32 {
#ifdef COSINE
    return vectors[row * params.dim + t] * norms[row].power;
#else
    return vectors[row * params.dim + t];
#endif
}

// Adds one term of an inner product (cosine) or squared distance (Gaussian).
fn accumulate(sum: wide, a: f32, b: f32, scale: f32) -> wide {
#ifdef COSINE
    return wide_add(sum, wide_product(a, b));
#else
    let d = difference(a, b, scale);
    return wide_add(sum, wide_mul(d, d));
#endif
}

// Turns the sum into the kernel's value for vectors i and j.
fn similarity(sum: wide, i: u32, j: u32, factor: wide, scale: f32) -> wide {
#ifdef COSINE
    let cosine = wide_mul(wide_mul(sum, norms[i].inverse), norms[j].inverse);
    return wide_add(wide_from(0.5), wide_mul(wide_from(0.5), cosine));
#else
    return gaussian(in_units(sum, scale), factor);
#endif
}

// Sum `i`, with constant indices: with others, compilers may put the array into memory.
fn pick(sums: ptr<function, array<wide, 16>>, i: u32) -> wide {
    var sum = (*sums)[15];
    switch i {
        case 0u: { sum = (*sums)[0]; }
        case 1u: { sum = (*sums)[1]; }
        case 2u: { sum = (*sums)[2]; }
        case 3u: { sum = (*sums)[3]; }
        case 4u: { sum = (*sums)[4]; }
        case 5u: { sum = (*sums)[5]; }
        case 6u: { sum = (*sums)[6]; }
        case 7u: { sum = (*sums)[7]; }
        case 8u: { sum = (*sums)[8]; }
        case 9u: { sum = (*sums)[9]; }
        case 10u: { sum = (*sums)[10]; }
        case 11u: { sum = (*sums)[11]; }
        case 12u: { sum = (*sums)[12]; }
        case 13u: { sum = (*sums)[13]; }
        case 14u: { sum = (*sums)[14]; }
        default: {}
    }
    return sum;
}

// A workgroup per block of 32 x 32 pairs on or below the diagonal of a query's matrix, 4 x 4 per thread.
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
                value = similarity(pick(&sums, i * 4u + j), first_rows[y + i], second_rows[x + j],
                    problem.factor, scale);
            }
            kernels[base + row * params.k + column] = value;
            kernels[base + column * params.k + row] = value;
        }
    }
}
