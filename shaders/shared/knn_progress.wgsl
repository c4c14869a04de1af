// State of a query's search between kernels.
struct Progress {
    // The k-th distance so far in f32, rounded up. 0: the list has fewer than k entries. Negative: the
    // k-th distance is 0, so that no point can enter the list.
    threshold: f32,
    // Points that the filter noted for this query. With RETRY_BIT: the filter on cooperative matrices
    // noted more than there is room for, and the f32 filter has to repeat this query's tile.
    noted: atomic<u32>,
    // Index of the query among all samples: no candidate of its own.
    own: u32,
}

const RETRY_BIT = 0x80000000u;
