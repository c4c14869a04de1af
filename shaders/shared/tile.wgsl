// Workgroup memory of the dense kernels: a workgroup of 8 x 8 threads computes a tile of 64 x 64
// results, 8 x 8 of them per thread in registers, from TILE x DEPTH blocks of both operands.
const TILE = 64u;
const DEPTH = 16u;
const THREADS = 64u;

// Both blocks are stored transposed, [term][row or column], as vectors of four rows or columns. A term
// occupies 17 vectors instead of 16, so that threads that store different terms use different banks.
const PITCH = 17u;
var<workgroup> tile_rows: array<vec4<f32>, 272>;
var<workgroup> tile_columns: array<vec4<f32>, 272>;

// The row or column of the tile that is number `i` of the eight of a thread. A thread has two runs of four
// rather than one of eight: threads that read a block together then read neighbouring vectors, which are in
// different banks.
fn tile_place(thread: u32, i: u32) -> u32 {
    return i / 4u * 32u + thread * 4u + i % 4u;
}

// A thread's results of one row, of its columns 0 .. 4 and 4 .. 8.
struct TileRow {
    left: vec4<f32>,
    right: vec4<f32>,
}

// Row `i` of a thread's results. All indices are constants: with one that is not, compilers may put the array
// into memory.
fn tile_row(acc: ptr<function, array<vec4<f32>, 16>>, i: u32) -> TileRow {
    var row: TileRow;
    switch i {
        case 0u: { row = TileRow((*acc)[0], (*acc)[1]); }
        case 1u: { row = TileRow((*acc)[2], (*acc)[3]); }
        case 2u: { row = TileRow((*acc)[4], (*acc)[5]); }
        case 3u: { row = TileRow((*acc)[6], (*acc)[7]); }
        case 4u: { row = TileRow((*acc)[8], (*acc)[9]); }
        case 5u: { row = TileRow((*acc)[10], (*acc)[11]); }
        case 6u: { row = TileRow((*acc)[12], (*acc)[13]); }
        default: { row = TileRow((*acc)[14], (*acc)[15]); }
    }
    return row;
}

// The result of one column of a row.
fn tile_column(row: TileRow, i: u32) -> f32 {
    return select(row.left, row.right, i >= 4u)[i % 4u];
}
