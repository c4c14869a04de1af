// What the kernels of non-negative kernel regression share.
#import workgroup
#import distance

struct NnkParams {
    dim: u32,
    k: u32,
    // Candidate lists of this pass among all, and per group.
    list_first: u32,
    lists: u32,
    list_count: u32,
    // Vectors: rows of the points' block and its first sample, or gathered [lists, k].
    point_rows: u32,
    point_sample: u32,
    gathered: u32,
    // Rows of the queries' block, and the first query's.
    query_rows: u32,
    query_first: u32,
    // Candidates at distance 0 are not used unless all are.
    drop_identical: u32,
    // Gaussian: the bandwidth is given, not the distance to the last candidate / 3.
    fixed_sigma: u32,
    first: u32,
    workgroups: u32,
    zero: u32,
}

struct Entry {
    distance: wide,
    sample: u32,
    unused: u32,
}

const SOLVED = 0u;
const DEGENERATE = 1u;
const MISSING = 2u;

// A query's problem: candidates skip .. skip + count of its list; exp(-factor d^2).
struct Problem {
    factor: wide,
    skip: u32,
    count: u32,
    state: u32,
    unused: u32,
}

struct Outcome {
    objective: wide,
    residual: f32,
    state: u32,
    dimension: u32,
    // Linear systems solved, for tuning.
    systems: u32,
}

@group(0) @binding(0) var<uniform> params: NnkParams;
