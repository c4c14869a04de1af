// Gram matrices of the groups that are exact in f16, by cooperative matrices.
#import gram_half_params
#import gram_exactness
#import half_tile
#import upper_triangle

@group(0) @binding(1) var<storage, read> left: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read> right: array<vec4<f16>>;
@group(0) @binding(3) var<storage, read> exactness: array<Exactness>;
// [groups * n], as `gram_factors` wrote them; read for the cosine kernel only.
@group(0) @binding(4) var<storage, read> factors: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> result: array<f32>;

// Turns a sum of products into the kernel's value. The product of `unit` is the power of two that the
// group was divided by.
fn similarity(i: u32, j: u32, base: u32, sum: f32, unit: vec2<f32>) -> f32 {
#ifdef COSINE
    let a = factors[base + i];
    let b = factors[base + j];
    if (a.x == 0.0 || b.x == 0.0) {
        return 0.0;
    }
    let cosine = sum * (a.x * unit.x * unit.y * a.y) * (b.x * unit.x * unit.y * b.y);
    return select(0.5 + 0.5 * clamp(cosine, -1.0, 1.0), 1.0, i == j);
#else
    return sum * unit.x * unit.y * unit.x * unit.y;
#endif
}

// Writes SIDE rows of two matrices of sums to their places on both sides of the diagonal. Each of the
// two loops lets neighbouring threads write neighbouring numbers.
fn write(at: u32, lane: u32, row: u32, column: u32, base: u32, unit: vec2<f32>) {
    for (var c = lane % SIDE; c < 2u * SIDE; c += SIDE) {
        for (var r = lane / SIDE; r < SIDE; r += SUBGROUP / SIDE) {
            let i = row + r;
            let j = column + c;
            if (i <= j && j < params.n) {
                result[(base + i) * params.n + j] =
                    similarity(i, j, base, sums[at + r * SUMS_PITCH + c], unit);
            }
        }
    }
    let r = lane % SIDE;
    for (var c = lane / SIDE; c < 2u * SIDE; c += SUBGROUP / SIDE) {
        let i = row + r;
        let j = column + c;
        if (i < j && j < params.n) {
            result[(base + j) * params.n + i] =
                similarity(i, j, base, sums[at + r * SUMS_PITCH + c], unit);
        }
    }
}

@compute @workgroup_size(THREADS)
fn gram_half(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
             @builtin(local_invocation_index) thread: u32, @builtin(subgroup_id) subgroup: u32,
             @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) size: u32) {
    let per_group = params.blocks * (params.blocks + 1u) / 2u;
    // This is `workgroup_index`, inlined: the validator does not see through the call that the value is
    // the same for all threads, as cooperative matrices require.
    let index = id.x + count.x * (id.y + count.y * id.z) + params.first;
    let group = index / per_group;
    if (group >= params.groups) {
        return;
    }
    if (exactness[group].inexact != 0u) {
        return;
    }
    if (thread == 0u) {
        subgroup_threads = size;
    }
    workgroupBarrier();
    if (subgroup_threads != SUBGROUP) {
        return;
    }
    let block = upper_tile(index % per_group, params.blocks) * BLOCK;
    let base = group * params.n;
    let left_first = base + block.x;
    let left_last = base + params.n - 1u;
    let right_first = base + block.y;
    let right_last = left_last;
#import half_product
    let unit = powers(exponent(exactness[group].largest) - 14);
    let row = block.x + block_row;
    let column = block.y + block_column;
    coopStoreT(sums00, &sums[sums_at], SUMS_PITCH);
    coopStoreT(sums01, &sums[sums_at + SIDE], SUMS_PITCH);
    workgroupBarrier();
    write(sums_at, lane, row, column, base, unit);
    workgroupBarrier();
    coopStoreT(sums10, &sums[sums_at], SUMS_PITCH);
    coopStoreT(sums11, &sums[sums_at + SIDE], SUMS_PITCH);
    workgroupBarrier();
    write(sums_at, lane, row + SIDE, column, base, unit);
    workgroupBarrier();
    coopStoreT(sums20, &sums[sums_at], SUMS_PITCH);
    coopStoreT(sums21, &sums[sums_at + SIDE], SUMS_PITCH);
    workgroupBarrier();
    write(sums_at, lane, row + 2u * SIDE, column, base, unit);
    workgroupBarrier();
    coopStoreT(sums30, &sums[sums_at], SUMS_PITCH);
    coopStoreT(sums31, &sums[sums_at + SIDE], SUMS_PITCH);
    workgroupBarrier();
    write(sums_at, lane, row + 3u * SIDE, column, base, unit);
}
