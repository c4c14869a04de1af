// Notes the points of a tile that may beat a query's k-th distance, by f32 lower bounds.
#import knn_search
#import knn_frame
#import tile_products

// Component t of query q in its frame; 0 outside the pass.
fn query_term(g: u32, q: u32, t: u32) -> f32 {
    if (q >= params.query_count || t >= params.dim) {
        return 0.0;
    }
    let group = params.group_first + g;
    let row = group * params.query_rows + params.query_first + q;
    return in_frame(queries[row * params.dim + t], query_norms[g * params.query_count + q], group, t);
}

// Component t of point p in the frame of the queries; 0 outside the pass.
fn point_term(g: u32, p: u32, t: u32) -> f32 {
    if (p >= params.point_count || t >= params.dim) {
        return 0.0;
    }
    let group = params.group_first + g;
    let row = params.point_first + p;
    let norm = point_norms[g * params.point_rows + row];
    return in_frame(points[(group * params.point_rows + row) * params.dim + t], norm, group, t);
}

// Whether a lower bound of the pair's distance is below the query's threshold. `query` and `point` are
// the norms of both rows.
fn might_win(threshold: f32, query: f32, point: f32, dot: f32) -> bool {
#ifdef COSINE
    if (point <= 0.0) {
        return false;
    }
    let bound = 2.0 * params.shrink - 2.0 * dot;
#else
    if (point >= NEVER) {
        return false;
    }
    if (point < 0.0 || query < 0.0) {
        return true;
    }
    // Squares below the range of f32 are lost; the last term exceeds their sum.
    let bound = (query + point) * params.shrink - 2.0 * dot - 1e-30;
#endif
    return threshold == 0.0 || bound < threshold;
}

// Filters one tile of 64 queries by 64 points.
fn filter_tile(g: u32, first_query: u32, first_point: u32, lane: u32) {
    let row = lane / 8u;
    let column = lane % 8u;
    var acc: array<vec4<f32>, 16>;
    for (var start = 0u; start < params.dim; start += DEPTH) {
        let t = start + lane % 16u;
        let to = lane % 16u * PITCH;
        for (var i = lane / 16u; i < 16u; i += 4u) {
            let q = first_query + i * 4u;
            let p = first_point + i * 4u;
            tile_rows[to + i] = vec4(query_term(g, q, t), query_term(g, q + 1u, t),
                query_term(g, q + 2u, t), query_term(g, q + 3u, t));
            tile_columns[to + i] = vec4(point_term(g, p, t), point_term(g, p + 1u, t),
                point_term(g, p + 2u, t), point_term(g, p + 3u, t));
        }
        workgroupBarrier();
        tile_accumulate(&acc, row, column);
        workgroupBarrier();
    }
    for (var r = 0u; r < 8u; r++) {
        let q = first_query + row * 8u + r;
        if (q >= params.query_count) {
            break;
        }
        let list = list_of(g, q);
        let threshold = progress[list].threshold;
        if (threshold < 0.0) {
            continue;
        }
#ifdef RETRY
        if (!must_retry(g, q)) {
            continue;
        }
#endif
        let local = g * params.query_count + q;
        let norm = query_norms[local].norm;
        for (var c = 0u; c < 8u; c++) {
            let p = first_point + column * 8u + c;
            if (p >= params.point_count) {
                break;
            }
            let at = params.point_first + p;
            let point = point_norms[g * params.point_rows + at].norm;
            if (params.point_sample + at != params.query_sample + q
                && might_win(threshold, norm, point, acc[r * 2u + c / 4u][c % 4u])) {
                let slot = atomicAdd(&progress[list].noted, 1u) & ~RETRY_BIT;
                if (slot < params.capacity) {
                    survivors[local * params.capacity + slot] = at;
                }
            }
        }
    }
}

#ifdef RETRY
var<workgroup> wanted: atomic<u32>;

// Whether the filter on cooperative matrices noted too many points for this query.
fn must_retry(g: u32, q: u32) -> bool {
    return q < params.query_count && (atomicLoad(&progress[list_of(g, q)].noted) & RETRY_BIT) != 0u;
}
#endif

// A workgroup per strip of tiles. With RETRY, only queries that need it are in_frame; they are few, so a
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
    if (atomicLoad(&wanted) == 0u) {
        return;
    }
#endif
    let end = min(first_tile + params.strip, point_tiles);
    for (var tile = first_tile; tile < end; tile++) {
        filter_tile(g, first_query, tile * TILE, lane);
    }
}
