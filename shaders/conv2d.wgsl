// Convolution as a matrix product: filters by terms, times terms by positions. The second factor is
// gathered from the input while it is loaded (implicit im2col).
#import conv2d_shape
#import tile_products

// The part of the input that one output position reads.
struct Window {
    // Offset in `x` of what lies under the kernel's first tap in the first channel of the convolution group.
    at: i32,
    // Row and column of that; negative in the padding.
    y: i32,
    x: i32,
}

fn window(position: u32, group: u32) -> Window {
    let plane = params.out_height * params.out_width;
    let within = position % plane;
    let channel = position / plane * params.channels + group * params.group_channels;
    let y = i32(within / params.out_width * params.stride_y) - i32(params.pad_top);
    let x = i32(within % params.out_width * params.stride_x) - i32(params.pad_left);
    return Window((i32(channel * params.height) + y) * i32(params.width) + x, y, x);
}

// What a term adds to a window: to its offset, its row and its column.
struct Tap {
    at: i32,
    y: i32,
    x: i32,
}

// Rows past any input, where there are no more terms.
const NOWHERE = 0x40000000;

// Taps of the block of terms that is loaded, and of the next one: one thread does a term's divisions for all.
var<workgroup> taps: array<Tap, 32>;

fn tap_of(term: u32, terms: u32) -> Tap {
    if (term >= terms) {
        return Tap(0, NOWHERE, 0);
    }
    let line = term / params.kernel_width;
    let channel = line / params.kernel_height;
    let y = i32(line % params.kernel_height * params.dilation_y);
    let x = i32(term % params.kernel_width * params.dilation_x);
    return Tap((i32(channel * params.height) + y) * i32(params.width) + x, y, x);
}

// The input of a window under a tap; 0 in the padding.
fn input(w: Window, tap: Tap) -> f32 {
    // What is negative is large without its sign.
    let inside = u32(w.y + tap.y) < params.height && u32(w.x + tap.x) < params.width;
    return select(0.0, x[select(0, w.at + tap.at, inside)], inside);
}

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
    let terms = params.group_channels * params.kernel_height * params.kernel_width;
    let row = lane / 8u;
    let column = lane % 8u;

    // The four positions that this thread loads in every step.
    let q = lane % 16u;
    var windows: array<Window, 4>;
    for (var i = 0u; i < 4u; i++) {
        windows[i] = window(min(first_position + q * 4u + i, positions - 1u), group);
    }
    // Where weights of this thread's filters start, four at a time. Filters past the last are computed as the last one,
    // and not stored.
    let weights = group * params.group_filters * terms;
    let last = (params.group_filters - 1u) * terms;
    var acc: array<vec4<f32>, 16>;
    var now = 0u;
    if (lane < DEPTH) {
        taps[lane] = tap_of(lane, terms);
    }
    workgroupBarrier();
    for (var first = 0u; first < terms; first += DEPTH) {
        let t = lane % 16u;
        let from_term = weights + min(first + t, terms - 1u);
        let inside = first + t < terms;
        var f = (first_filter + lane / 16u * 4u) * terms;
        for (var r = lane / 16u; r < 16u; r += 4u) {
            let v = vec4(
                weight[from_term + min(f, last)],
                weight[from_term + min(f + terms, last)],
                weight[from_term + min(f + 2u * terms, last)],
                weight[from_term + min(f + 3u * terms, last)]);
            tile_rows[t * PITCH + r] = select(vec4<f32>(), v, inside);
            f += 16u * terms;
        }
        for (var s = lane / 16u; s < DEPTH; s += 4u) {
            let tap = taps[now + s];
            tile_columns[s * PITCH + q] = vec4(input(windows[0], tap), input(windows[1], tap),
                input(windows[2], tap), input(windows[3], tap));
        }
        now = DEPTH - now;
        if (lane < DEPTH) {
            taps[now + lane] = tap_of(first + DEPTH + lane, terms);
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
