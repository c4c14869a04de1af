// Exact k nearest neighbours (docs/definitions.md#candidates). Per tile of points: `knn_filter` computes f32
// lower bounds of all squared distances and notes the points that might beat a query's k-th value;
// `knn_merge` computes those distances in wide arithmetic and merges them into the query's list.
#import workgroup
#import distance
#import tile

struct KnnParams {
    dim: u32,
    k: u32,
    // Groups of this pass.
    group_first: u32,
    group_count: u32,
    // Queries of this pass: rows of their block, place in the candidate lists, sample index.
    query_rows: u32,
    query_first: u32,
    query_count: u32,
    list_first: u32,
    list_count: u32,
    query_sample: u32,
    // Points of this pass: rows of their block; sample index of the block's first row.
    point_rows: u32,
    point_first: u32,
    point_count: u32,
    point_sample: u32,
    // Room for noted points per query.
    capacity: u32,
    // All points of the pass are looked at, none was noted.
    direct: u32,
    // Points at distance 0 are no candidates.
    distinct: u32,
    // 1 - gamma: what rounding may add to a distance, relative to both norms.
    shrink: f32,
    // Tiles that a workgroup of the filter goes over.
    strip: u32,
    first: u32,
    workgroups: u32,
    zero: u32,
}

// A query's list is ordered; `sample` is the index plus 1, 0 where the list has ended.
struct Entry {
    distance: wide,
    sample: u32,
    unused: u32,
}

struct Progress {
    // k-th distance in f32, rounded up; 0: fewer than k so far; negative: nothing can get in.
    threshold: f32,
    // Noted points; the highest bit: another filter noted too many, and this one begins again.
    noted: atomic<u32>,
}
const AGAIN_BIT = 0x80000000u;

@group(0) @binding(0) var<uniform> params: KnnParams;
@group(0) @binding(1) var<storage, read> queries: array<f32>;
@group(0) @binding(2) var<storage, read> points: array<f32>;
// [groups, 1 + dim]: scale, centre.
@group(0) @binding(3) var<storage, read> frames: array<f32>;
// [group_count, query_count], [group_count, point_rows].
@group(0) @binding(4) var<storage, read> query_norms: array<RowNorm>;
@group(0) @binding(5) var<storage, read> point_norms: array<RowNorm>;
// [groups, list_count]; [groups, list_count, k]; [group_count, query_count, capacity].
@group(0) @binding(6) var<storage, read_write> progress: array<Progress>;
@group(0) @binding(7) var<storage, read_write> survivors: array<u32>;
@group(0) @binding(8) var<storage, read_write> entries: array<Entry>;

#ifdef FILTER
#import filtered

fn query_term(g: u32, q: u32, t: u32) -> f32 {
    if (q >= params.query_count || t >= params.dim) {
        return 0.0;
    }
    let group = params.group_first + g;
    let row = group * params.query_rows + params.query_first + q;
    return filtered(queries[row * params.dim + t], query_norms[g * params.query_count + q], group, t);
}

fn point_term(g: u32, p: u32, t: u32) -> f32 {
    if (p >= params.point_count || t >= params.dim) {
        return 0.0;
    }
    let group = params.group_first + g;
    let row = params.point_first + p;
    let norm = point_norms[g * params.point_rows + row];
    return filtered(points[(group * params.point_rows + row) * params.dim + t], norm, group, t);
}

// Whether the pair's distance might be below the query's threshold.
fn might_win(threshold: f32, query: f32, point: f32, dot: f32) -> bool {
#ifdef COSINE
    if (point <= 0.0) {
        return false;
    }
    let bound = 2.0 * params.shrink - 2.0 * dot;
#else
    if (point >= FAR) {
        return false;
    }
    if (point < 0.0 || query < 0.0) {
        return true;
    }
    // Squares below the range of f32 are lost: the last term is larger than all of them.
    let bound = (query + point) * params.shrink - 2.0 * dot - 1e-30;
#endif
    return threshold == 0.0 || bound < threshold;
}

// One tile of pairs.
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
        tile_multiply(&acc, row, column);
        workgroupBarrier();
    }
    for (var r = 0u; r < 8u; r++) {
        let q = first_query + row * 8u + r;
        if (q >= params.query_count) {
            break;
        }
        let list = (params.group_first + g) * params.list_count + params.list_first + q;
        let threshold = progress[list].threshold;
        if (threshold < 0.0) {
            continue;
        }
#ifdef AGAIN
        if (!begins_again(g, q)) {
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
                let slot = atomicAdd(&progress[list].noted, 1u) & ~AGAIN_BIT;
                if (slot < params.capacity) {
                    survivors[local * params.capacity + slot] = at;
                }
            }
        }
    }
}

#ifdef AGAIN
var<workgroup> wanted: atomic<u32>;

fn begins_again(g: u32, q: u32) -> bool {
    let list = (params.group_first + g) * params.list_count + params.list_first + q;
    return q < params.query_count && (atomicLoad(&progress[list].noted) & AGAIN_BIT) != 0u;
}
#endif

// A workgroup per strip of tiles.
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
#ifdef AGAIN
    if (lane == 0u) {
        atomicStore(&wanted, 0u);
    }
    workgroupBarrier();
    if (begins_again(g, first_query + lane)) {
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
#endif

#ifdef MERGE
// One list while it is worked on: what is in it, then what is new, SORT entries at most.
var<workgroup> keys: array<wide, SORT>;
var<workgroup> samples: array<u32, SORT>;
var<workgroup> partials: array<wide, WIDTH>;
var<workgroup> pushed: atomic<u32>;

fn before(a: u32, b: u32) -> bool {
    let x = keys[a];
    let y = keys[b];
    return wide_less(x, y) || (!wide_less(y, x) && samples[a] < samples[b]);
}

// Bitonic; `size` is a power of two.
fn sort(size: u32, lane: u32) {
    for (var run = 2u; run <= size; run *= 2u) {
        for (var step = run / 2u; step > 0u; step /= 2u) {
            for (var i = lane; i < size / 2u; i += WIDTH) {
                let a = 2u * i - (i & (step - 1u));
                let b = a + step;
                if (before(b, a) == ((a & run) == 0u)) {
                    let key = keys[a];
                    let sample = samples[a];
                    keys[a] = keys[b];
                    samples[a] = samples[b];
                    keys[b] = key;
                    samples[b] = sample;
                }
            }
            workgroupBarrier();
        }
    }
}

fn squared(x: f32, q: RowNorm, y: f32, p: RowNorm, scale: f32) -> wide {
#ifdef COSINE
    let d = wide_sub(unit_component(x, q), unit_component(y, p));
#else
    let d = difference(x, y, scale);
#endif
    return wide_mul(d, d);
}

// Every LANES-th term of the squared distance, from term `lane` on; in two sums, which need not wait
// for each other.
fn partial_distance(query: u32, q: RowNorm, point: u32, p: RowNorm, scale: f32, lane: u32) -> wide {
    var even = wide_zeroed();
    var odd = wide_zeroed();
    let x = query * params.dim;
    let y = point * params.dim;
    var t = lane;
    for (; t + LANES < params.dim; t += 2u * LANES) {
        even = wide_add(even, squared(queries[x + t], q, points[y + t], p, scale));
        odd = wide_add(odd,
            squared(queries[x + t + LANES], q, points[y + t + LANES], p, scale));
    }
    if (t < params.dim) {
        even = wide_add(even, squared(queries[x + t], q, points[y + t], p, scale));
    }
    return wide_add(even, odd);
}

fn beats_last(distance: wide, sample: u32) -> bool {
    let last = keys[params.k - 1u];
    return wide_less(distance, last)
        || (!wide_less(last, distance) && sample < samples[params.k - 1u]);
}

fn threshold(length: u32) -> f32 {
    if (length < params.k) {
        return 0.0;
    }
    let last = wide_round(keys[params.k - 1u]);
    return select(last * 1.0000003 + 1e-36, -1.0, last == 0.0);
}

@compute @workgroup_size(WIDTH)
fn knn_merge(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
             @builtin(local_invocation_index) lane: u32) {
    wide_init(params.zero);
    let local = workgroup_index(id, count) + params.first;
    if (local >= params.workgroups) {
        return;
    }
    let g = local / params.query_count;
    let q = local % params.query_count;
    let group = params.group_first + g;
    let list = group * params.list_count + params.list_first + q;
    let query = group * params.query_rows + params.query_first + q;
    let query_norm = query_norms[local];
    let scale = frames[group * (params.dim + 1u)];

    let noted = atomicLoad(&progress[list].noted) & ~AGAIN_BIT;
    let all = params.direct != 0u || noted > params.capacity;
    let candidates = select(noted, params.point_count, all);
    // Nothing new, or nothing that could get in.
    let closed = progress[list].threshold < 0.0;
#ifdef COSINE
    let nowhere = query_norm.norm <= 0.0;
#else
    let nowhere = false;
#endif
    if (candidates == 0u || closed || nowhere) {
        storageBarrier();
        if (lane == 0u) {
            atomicStore(&progress[list].noted, 0u);
        }
        return;
    }
    var length = 0u;
    for (var i = lane; i < params.k; i += WIDTH) {
        let entry = entries[list * params.k + i];
        keys[i] = entry.distance;
        samples[i] = entry.sample;
    }
    if (lane == 0u) {
        atomicStore(&pushed, 0u);
    }
    workgroupBarrier();
    // The list ends at its first empty entry.
    for (var step = 1024u; step > 0u; step /= 2u) {
        if (length + step <= params.k && samples[length + step - 1u] != 0u) {
            length += step;
        }
    }
    workgroupBarrier();
    let chunk = SORT - params.k;
    for (var start = 0u; start < candidates; start += chunk) {
        let end = min(start + chunk, candidates);
        for (var c0 = start; c0 < end; c0 += WIDTH / LANES) {
            let c = c0 + lane / LANES;
            var live = c < end;
            var at = 0u;
            if (live) {
                if (all) {
                    at = params.point_first + c;
                } else {
                    at = survivors[local * params.capacity + c];
                }
            }
            let point_norm = point_norms[g * params.point_rows + at];
            live = live && params.point_sample + at != params.query_sample + q;
#ifdef COSINE
            live = live && point_norm.norm > 0.0;
#else
            live = live && point_norm.norm < FAR;
#endif
            var sum = wide_zeroed();
            if (live) {
                sum = partial_distance(query, query_norm, group * params.point_rows + at, point_norm,
                    scale, lane % LANES);
            }
#ifdef SHARED_ROWS
            partials[lane] = sum;
            workgroupBarrier();
            if (lane % LANES == 0u) {
                for (var i = 1u; i < LANES; i++) {
                    sum = wide_add(sum, partials[lane + i]);
                }
            }
            workgroupBarrier();
            live = live && lane % LANES == 0u;
#endif
#ifdef COSINE
            sum = snapped(sum);
#else
            sum = in_units(sum, scale);
#endif
            if (params.distinct != 0u && wide_round(sum) == 0.0) {
                live = false;
            }
            let sample = params.point_sample + at + 1u;
            if (live && (length < params.k || beats_last(sum, sample))) {
                let slot = length + atomicAdd(&pushed, 1u);
                keys[slot] = sum;
                samples[slot] = sample;
            }
        }
        workgroupBarrier();
        let total = length + atomicLoad(&pushed);
        if (total > length) {
            var size = 2u;
            while (size < total) {
                size *= 2u;
            }
            for (var i = total + lane; i < size; i += WIDTH) {
                keys[i] = wide_largest();
                samples[i] = 0xffffffffu;
            }
            workgroupBarrier();
            sort(size, lane);
            length = min(total, params.k);
        }
        if (lane == 0u) {
            atomicStore(&pushed, 0u);
        }
        workgroupBarrier();
    }
    for (var i = lane; i < length; i += WIDTH) {
        entries[list * params.k + i] = Entry(keys[i], samples[i], 0u);
    }
    if (lane == 0u) {
        progress[list].threshold = threshold(length);
        atomicStore(&progress[list].noted, 0u);
    }
}
#endif
