// Exact k nearest neighbours (docs/definitions.md#candidates). For each tile of points, `knn_filter`
// computes f32 lower bounds of all squared distances and notes the points that may beat a query's k-th
// distance. `knn_merge` computes the distances of the noted points in wide arithmetic and merges them
// into the query's list. Both use these parameters.
#import workgroup
#import distance
#import knn_bounds
#import knn_lists
#import knn_progress

struct KnnParams {
    dim: u32,
    k: u32,
    // Groups of this pass.
    group_first: u32,
    group_count: u32,
    // Queries of this pass: rows of their block, first row and number; the first one's place in the
    // candidate lists of its group, and lists per group.
    query_rows: u32,
    query_first: u32,
    query_count: u32,
    list_first: u32,
    list_count: u32,
    // Points of this pass: rows of their block, first row and number; sample index of the block's first
    // row.
    point_rows: u32,
    point_first: u32,
    point_count: u32,
    point_sample: u32,
    // Points that can be noted per query.
    capacity: u32,
    // 1: the filter did not run, and the merge looks at all points of the pass.
    direct: u32,
    // 1: points at distance 0 are no candidates.
    distinct: u32,
    // 1 - gamma, where gamma bounds the rounding error of a filtered distance relative to the sum of
    // both squared norms.
    shrink: f32,
    // Tiles of points that one workgroup of the filter processes.
    strip: u32,
    // First workgroup of this dispatch, and the number of workgroups of all dispatches.
    first: u32,
    workgroups: u32,
    // Always 0; see `wide_init`.
    zero: u32,
}

@group(0) @binding(0) var<uniform> params: KnnParams;

// The list of query q of the pass in group g of the pass.
fn list_of(g: u32, q: u32) -> u32 {
    return (params.group_first + g) * params.list_count + params.list_first + q;
}
