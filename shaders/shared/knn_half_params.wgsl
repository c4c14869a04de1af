// The search's filter on cooperative matrices: `knn_pack` rounds rows to f16; `knn_half` notes the
// points that may beat a query's k-th distance, as `knn_filter` does; `knn_overflow` marks the queries
// for which it noted too many.
#import workgroup
#import knn_progress

struct HalfParams {
    // Vectors of four numbers per packed row.
    pitch: u32,
    // Groups, queries and points of this pass, as in shared/knn_search.wgsl.
    group_first: u32,
    query_count: u32,
    list_first: u32,
    list_count: u32,
    point_rows: u32,
    point_first: u32,
    point_count: u32,
    point_sample: u32,
    capacity: u32,
    // 1 minus the bound of the f32 rounding errors, relative to the sum of both squared norms.
    shrink: f32,
    // Bound of the rounding error of a sum of products, relative to the product of both norms.
    gamma: f32,
    // First workgroup of this dispatch, and the number of workgroups of all dispatches; of
    // `knn_overflow`, the number of queries.
    first: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: HalfParams;
