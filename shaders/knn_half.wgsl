// Notes the points that may beat a query's k-th distance, by lower bounds from products of rows that
// were rounded to f16. src/gpu/knn/half.rs derives the bound.
#import knn_half_params
#import knn_bounds
#import half_tile

// Packed rows: [group_count, query_count, pitch], [group_count, point_rows, pitch].
@group(0) @binding(1) var<storage, read> left: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read> right: array<vec4<f16>>;
// [group_count, query_count], [group_count, point_rows], as `knn_pack` wrote them.
@group(0) @binding(3) var<storage, read> query_bounds: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> point_bounds: array<vec4<f32>>;
// [groups, list_count].
@group(0) @binding(5) var<storage, read_write> progress: array<Progress>;
// [group_count, query_count, capacity]: rows of the points that were noted.
@group(0) @binding(6) var<storage, read_write> survivors: array<u32>;

// Terms of the bound for the block's queries and points. A pair is noted if
// query.x + point.x < 2 (dot + query.y point.y + query.z point.z).
var<workgroup> query_terms: array<vec4<f32>, BLOCK>;
var<workgroup> point_terms: array<vec4<f32>, BLOCK>;

// The list of query q of the pass in group g of the pass.
fn list_of(g: u32, q: u32) -> u32 {
    return (params.group_first + g) * params.list_count + params.list_first + q;
}

// Terms of query q; NEVER outside the pass, and where no point can enter the list.
fn query_term(g: u32, q: u32) -> vec4<f32> {
    if (q >= params.query_count) {
        return vec4(NEVER, 0.0, 0.0, 0.0);
    }
    let threshold = progress[list_of(g, q)].threshold;
    let bounds = query_bounds[g * params.query_count + q];
    if (threshold < 0.0 || bounds.x >= NEVER) {
        return vec4(NEVER, 0.0, 0.0, 0.0);
    }
    let error = bounds.z + params.gamma * bounds.w;
    if (threshold == 0.0 || bounds.x <= ALWAYS) {
        return vec4(ALWAYS, bounds.y, error, 0.0);
    }
    // Squares below the range of f32 are lost; the last term exceeds their sum.
    return vec4(bounds.x * params.shrink - threshold - 1e-30, bounds.y, error, 0.0);
}

// Terms of point p; NEVER outside the pass.
fn point_term(g: u32, p: u32) -> vec4<f32> {
    if (p >= params.point_count) {
        return vec4(NEVER, 0.0, 0.0, 0.0);
    }
    let bounds = point_bounds[g * params.point_rows + params.point_first + p];
    let marked = bounds.x >= NEVER || bounds.x <= ALWAYS;
    return vec4(select(bounds.x * params.shrink, bounds.x, marked), bounds.z, bounds.w, 0.0);
}

// Notes point p for query q, unless both are the same sample.
fn keep(g: u32, q: u32, p: u32) {
    let at = params.point_first + p;
    let list = list_of(g, q);
    if (params.point_sample + at == progress[list].own) {
        return;
    }
    let slot = atomicAdd(&progress[list].noted, 1u);
    if (slot < params.capacity) {
        survivors[(g * params.query_count + q) * params.capacity + slot] = at;
    }
}

// Tests SIDE rows of two matrices of sums, which start at (`row`, `column`) of the block. Each thread
// tests one column per matrix.
fn note(at: u32, lane: u32, row: u32, column: u32, g: u32, first_query: u32, first_point: u32) {
    for (var half = 0u; half < 2u; half++) {
        let c = half * SIDE + lane % SIDE;
        let point = point_terms[column + c];
        for (var r = lane / SIDE; r < SIDE; r += SUBGROUP / SIDE) {
            let query = query_terms[row + r];
            let dot = sums[at + r * SUMS_PITCH + c];
            let most = dot + query.y * point.y + query.z * point.z;
            if (query.x + point.x < 2.0 * most) {
                keep(g, first_query + row + r, first_point + column + c);
            }
        }
    }
}

@compute @workgroup_size(THREADS)
fn knn_half(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
            @builtin(local_invocation_index) thread: u32, @builtin(subgroup_id) subgroup: u32,
            @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) size: u32) {
    // This is `workgroup_index`, inlined: the validator does not see through the call that the value is
    // the same for all threads, as cooperative matrices require.
    let index = id.x + count.x * (id.y + count.y * id.z) + params.first;
    if (index >= params.workgroups) {
        return;
    }
    let query_blocks = (params.query_count + BLOCK - 1u) / BLOCK;
    let point_blocks = (params.point_count + BLOCK - 1u) / BLOCK;
    let first_query = index % query_blocks * BLOCK;
    let first_point = index / query_blocks % point_blocks * BLOCK;
    let g = index / (query_blocks * point_blocks);
    if (thread == 0u) {
        subgroup_threads = size;
    }
    workgroupBarrier();
    if (subgroup_threads != SUBGROUP) {
        // As if too many points were noted: the f32 filter then looks at these queries.
        for (var i = thread; i < min(BLOCK, params.query_count - first_query); i += THREADS) {
            atomicAdd(&progress[list_of(g, first_query + i)].noted, params.capacity + 1u);
        }
        return;
    }
    for (var i = thread; i < BLOCK; i += THREADS) {
        query_terms[i] = query_term(g, first_query + i);
        point_terms[i] = point_term(g, first_point + i);
    }
    let left_first = g * params.query_count + first_query;
    let left_last = (g + 1u) * params.query_count - 1u;
    let right_first = g * params.point_rows + params.point_first + first_point;
    let right_last = (g + 1u) * params.point_rows - 1u;
#import half_product
    coopStoreT(sums00, &sums[sums_at], SUMS_PITCH);
    coopStoreT(sums01, &sums[sums_at + SIDE], SUMS_PITCH);
    workgroupBarrier();
    note(sums_at, lane, block_row, block_column, g, first_query, first_point);
    workgroupBarrier();
    coopStoreT(sums10, &sums[sums_at], SUMS_PITCH);
    coopStoreT(sums11, &sums[sums_at + SIDE], SUMS_PITCH);
    workgroupBarrier();
    note(sums_at, lane, block_row + SIDE, block_column, g, first_query, first_point);
    workgroupBarrier();
    coopStoreT(sums20, &sums[sums_at], SUMS_PITCH);
    coopStoreT(sums21, &sums[sums_at + SIDE], SUMS_PITCH);
    workgroupBarrier();
    note(sums_at, lane, block_row + 2u * SIDE, block_column, g, first_query, first_point);
    workgroupBarrier();
    coopStoreT(sums30, &sums[sums_at], SUMS_PITCH);
    coopStoreT(sums31, &sums[sums_at + SIDE], SUMS_PITCH);
    workgroupBarrier();
    note(sums_at, lane, block_row + 3u * SIDE, block_column, g, first_query, first_point);
}
