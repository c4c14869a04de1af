// Enumerates the tiles of a symmetric matrix on and above its diagonal, row by row.

// Row and column of tile `index` of a matrix with `tiles` tiles per side.
fn upper_tile(index: u32, tiles: u32) -> vec2<u32> {
    var i = 0u;
    var left_over = index;
    while (left_over >= tiles - i) {
        left_over -= tiles - i;
        i++;
    }
    return vec2(i, i + left_over);
}
