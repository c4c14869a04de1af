// A block of SIDE x SIDE pairs of candidates' vectors, brought to workgroup memory 16 terms at a time.
// Bindings: `vectors`. The host gives SIDE.
#import nnk

const DEPTH = 16u;
const PITCH = 17u;
var<workgroup> first_rows: array<u32, SIDE>;
var<workgroup> second_rows: array<u32, SIDE>;
var<workgroup> first_tile: array<f32, SIDE * PITCH>;
var<workgroup> second_tile: array<f32, SIDE * PITCH>;

fn element(row: u32, t: u32) -> f32 {
    if (row == NOWHERE || t >= params.dim) {
        return 0.0;
    }
#ifdef SCALED_VECTORS
    return vectors[row * params.dim + t] * norms[row].power;
#else
    return vectors[row * params.dim + t];
#endif
}

// Notes which vector each row of the block is: member `block.x + i`, and `block.y + i` for the columns.
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

// Terms `start ..` of all rows. A barrier has to follow.
fn load_tiles(start: u32, lane: u32) {
    let t = lane % 16u;
    for (var r = lane / 16u; r < SIDE; r += 4u) {
        first_tile[r * PITCH + t] = element(first_rows[r], start + t);
        second_tile[r * PITCH + t] = element(second_rows[r], start + t);
    }
}
