// Parameters and rows of the kernels that write rows as a filter reads them.
#import workgroup
#import distance
#import knn_bounds
#import knn_frame

struct PackParams {
    dim: u32,
    // Rows of the block; rows and groups of this pass.
    rows: u32,
    row_first: u32,
    row_count: u32,
    group_first: u32,
    group_count: u32,
    // Vectors of four numbers per packed row.
    pitch: u32,
    // First workgroup of this dispatch, and the number of workgroups of all dispatches.
    first: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: PackParams;
// [groups, rows, dim].
@group(0) @binding(1) var<storage, read> rows: array<f32>;
// [groups, 1 + dim]: scale, centre.
@group(0) @binding(2) var<storage, read> frames: array<f32>;
// [group_count, row_count].
@group(0) @binding(3) var<storage, read> norms: array<RowNorm>;
