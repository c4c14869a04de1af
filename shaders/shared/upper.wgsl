// Tile (i, j), i <= j, of the `index`-th of `tiles` by `tiles` on or above the diagonal, row by row.
fn upper_tile(index: u32, tiles: u32) -> vec2<u32> {
    var i = 0u;
    var left_over = index;
    while (left_over >= tiles - i) {
        left_over -= tiles - i;
        i++;
    }
    return vec2(i, i + left_over);
}
