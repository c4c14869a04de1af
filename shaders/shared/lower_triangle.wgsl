// Enumerates the blocks of a symmetric matrix on and below its diagonal, row by row.

// Row and column of block `index`.
fn lower_block(index: u32) -> vec2<u32> {
    var row = 0u;
    var column = index;
    while (column > row) {
        row++;
        column -= row;
    }
    return vec2(row, column);
}
