// Inner products of the rows and columns of a tile: 64 multiply-adds per thread for four loads of 16
// bytes. Each result adds its terms in ascending order, so its bits do not depend on its place in the
// tile.
#import tile

// Adds the products of DEPTH terms. acc[2 * i] and acc[2 * i + 1] are columns 0..4 and 4..8 of row i of
// the thread, whose places in the tile `tile_place` tells.
fn tile_accumulate(acc: ptr<function, array<vec4<f32>, 16>>, row: u32, column: u32) {
    for (var t = 0u; t < DEPTH; t++) {
        let a = tile_rows[t * PITCH + row];
        let b = tile_rows[t * PITCH + row + 8u];
        let u = tile_columns[t * PITCH + column];
        let v = tile_columns[t * PITCH + column + 8u];
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
    }
}
