// Lags (dy, dx) as numbers dy (2 w - 1) + dx. An autocorrelation is symmetric, so only the lags from
// (0, 0) on in this order, those with a number >= 0, are stored.

// How many those are.
fn half_lags() -> u32 {
    return (2u * params.height - 1u) * (2u * params.width - 1u) / 2u + 1u;
}

fn lag_number(dy: i32, dx: i32) -> i32 {
    return dy * (2 * i32(params.width) - 1) + dx;
}

// The lag of a number that is not negative.
fn lag_of(number: u32) -> vec2<i32> {
    let columns = 2u * params.width - 1u;
    let dy = (number + params.width - 1u) / columns;
    return vec2(i32(dy), i32(number) - i32(dy * columns));
}
