// Loads the vectors of a SIDE x SIDE block of pairs of candidates into workgroup memory, 16 terms at a
// time. The importing file declares the bindings `entries` and `vectors`, and the functions `slot_of`
// and `vector_term`. The host defines SIDE.
#import nnk_common
#import lower_triangle

// The row of a pair that is outside the matrix.
const NOWHERE = 0xffffffffu;

const DEPTH = 16u;
// Numbers from one row of a tile to the next; one more than needed, to use different banks.
const PITCH = 17u;
// Vectors of the block's rows and columns, as rows of `vectors` or NOWHERE; and 16 terms of each.
var<workgroup> first_rows: array<u32, SIDE>;
var<workgroup> second_rows: array<u32, SIDE>;
var<workgroup> first_tile: array<f32, SIDE * PITCH>;
var<workgroup> second_tile: array<f32, SIDE * PITCH>;

// The row of `vectors` that belongs to entry `at` of list `list`. `sample` is that entry's.
fn vector_of(at: u32, list: u32, sample: u32) -> u32 {
    if (params.gathered != 0u) {
        return at;
    }
    return list / params.list_count * params.point_rows + sample - 1u - params.point_sample;
}

// Term t of that row; 0 outside.
fn element(row: u32, t: u32) -> f32 {
    if (row == NOWHERE || t >= params.dim) {
        return 0.0;
    }
    return vector_term(row, t);
}

// Finds the vectors of the block's rows, members block.x + i, and of its columns, members block.y + i.
fn name_rows(block: vec2<u32>, local: u32, list: u32, lane: u32) {
    for (var i = lane; i < 2u * SIDE; i += 64u) {
        let member = select(block.x, block.y, i >= SIDE) + i % SIDE;
        let slot = slot_of(local, member);
        var row = NOWHERE;
        if (slot != NOWHERE) {
            let at = list * params.k + slot;
            row = vector_of(at, list, entries[at].sample);
        }
        if (i < SIDE) {
            first_rows[i] = row;
        } else {
            second_rows[i - SIDE] = row;
        }
    }
    workgroupBarrier();
}

// Loads terms start .. start + 16 of all rows. The caller has to place a barrier after it.
fn load_tiles(start: u32, lane: u32) {
    let t = lane % 16u;
    for (var r = lane / 16u; r < SIDE; r += 4u) {
        first_tile[r * PITCH + t] = element(first_rows[r], start + t);
        second_tile[r * PITCH + t] = element(second_rows[r], start + t);
    }
}
