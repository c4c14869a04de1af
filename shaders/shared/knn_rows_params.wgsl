// Parameters of the kernels that process rows of a block one by one.
#import workgroup
#import distance
#import knn_lists

struct RowsParams {
    dim: u32,
    // Rows of the block; rows and groups of this pass.
    rows: u32,
    row_first: u32,
    row_count: u32,
    group_first: u32,
    group_count: u32,
    // Candidates per query, and candidate lists per group.
    k: u32,
    list_count: u32,
    // Sample index of the block's first row.
    sample: u32,
    // First workgroup of this dispatch, and the number of workgroups of all dispatches.
    first: u32,
    workgroups: u32,
    // Always 0; see `wide_init`.
    zero: u32,
}

@group(0) @binding(0) var<uniform> params: RowsParams;
// [groups, rows, dim].
@group(0) @binding(1) var<storage, read> rows: array<f32>;
