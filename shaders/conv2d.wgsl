// Convolution as a matrix product: filters by terms, times terms by positions. The second factor is
// gathered from the input while it is loaded (implicit im2col).
#import conv2d_shape
#import tile_products

// A workgroup computes 64 filters of one group at 64 positions, which may span several samples.
@compute @workgroup_size(64)
fn conv2d(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
          @builtin(local_invocation_index) lane: u32) {
    let index = workgroup_index(id, count) + params.first;
    if (index >= params.workgroups) {
        return;
    }
    let positions = params.batch * params.out_height * params.out_width;
    let filter_tiles = (params.group_filters + TILE - 1u) / TILE;
    let group_tiles = filter_tiles * (params.filters / params.group_filters);
    // Neighbouring workgroups share positions rather than filters, because the input is larger than the
    // weights.
    let filter_tile = index % group_tiles;
    let group = filter_tile / filter_tiles;
    let first_filter = filter_tile % filter_tiles * TILE;
    let first_position = index / group_tiles * TILE;
    let taps = params.kernel_height * params.kernel_width;
    let terms = params.group_channels * taps;
    let row = lane / 8u;
    let column = lane % 8u;

    // The four positions that this thread loads in every step.
    let q = lane % 16u;
    var windows: array<Window, 4>;
    for (var i = 0u; i < 4u; i++) {
        windows[i] = window(min(first_position + q * 4u + i, positions - 1u), group);
    }
    var acc: array<vec4<f32>, 16>;
    for (var first = 0u; first < terms; first += DEPTH) {
        let t = lane % 16u;
        for (var r = lane / 16u; r < 16u; r += 4u) {
            let f = first_filter + r * 4u;
            tile_rows[t * PITCH + r] = vec4(
                weight_or_zero(group, f, first + t, terms),
                weight_or_zero(group, f + 1u, first + t, terms),
                weight_or_zero(group, f + 2u, first + t, terms),
                weight_or_zero(group, f + 3u, first + t, terms));
        }
        for (var s = lane / 16u; s < DEPTH; s += 4u) {
            let term = first + s;
            let channel = term / taps;
            let dy = i32(term % taps / params.kernel_width * params.dilation_y);
            let dx = i32(term % params.kernel_width * params.dilation_x);
            var v = vec4<f32>();
            if (term < terms) {
                v = vec4(tap(windows[0], channel, dy, dx), tap(windows[1], channel, dy, dx),
                    tap(windows[2], channel, dy, dx), tap(windows[3], channel, dy, dx));
            }
            tile_columns[s * PITCH + q] = v;
        }
        workgroupBarrier();
        tile_accumulate(&acc, row, column);
        workgroupBarrier();
    }
    let plane = params.out_height * params.out_width;
    for (var c = 0u; c < 8u; c++) {
        let position = first_position + tile_place(column, c);
        if (position >= positions) {
            continue;
        }
        let out = position / plane * params.filters * plane + position % plane;
        for (var r = 0u; r < 8u; r++) {
            let f = first_filter + tile_place(row, r);
            if (f < params.group_filters) {
                let map = group * params.group_filters + f;
                y[out + map * plane] = finish(tile_column(tile_row(&acc, r), c), map);
            }
        }
    }
}
