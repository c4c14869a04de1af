// What the kernels of non-negative kernel regression share.
#import workgroup
#import distance
#import lower

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
    // Systems that one dispatch of the solver may solve per query, and whether it goes on with those
    // that an earlier one left.
    quota: u32,
    resumed: u32,
    // Supports that the adapter can factorise.
    most_members: u32,
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
const UNFINISHED = 3u;
const TOO_LARGE = 4u;

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
    // Size of the support.
    support: u32,
    // Linear systems solved, for tuning.
    systems: u32,
    unused: u32,
}

// A group's scale, and the factor of a given bandwidth.
struct Unit {
    factor: wide,
    scale: f32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> params: NnkParams;

const NOWHERE = 0xffffffffu;

// Which of the vectors belongs to entry `at` (of sample `sample`, plus 1) of a list.
fn vector_of(at: u32, list: u32, sample: u32) -> u32 {
    if (params.gathered != 0u) {
        return at;
    }
    return list / params.list_count * params.point_rows + sample - 1u - params.point_sample;
}
