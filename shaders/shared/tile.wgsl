// The inner product every dense kernel here is made of: a workgroup of 8 x 8 threads computes
// 64 x 64 results, 8 x 8 per thread in registers, from tiles of 16 terms in workgroup memory.
// 64 multiply-adds per four 16-byte loads; each result adds its terms in ascending order, so its
// bits do not depend on where the tile lies.
const TILE = 64u;
const DEPTH = 16u;
const THREADS = 64u;

// [term][row or column], transposed while loading; 17 instead of 16 vectors per term keep threads
// that store different terms in different banks.
const PITCH = 17u;
var<workgroup> tile_rows: array<vec4<f32>, 272>;
var<workgroup> tile_columns: array<vec4<f32>, 272>;

// acc[2 * i] and acc[2 * i + 1]: row i of this thread's block, columns 0..4 and 4..8.
fn tile_multiply(acc: ptr<function, array<vec4<f32>, 16>>, row: u32, column: u32) {
    for (var t = 0u; t < DEPTH; t++) {
        let a = tile_rows[t * PITCH + row * 2u];
        let b = tile_rows[t * PITCH + row * 2u + 1u];
        let u = tile_columns[t * PITCH + column * 2u];
        let v = tile_columns[t * PITCH + column * 2u + 1u];
#ifdef SQUARED_DIFFERENCES
        var d: vec4<f32>;
        d = a.x - u; (*acc)[0] += d * d;
        d = a.x - v; (*acc)[1] += d * d;
        d = a.y - u; (*acc)[2] += d * d;
        d = a.y - v; (*acc)[3] += d * d;
        d = a.z - u; (*acc)[4] += d * d;
        d = a.z - v; (*acc)[5] += d * d;
        d = a.w - u; (*acc)[6] += d * d;
        d = a.w - v; (*acc)[7] += d * d;
        d = b.x - u; (*acc)[8] += d * d;
        d = b.x - v; (*acc)[9] += d * d;
        d = b.y - u; (*acc)[10] += d * d;
        d = b.y - v; (*acc)[11] += d * d;
        d = b.z - u; (*acc)[12] += d * d;
        d = b.z - v; (*acc)[13] += d * d;
        d = b.w - u; (*acc)[14] += d * d;
        d = b.w - v; (*acc)[15] += d * d;
#else
        (*acc)[0] += a.x * u;
        (*acc)[1] += a.x * v;
        (*acc)[2] += a.y * u;
        (*acc)[3] += a.y * v;
        (*acc)[4] += a.z * u;
        (*acc)[5] += a.z * v;
        (*acc)[6] += a.w * u;
        (*acc)[7] += a.w * v;
        (*acc)[8] += b.x * u;
        (*acc)[9] += b.x * v;
        (*acc)[10] += b.y * u;
        (*acc)[11] += b.y * v;
        (*acc)[12] += b.z * u;
        (*acc)[13] += b.z * v;
        (*acc)[14] += b.w * u;
        (*acc)[15] += b.w * v;
#endif
    }
}
