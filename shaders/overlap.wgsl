// Intersections and unions of supports for all pairs of channels
// (docs/definitions.md#overlap-and-jaccard-index), as exact integers. `overlap_sort` sorts the indices
// of every support; `overlap` merges the sorted lists of each pair.
#import workgroup

struct OverlapParams {
    channels: u32,
    // Queries of this pass, and slots per query.
    queries: u32,
    k: u32,
    // First channel of the pairs of this pass, and how many there are.
    row_first: u32,
    row_count: u32,
    // Queries per part. Each part has its own sums, so that more threads can work on one pair.
    part: u32,
    // First workgroup of this dispatch, and the number of workgroups of all dispatches.
    first: u32,
    workgroups: u32,
}

const DEGENERATE = 0xffffffffu;

@group(0) @binding(0) var<uniform> params: OverlapParams;
// [queries, channels, k]: the supports as the solver wrote them, with -1 in unused slots.
@group(0) @binding(1) var<storage, read> slots: array<i32>;
// [queries, channels, k]: the same indices in ascending order, from the front.
@group(0) @binding(2) var<storage, read_write> lists: array<i32>;
// [queries, channels]: the number of indices, or DEGENERATE for a query without a graph.
@group(0) @binding(3) var<storage, read_write> sizes: array<u32>;
// [parts, row_count, channels].
@group(0) @binding(4) var<storage, read_write> sums: array<Sums>;

// Sums of one pair of channels over the queries of a part.
struct Sums {
    intersection: u32,
    // floor(2^40 intersection / union): upper and lower 20 bits, summed separately.
    jaccard_high: u32,
    jaccard_low: u32,
    // Queries that have a graph in both channels, and those of them whose union is not empty.
    queries: u32,
    unions: u32,
}

// A thread per slot: an index goes to the place given by the number of smaller indices in the support.
@compute @workgroup_size(64)
fn overlap_sort(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                @builtin(local_invocation_index) lane: u32) {
    let at = (workgroup_index(id, count) + params.first) * 64u + lane;
    let list = at / params.k;
    if (list >= params.queries * params.channels || sizes[list] == DEGENERATE) {
        return;
    }
    let own = slots[at];
    if (own < 0) {
        return;
    }
    var place = 0u;
    var members = 0u;
    for (var i = list * params.k; i < (list + 1u) * params.k; i++) {
        let other = slots[i];
        place += select(0u, 1u, other >= 0 && other < own);
        members += select(0u, 1u, other >= 0);
    }
    lists[list * params.k + place] = own;
    // The thread of the smallest index writes the size. An empty support keeps the 0 that the host
    // wrote.
    if (place == 0u) {
        sizes[list] = members;
    }
}

// Size of the intersection of two sorted lists.
fn intersection(a: u32, a_size: u32, b: u32, b_size: u32) -> u32 {
    var i = 0u;
    var j = 0u;
    var both = 0u;
    while (i < a_size && j < b_size) {
        let x = lists[a + i];
        let y = lists[b + j];
        both += select(0u, 1u, x == y);
        i += select(0u, 1u, x <= y);
        j += select(0u, 1u, y <= x);
    }
    return both;
}

// A thread per pair of channels and part. A workgroup has 16 x 16 pairs, whose threads read the same
// lists.
@compute @workgroup_size(256)
fn overlap(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
           @builtin(local_invocation_index) lane: u32) {
    let index = workgroup_index(id, count) + params.first;
    if (index >= params.workgroups) {
        return;
    }
    let across = (params.channels + 15u) / 16u;
    let down = (params.row_count + 15u) / 16u;
    let row = index / across % down * 16u + lane / 16u;
    let a = params.row_first + row;
    let b = index % across * 16u + lane % 16u;
    let part = index / (across * down);
    if (row >= params.row_count || b >= params.channels) {
        return;
    }
    var result = Sums(0u, 0u, 0u, 0u, 0u);
    let start = part * params.part;
    let end = select(start, min(start + params.part, params.queries), a <= b);
    for (var q = start; q < end; q++) {
        let x = q * params.channels + a;
        let y = q * params.channels + b;
        let x_size = sizes[x];
        let y_size = sizes[y];
        if (x_size == DEGENERATE || y_size == DEGENERATE) {
            continue;
        }
        let both = intersection(x * params.k, x_size, y * params.k, y_size);
        let either = x_size + y_size - both;
        result.queries++;
        result.intersection += both;
        if (either > 0u) {
            result.unions++;
            // `either` is at most 2048, so a remainder shifted by 20 bits fits in 32.
            let high = (both << 20u) / either;
            let rest = (both << 20u) % either;
            result.jaccard_high += high;
            result.jaccard_low += (rest << 20u) / either;
        }
    }
    sums[(part * params.row_count + row) * params.channels + b] = result;
}
