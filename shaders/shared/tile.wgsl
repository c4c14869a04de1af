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
