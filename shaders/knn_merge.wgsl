// Merges the points that the filter noted into the candidate lists. The host defines SORT, the entries
// that are sorted at a time (a power of two), WIDTH, the threads of a workgroup, and LANES, the threads
// that share the terms of one distance; SHARED_ROWS is defined if those are several.
#import knn_search

// [groups, query_rows, dim], [groups, point_rows, dim].
@group(0) @binding(1) var<storage, read> queries: array<f32>;
@group(0) @binding(2) var<storage, read> points: array<f32>;
// [groups, 1 + dim]: scale, centre.
@group(0) @binding(3) var<storage, read> frames: array<f32>;
// [group_count, query_count], [group_count, point_rows].
@group(0) @binding(4) var<storage, read> query_norms: array<RowNorm>;
@group(0) @binding(5) var<storage, read> point_norms: array<RowNorm>;
// [groups, list_count].
@group(0) @binding(6) var<storage, read_write> progress: array<Progress>;
// [group_count, query_count, capacity]: rows of the points that were noted.
@group(0) @binding(7) var<storage, read_write> survivors: array<u32>;
// [groups, list_count, k].
@group(0) @binding(8) var<storage, read_write> entries: array<Entry>;

// A list while it is worked on: its entries, followed by new candidates; SORT in total.
var<workgroup> keys: array<wide, SORT>;
var<workgroup> samples: array<u32, SORT>;
// Each thread's part of a distance.
var<workgroup> partials: array<wide, WIDTH>;
#ifdef COSINE
// Each thread's part of an inner product.
var<workgroup> partial_products: array<wide, WIDTH>;
#endif
// New candidates in `keys`.
var<workgroup> pushed: atomic<u32>;
// What one thread tells all others. Barriers may only depend on what a compiler knows to be the same in all threads.
var<workgroup> told: u32;

// `told` in a list that no point can enter.
const CLOSED = 0xffffffffu;

// Whether entry `a` comes before entry `b`.
fn before(a: u32, b: u32) -> bool {
    let x = keys[a];
    let y = keys[b];
    return wide_less(x, y) || (!wide_less(y, x) && samples[a] < samples[b]);
}

// Bitonic sort of the first `size` entries; `size` is a power of two.
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

// What a distance is computed from: the sum of squared differences, for the cosine kernel of unit vectors,
// and for that kernel the inner product of the rows, each times its power of two.
struct Sums {
    squares: wide,
    product: wide,
}

// Adds the term of components x and y.
fn add_term(sums: Sums, x: f32, q: RowNorm, y: f32, p: RowNorm, scale: f32) -> Sums {
#ifdef COSINE
    let d = wide_sub(unit_component(x, q), unit_component(y, p));
    let product = wide_add(sums.product, wide_product(x * q.power, y * p.power));
    return Sums(wide_add(sums.squares, wide_mul(d, d)), product);
#else
    let d = difference(x, y, scale);
    return Sums(wide_add(sums.squares, wide_mul(d, d)), sums.product);
#endif
}

// The distance of two rows.
fn distance_of(sums: Sums, q: RowNorm, p: RowNorm, scale: f32) -> wide {
#ifdef COSINE
    // Where the angle is small 2 - 2 cos cancels; where it is large, the squared difference would round
    // what is exactly 2 for orthogonal vectors.
    let cosine = wide_mul(sums.product, wide_mul(q.inverse, p.inverse));
    let far = wide_sub(wide_from(2.0), wide_add(cosine, cosine));
    if (wide_less(far, wide_from(1.0))) {
        return snapped(sums.squares);
    }
    return rounded_to_float64(far);
#else
    return in_units(sums.squares, scale);
#endif
}

// Every LANES-th term of a squared distance, from term `lane` on. Two sums shorten the chain of
// dependent additions.
fn partial_sums(query: u32, q: RowNorm, point: u32, p: RowNorm, scale: f32, lane: u32) -> Sums {
    var even = Sums(wide_zeroed(), wide_zeroed());
    var odd = even;
    let x = query * params.dim;
    let y = point * params.dim;
    var t = lane;
    for (; t + LANES < params.dim; t += 2u * LANES) {
        even = add_term(even, queries[x + t], q, points[y + t], p, scale);
        odd = add_term(odd, queries[x + t + LANES], q, points[y + t + LANES], p, scale);
    }
    if (t < params.dim) {
        even = add_term(even, queries[x + t], q, points[y + t], p, scale);
    }
    return Sums(wide_add(even.squares, odd.squares), wide_add(even.product, odd.product));
}

// Whether a point comes before the last entry of a full list.
fn beats_last(distance: wide, sample: u32) -> bool {
    let last = keys[params.k - 1u];
    return wide_less(distance, last)
        || (!wide_less(last, distance) && sample < samples[params.k - 1u]);
}

// `Progress.threshold` of a list of this length. The factor and the summand round up.
fn threshold(length: u32) -> f32 {
    if (length < params.k) {
        return 0.0;
    }
    let last = keys[params.k - 1u];
    if (!wide_less(wide_zeroed(), last)) {
        return -1.0;
    }
    return wide_round(last) * 1.0000003 + 1e-36;
}

// A workgroup per query.
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
    let list = list_of(g, q);
    let query = group * params.query_rows + params.query_first + q;
    let query_norm = query_norms[local];
    let scale = frames[group * (params.dim + 1u)];

    if (lane == 0u) {
        // The k-th distance of a closed list is 0.
        let is_closed = progress[list].threshold < 0.0;
        told = select(atomicLoad(&progress[list].noted) & ~RETRY_BIT, CLOSED, is_closed);
    }
    let noted = workgroupUniformLoad(&told);
    let all = params.direct != 0u || noted > params.capacity;
    let candidates = select(noted, params.point_count, all);
    let own = progress[list].own;
#ifdef COSINE
    // A query of zeros has no cosine distances.
    let nowhere = query_norm.norm <= 0.0;
#else
    let nowhere = false;
#endif
    if (candidates == 0u || noted == CLOSED || nowhere) {
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
    // Binary search for the first empty entry, which ends the list.
    for (var step = 1024u; step > 0u; step /= 2u) {
        if (length + step <= params.k && samples[length + step - 1u] != 0u) {
            length += step;
        }
    }
    if (lane == 0u) {
        told = length;
    }
    length = workgroupUniformLoad(&told);
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
            live = live && params.point_sample + at != own;
#ifdef COSINE
            live = live && point_norm.norm > 0.0;
#else
            live = live && point_norm.norm < NEVER;
#endif
            var sums = Sums(wide_zeroed(), wide_zeroed());
            if (live) {
                sums = partial_sums(query, query_norm, group * params.point_rows + at, point_norm,
                    scale, lane % LANES);
            }
#ifdef SHARED_ROWS
            partials[lane] = sums.squares;
#ifdef COSINE
            partial_products[lane] = sums.product;
#endif
            workgroupBarrier();
            if (lane % LANES == 0u) {
                for (var i = 1u; i < LANES; i++) {
                    sums.squares = wide_add(sums.squares, partials[lane + i]);
#ifdef COSINE
                    sums.product = wide_add(sums.product, partial_products[lane + i]);
#endif
                }
            }
            workgroupBarrier();
            live = live && lane % LANES == 0u;
#endif
            let sum = distance_of(sums, query_norm, point_norm, scale);
            if (params.distinct != 0u && !wide_less(wide_zeroed(), sum)) {
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
        if (lane == 0u) {
            told = atomicLoad(&pushed);
            atomicStore(&pushed, 0u);
        }
        let total = length + workgroupUniformLoad(&told);
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
    }
    for (var i = lane; i < length; i += WIDTH) {
        entries[list * params.k + i] = Entry(keys[i], samples[i], 0u);
    }
    if (lane == 0u) {
        progress[list].threshold = threshold(length);
        atomicStore(&progress[list].noted, 0u);
    }
}
