// The filter of an exact neighbour search on cooperative matrices: `knn_pack` rounds rows to f16 and
// measures what that loses, `knn_half` notes all points that might beat a query's k-th value, as
// `knn_filter` does, by products of those, `knn_overflow` marks the queries for which that was too blunt.
#import workgroup

// A row beside which nothing, and one beside which everything might win.
const NEVER = 3e38;
const ALWAYS = -1e38;

#ifdef PACK
enable f16;
#import distance

struct PackParams {
    dim: u32,
    // Rows of the block, and those of this pass.
    rows: u32,
    row_first: u32,
    row_count: u32,
    group_first: u32,
    // Vectors of four numbers per packed row.
    pitch: u32,
    first: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: PackParams;
@group(0) @binding(1) var<storage, read> rows: array<f32>;
// [groups, 1 + dim]: scale, centre. [group_count, row_count].
@group(0) @binding(2) var<storage, read> frames: array<f32>;
@group(0) @binding(3) var<storage, read> norms: array<RowNorm>;
// [group_count, row_count, pitch].
@group(0) @binding(4) var<storage, read_write> halves: array<vec4<f16>>;
// [group_count, row_count]: squared norm, or NEVER, or ALWAYS; then, rounded up, norm, norm of what the
// rounding lost, norm of what it left.
@group(0) @binding(5) var<storage, read_write> bounds: array<vec4<f32>>;
#import filtered

var<workgroup> largest: array<f32, 64>;
var<workgroup> lost: array<f32, 64>;

// To the 11 bits of an f16, by its bits: no driver's rounding or flushing has a say in it. What an f16
// could hold only as a subnormal becomes 0, what it cannot hold as well.
fn rounded(x: f32) -> f32 {
    let size = abs(x);
    let near = bitcast<f32>((bitcast<u32>(x) + 0x1000u) & 0xffffe000u);
    return select(0.0, near, size >= 6.103515625e-5 && size <= 60000.0);
}

// A workgroup per row.
@compute @workgroup_size(64)
fn knn_pack(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
            @builtin(local_invocation_index) lane: u32) {
    let index = workgroup_index(id, count) + params.first;
    if (index >= params.workgroups) {
        return;
    }
    let group = params.group_first + index / params.row_count;
    let row = group * params.rows + params.row_first + index % params.row_count;
    let norm = norms[index];
    var most = 0.0;
    var sum = 0.0;
    for (var i = lane; i < params.pitch; i += 64u) {
        var quad: vec4<f32>;
        for (var j = 0u; j < 4u; j++) {
            let t = 4u * i + j;
            if (t < params.dim) {
                let x = filtered(rows[row * params.dim + t], norm, group, t);
                quad[j] = rounded(x);
                most = max(most, abs(x));
                // Exact: the bits that were dropped. Scaled, so that squares keep within f32.
                let rest = (x - quad[j]) * 1099511627776.0;
                sum += rest * rest;
            }
        }
        halves[index * params.pitch + i] = vec4<f16>(quad);
    }
    largest[lane] = most;
    lost[lane] = sum;
    workgroupBarrier();
    for (var part = 32u; part > 0u; part /= 2u) {
        if (lane < part) {
            largest[lane] = max(largest[lane], largest[lane + part]);
            lost[lane] += lost[lane + part];
        }
        workgroupBarrier();
    }
    if (lane > 0u) {
        return;
    }
    // Up, by what a lane's sum of dim / 64 squares, sums of lanes and a root may be off; the last term
    // is larger than the root of all squares below the range of f32.
    let error = sqrt(lost[0]) * 9.094947017729282e-13 * (1.00003 + f32(params.dim) * 1e-9) + 1e-28;
#ifdef COSINE
    let square = select(1.0, NEVER, norm.norm <= 0.0);
    let size = 1.00003;
    let blind = false;
#else
    let square = norm.norm;
    let size = sqrt(max(square, 0.0)) * 1.00003 + 1e-18;
    let blind = square < 0.0 || largest[0] > 60000.0;
#endif
    if (square >= NEVER) {
        bounds[index] = vec4(NEVER, 0.0, 0.0, 0.0);
    } else if (blind) {
        bounds[index] = vec4(ALWAYS, 0.0, 0.0, 0.0);
    } else {
        bounds[index] = vec4(square, size, error, size + error);
    }
}
#else

struct HalfParams {
    // Vectors of four numbers per packed row.
    pitch: u32,
    // Groups, queries and points of this pass; as in knn.wgsl.
    group_first: u32,
    query_count: u32,
    list_first: u32,
    list_count: u32,
    query_sample: u32,
    point_rows: u32,
    point_first: u32,
    point_count: u32,
    point_sample: u32,
    capacity: u32,
    // 1 - what rounding may add to a distance, relative to both norms.
    shrink: f32,
    // What summing products may be off by, relative to the norms of both rows.
    gamma: f32,
    first: u32,
    workgroups: u32,
}

struct Progress {
    threshold: f32,
    noted: atomic<u32>,
}

@group(0) @binding(0) var<uniform> params: HalfParams;

#ifdef OVERFLOW
@group(0) @binding(1) var<storage, read_write> progress: array<Progress>;

// A thread per query. A count with the highest bit set: `knn_filter` is to begin again.
@compute @workgroup_size(64)
fn knn_overflow(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                @builtin(local_invocation_index) lane: u32) {
    let index = (workgroup_index(id, count) + params.first) * 64u + lane;
    if (index >= params.workgroups) {
        return;
    }
    let list = (params.group_first + index / params.query_count) * params.list_count
        + params.list_first + index % params.query_count;
    if (atomicLoad(&progress[list].noted) > params.capacity) {
        atomicStore(&progress[list].noted, 0x80000000u);
    }
}
#else
// [group_count, query_count, pitch], [group_count, point_rows, pitch].
@group(0) @binding(1) var<storage, read> left: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read> right: array<vec4<f16>>;
// As `knn_pack` made them.
@group(0) @binding(3) var<storage, read> query_bounds: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> point_bounds: array<vec4<f32>>;
// [groups, list_count]; [group_count, query_count, capacity].
@group(0) @binding(5) var<storage, read_write> progress: array<Progress>;
@group(0) @binding(6) var<storage, read_write> survivors: array<u32>;
#import half_tile

// Of the block's queries and points. A pair cannot win unless the first numbers' sum is below
// 2 (dot + y y' + z z').
var<workgroup> query_terms: array<vec4<f32>, BLOCK>;
var<workgroup> point_terms: array<vec4<f32>, BLOCK>;

fn list_of(g: u32, q: u32) -> u32 {
    return (params.group_first + g) * params.list_count + params.list_first + q;
}

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
    // Squares below the range of f32 are lost: the last term is larger than all of them.
    return vec4(bounds.x * params.shrink - threshold - 1e-30, bounds.y, error, 0.0);
}

fn point_term(g: u32, p: u32) -> vec4<f32> {
    if (p >= params.point_count) {
        return vec4(NEVER, 0.0, 0.0, 0.0);
    }
    let bounds = point_bounds[g * params.point_rows + params.point_first + p];
    let marked = bounds.x >= NEVER || bounds.x <= ALWAYS;
    return vec4(select(bounds.x * params.shrink, bounds.x, marked), bounds.z, bounds.w, 0.0);
}

fn keep(g: u32, q: u32, p: u32) {
    let at = params.point_first + p;
    if (params.point_sample + at == params.query_sample + q) {
        return;
    }
    let slot = atomicAdd(&progress[list_of(g, q)].noted, 1u);
    if (slot < params.capacity) {
        survivors[(g * params.query_count + q) * params.capacity + slot] = at;
    }
}

// Looks at SIDE rows of two matrices, which begin at `row` and `column` of the block. Threads have a
// column each.
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
            @builtin(subgroup_invocation_id) lane: u32) {
    // As `workgroup_index`: only written out is it seen to be the same for all threads.
    let index = id.x + count.x * (id.y + count.y * id.z) + params.first;
    if (index >= params.workgroups) {
        return;
    }
    let query_blocks = (params.query_count + BLOCK - 1u) / BLOCK;
    let point_blocks = (params.point_count + BLOCK - 1u) / BLOCK;
    let first_query = index % query_blocks * BLOCK;
    let first_point = index / query_blocks % point_blocks * BLOCK;
    let g = index / (query_blocks * point_blocks);
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
#endif
#endif
