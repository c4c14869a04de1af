// Matrix of Convolutional Similarity between all pairs of filters, with separate input channels: the
// Gram matrix of the filters' autocorrelations.
#import filters_pass
#import filters_half_lags
#import lower_triangle

// [M, terms]: a term is one lag of one channel of this pass.
@group(0) @binding(1) var<storage, read> a: array<wide>;
// [M, M], on and below the diagonal. Each pass adds its terms.
@group(0) @binding(2) var<storage, read_write> matrix: array<wide>;

const SIDE = 16u;
// Numbers from one row of a tile to the next; one more than needed, to use different banks.
const PITCH = 17u;
var<workgroup> first_tile: array<wide, 272>;
var<workgroup> second_tile: array<wide, 272>;

// Term `t` of filter `row`; 0 outside the matrix.
fn element(row: u32, t: u32, terms: u32) -> wide {
    if (row >= params.filters || t >= terms) {
        return wide_zeroed();
    }
    return a[row * terms + t];
}

// A workgroup per block of 16 x 16 pairs, 2 x 2 per thread.
@compute @workgroup_size(64)
fn filters_pairs(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                 @builtin(local_invocation_index) lane: u32) {
    wide_init(params.zero);
    let index = workgroup_index(id, count) + params.first;
    if (index >= params.len) {
        return;
    }
    let half = half_lags();
    let terms = params.channel_count * half;
    let block = lower_block(index) * SIDE;
    let y = lane / 8u * 2u;
    let x = lane % 8u * 2u;
    var sums = array<wide, 4>(wide_zeroed(), wide_zeroed(), wide_zeroed(), wide_zeroed());
    for (var start = 0u; start < terms; start += SIDE) {
        let t = lane % 16u;
        for (var r = lane / 16u; r < SIDE; r += 4u) {
            var value = element(block.x + r, start + t, terms);
            // Every lag but (0, 0) also represents its negative.
            if ((start + t) % half != 0u) {
                value = wide_add(value, value);
            }
            first_tile[r * PITCH + t] = value;
            second_tile[r * PITCH + t] = element(block.y + r, start + t, terms);
        }
        workgroupBarrier();
        for (var s = 0u; s < SIDE; s++) {
            let a0 = first_tile[y * PITCH + s];
            let a1 = first_tile[(y + 1u) * PITCH + s];
            let b0 = second_tile[x * PITCH + s];
            let b1 = second_tile[(x + 1u) * PITCH + s];
            sums[0] = wide_add(sums[0], wide_mul(a0, b0));
            sums[1] = wide_add(sums[1], wide_mul(a0, b1));
            sums[2] = wide_add(sums[2], wide_mul(a1, b0));
            sums[3] = wide_add(sums[3], wide_mul(a1, b1));
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        let row = block.x + y + i / 2u;
        let column = block.y + x + i % 2u;
        if (row < params.filters && column <= row) {
            let at = row * params.filters + column;
            matrix[at] = wide_add(matrix[at], sums[i]);
        }
    }
}
