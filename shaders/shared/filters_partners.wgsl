// Which filters are paired when input channels are summed before squaring.
const PARTNERS_OTHERS = 0u;
const PARTNERS_LATER = 1u;
const PARTNERS_FROM_ITSELF = 2u;

// The filter in slot `slot` of filter i's partners, or `filters` if that pair does not count.
fn partner(i: u32, slot: u32) -> u32 {
    var j = slot;
    if (params.adjacent != 0u) {
        // The filter before the first one wraps around, and does not count either.
        j = i - 1u + 2u * slot;
    }
    let skip = (params.which == PARTNERS_OTHERS && j == i) || (params.which == PARTNERS_LATER && j <= i)
        || (params.which == PARTNERS_FROM_ITSELF && j < i);
    return select(j, params.filters, skip || j >= params.filters);
}

// Number of lags of a cross-correlation, which is not symmetric.
fn all_lags() -> u32 {
    return (2u * params.height - 1u) * (2u * params.width - 1u);
}
