// Row and column of the `index`-th block on or below the diagonal, row by row.
fn lower_block(index: u32) -> vec2<u32> {
    var row = 0u;
    var column = index;
    while (column > row) {
        row++;
        column -= row;
    }
    return vec2(row, column);
}
