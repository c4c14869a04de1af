// Notes the points of a tile that may beat a query's k-th distance, by f32 lower bounds.
#import knn_search
#import tile_products
#import tile_load

// Rows in the frame of the queries, as `knn_framed` wrote them: vectors of four terms,
// [group_count, query_count, pitch] and [group_count, point_rows, pitch].
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> points: array<vec4<f32>>;
// [group_count, query_count], [group_count, point_rows].
@group(0) @binding(3) var<storage, read> query_norms: array<RowNorm>;
@group(0) @binding(4) var<storage, read> point_norms: array<RowNorm>;
// [groups, list_count].
@group(0) @binding(5) var<storage, read_write> progress: array<Progress>;
// [group_count, query_count, capacity]: rows of the points that were noted.
@group(0) @binding(6) var<storage, read_write> survivors: array<u32>;

fn pitch() -> u32 {
    return (params.dim + 3u) / 4u;
}

fn row_vector(row: u32, at: u32) -> vec4<f32> {
    return queries[row * pitch() + at];
}

fn column_vector(row: u32, at: u32) -> vec4<f32> {
    return points[row * pitch() + at];
}

#ifdef RETRY
var<workgroup> wanted: atomic<u32>;
// The same, for all threads to agree on.
var<workgroup> is_wanted: u32;

// Whether the filter on cooperative matrices noted too many points for this query.
fn must_retry(g: u32, q: u32) -> bool {
    return q < params.query_count && (atomicLoad(&progress[list_of(g, q)].noted) & RETRY_BIT) != 0u;
}
#endif

// The lower bound of a pair's distance, less the query's threshold, is query_term + point_term - 2 dot. Where
// it is negative the pair is noted.

// NEVER outside the pass, and where no point can enter the list; ALWAYS where any point may.
fn query_term(g: u32, q: u32) -> f32 {
    if (q >= params.query_count) {
        return NEVER;
    }
#ifdef RETRY
    if (!must_retry(g, q)) {
        return NEVER;
    }
#endif
    let threshold = progress[list_of(g, q)].threshold;
    if (threshold < 0.0) {
        return NEVER;
    }
#ifdef COSINE
    let square = 2.0;
#else
    let square = query_norms[g * params.query_count + q].norm;
#endif
    if (threshold == 0.0 || square < 0.0) {
        return ALWAYS;
    }
    // Squares below the range of f32 are lost; the last term exceeds their sum.
    return max(square * params.shrink - threshold - 1e-30, ALWAYS);
}

// NEVER outside the pass, and for a row that is never a candidate.
fn point_term(g: u32, p: u32) -> f32 {
    if (p >= params.point_count) {
        return NEVER;
    }
    let norm = point_norms[g * params.point_rows + params.point_first + p].norm;
#ifdef COSINE
    return select(0.0, NEVER, norm <= 0.0);
#else
    if (norm >= NEVER) {
        return NEVER;
    }
    return select(norm * params.shrink, ALWAYS, norm < 0.0);
#endif
}

fn point_terms(g: u32, p: u32) -> vec4<f32> {
    return vec4(point_term(g, p), point_term(g, p + 1u), point_term(g, p + 2u), point_term(g, p + 3u));
}

// Notes point p for query q, unless both are the same sample.
fn keep(g: u32, q: u32, p: u32) {
    let at = params.point_first + p;
    let list = list_of(g, q);
    if (params.point_sample + at == progress[list].own) {
        return;
    }
    let slot = atomicAdd(&progress[list].noted, 1u) & ~RETRY_BIT;
    if (slot < params.capacity) {
        survivors[(g * params.query_count + q) * params.capacity + slot] = at;
    }
}

// Notes those of four successive points that may win. Sums with NEVER are above 1e38, and those with ALWAYS
// below -5e37, whatever the product is: that of such a row may have overflowed.
fn keep_four(g: u32, q: u32, p: u32, terms: vec4<f32>, dots: vec4<f32>) {
    let below = (terms < 2.0 * dots) | (terms <= vec4(-5e37));
    let wins = below & (terms < vec4(1e38));
    if (!any(wins)) {
        return;
    }
    for (var i = 0u; i < 4u; i++) {
        if (wins[i]) {
            keep(g, q, p + i);
        }
    }
}

// Filters one tile of 64 queries by 64 points.
fn filter_tile(g: u32, first_query: u32, first_point: u32, lane: u32) {
    let row = lane / 8u;
    let column = lane % 8u;
    let first = vec2(g * params.query_count + first_query,
        g * params.point_rows + params.point_first + first_point);
    let last = vec2((g + 1u) * params.query_count - 1u, (g + 1u) * params.point_rows - 1u);
    var acc: array<vec4<f32>, 16>;
    for (var start = 0u; start < pitch(); start += DEPTH / 4u) {
        tile_load(start, pitch(), first, last, lane);
        workgroupBarrier();
        tile_accumulate(&acc, row, column);
        workgroupBarrier();
    }
    let p = first_point + tile_place(column, 0u);
    let left = point_terms(g, p);
    let right = point_terms(g, p + 32u);
    for (var r = 0u; r < 8u; r++) {
        let q = first_query + tile_place(row, r);
        let query = query_term(g, q);
        let dots = tile_row(&acc, r);
        keep_four(g, q, p, query + left, dots.left);
        keep_four(g, q, p + 32u, query + right, dots.right);
    }
}

// A workgroup per strip of tiles. With RETRY, only queries that need it are filtered; they are few, so a
// workgroup checks all its queries once, before a whole strip.
@compute @workgroup_size(64)
fn knn_filter(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
              @builtin(local_invocation_index) lane: u32) {
    let index = workgroup_index(id, count) + params.first;
    if (index >= params.workgroups) {
        return;
    }
    let query_tiles = (params.query_count + TILE - 1u) / TILE;
    let point_tiles = (params.point_count + TILE - 1u) / TILE;
    let strips = (point_tiles + params.strip - 1u) / params.strip;
    let first_query = index % query_tiles * TILE;
    let first_tile = index / query_tiles % strips * params.strip;
    let g = index / (query_tiles * strips);
#ifdef RETRY
    if (lane == 0u) {
        atomicStore(&wanted, 0u);
    }
    workgroupBarrier();
    if (must_retry(g, first_query + lane)) {
        atomicStore(&wanted, 1u);
    }
    workgroupBarrier();
    if (lane == 0u) {
        is_wanted = atomicLoad(&wanted);
    }
    if (workgroupUniformLoad(&is_wanted) == 0u) {
        return;
    }
#endif
    let end = min(first_tile + params.strip, point_tiles);
    for (var tile = first_tile; tile < end; tile++) {
        filter_tile(g, first_query, tile * TILE, lane);
    }
}
