// What the kernels of Convolutional Similarity share. Filters k [M, C, h, w].
#import workgroup
#import wide

struct FilterParams {
    filters: u32,
    channels: u32,
    height: u32,
    width: u32,
    // Input channels of this pass.
    channel_first: u32,
    channel_count: u32,
    // Filters meet the next one and the one before only.
    adjacent: u32,
    // The gradient is wanted as well.
    gradient: u32,
    // Summed: filters of this pass, and partners of each (all filters, or two).
    row_first: u32,
    row_count: u32,
    partners: u32,
    // Summed: which partners j of filter i count: all but i (0), j > i (1), j >= i (2).
    which: u32,
    first: u32,
    // Threads altogether.
    len: u32,
    zero: u32,
}

@group(0) @binding(0) var<uniform> params: FilterParams;

// Lags from (0, 0) on, row by row: `number` is dy (2 w - 1) + dx, negative for the others.
fn half_lags() -> u32 {
    return (2u * params.height - 1u) * (2u * params.width - 1u) / 2u + 1u;
}

fn lag_number(dy: i32, dx: i32) -> i32 {
    return dy * (2 * i32(params.width) - 1) + dx;
}

// The lag of a number that is not negative, as (dy, dx).
fn lag_of(number: u32) -> vec2<i32> {
    let columns = 2u * params.width - 1u;
    let dy = (number + params.width - 1u) / columns;
    return vec2(i32(dy), i32(number) - i32(dy * columns));
}
