// Squared Euclidean distances between the rows and columns of a tile, by plain differences: the expanded
// form x.x + y.y - 2 x.y would cancel for close points. The order of terms is that of `tile_products`.
#import tile

// As `tile_accumulate` of `tile_products`, with squared differences in the place of products.
fn tile_accumulate(acc: ptr<function, array<vec4<f32>, 16>>, row: u32, column: u32) {
    for (var t = 0u; t < DEPTH; t++) {
        let a = tile_rows[t * PITCH + row];
        let b = tile_rows[t * PITCH + row + 8u];
        let u = tile_columns[t * PITCH + column];
        let v = tile_columns[t * PITCH + column + 8u];
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
    }
}
