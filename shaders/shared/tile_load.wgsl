// Loads the blocks of a tile from rows that are padded to whole vectors of four terms. The importing file
// declares `row_vector` and `column_vector`, which read vector `at` of a row of either operand.
#import tile

// Loads vectors start .. start + DEPTH / 4 of the rows first.x .. first.x + TILE and of the columns from
// first.y on. Rows past `last` are read as copies of the last one, and their results have to be ignored.
// `pitch` is the number of vectors of a row. The caller has to place a barrier after it.
fn tile_load(start: u32, pitch: u32, first: vec2<u32>, last: vec2<u32>, lane: u32) {
    let at = start + lane / 16u;
    let inside = at < pitch;
    for (var i = lane % 16u; i < TILE; i += 16u) {
        var a = vec4<f32>();
        var b = vec4<f32>();
        if (inside) {
            a = row_vector(min(first.x + i, last.x), at);
            b = column_vector(min(first.y + i, last.y), at);
        }
        let to = lane / 16u * 4u * PITCH + i / 4u;
        let part = i % 4u;
        tile_rows[to][part] = a.x;
        tile_rows[to + PITCH][part] = a.y;
        tile_rows[to + 2u * PITCH][part] = a.z;
        tile_rows[to + 3u * PITCH][part] = a.w;
        tile_columns[to][part] = b.x;
        tile_columns[to + PITCH][part] = b.y;
        tile_columns[to + 2u * PITCH][part] = b.z;
        tile_columns[to + 3u * PITCH][part] = b.w;
    }
}
