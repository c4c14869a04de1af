// What all kernels of non-negative kernel regression (NNK) share. A pass solves `lists` queries in five
// steps: `nnk_prepare` chooses the candidates of each query and its bandwidth; `nnk_gram` computes the
// kernel matrix of the candidates; `nnk` solves for the weights; `nnk_polytope` and `nnk_pca` count the
// principal components of the neighbours that have weight. Terms: a slot is a place in a candidate list;
// the support is the set of candidates with positive weight, and its elements are the members.
#import workgroup
#import distance
#import knn_lists

struct NnkParams {
    dim: u32,
    k: u32,
    // Lists of this pass among all: the first, how many; lists per group.
    list_first: u32,
    lists: u32,
    list_count: u32,
    // Candidates' vectors. Either rows of a block of points: its number of rows, its first sample; or,
    // if `gathered` is 1, [lists, k].
    point_rows: u32,
    point_sample: u32,
    gathered: u32,
    // Rows of the queries' block, and the first query's row.
    query_rows: u32,
    query_first: u32,
    // 1: candidates at distance 0 are left out, unless all are.
    drop_identical: u32,
    // 1: the bandwidth is given. 0: it is a third of the distance to the last candidate.
    fixed_sigma: u32,
    // Linear systems that one dispatch of the solver may solve per query, or sweeps of `nnk_pca`; 1 in
    // `resumed` lets the solver continue with the queries that an earlier dispatch did not finish, and lets
    // `nnk_pca` accept matrices that have not converged.
    quota: u32,
    resumed: u32,
    // Largest support that the adapter can factorise.
    most_members: u32,
    // Vectors are near where 1 - K lies between both, and equal in the kernel's eyes below: see nnk.wgsl.
    equal: f32,
    near: f32,
    // First workgroup of this dispatch, and the number of workgroups of all dispatches.
    first: u32,
    workgroups: u32,
    // Always 0; see `wide_init`.
    zero: u32,
}

// States of a query.
const SOLVED = 0u;
// The query has no graph (docs/definitions.md#degenerate-queries).
const DEGENERATE = 1u;
// A candidate is not in the block of points.
const MISSING = 2u;
// The solver used its quota.
const UNFINISHED = 3u;
// The support is larger than `most_members`.
const TOO_LARGE = 4u;
// The host solves it, because vectors are near, or because candidates that are equal have to be told apart.
const NEAR = 5u;

// A query's problem: candidates skip .. skip + count of its list, with the kernel exp(-factor d^2).
struct Problem {
    factor: wide,
    skip: u32,
    count: u32,
    state: u32,
    unused: u32,
}

// Flag of an outcome: a neighbour is a copy of another candidate.
const NOT_UNIQUE = 1u;

struct Outcome {
    objective: wide,
    // Largest violation of the optimality conditions.
    residual: f32,
    state: u32,
    // Principal components; 0 until they are counted.
    dimension: u32,
    // Size of the support.
    support: u32,
    // Linear systems solved, for tuning.
    systems: u32,
    // NOT_UNIQUE.
    flags: u32,
}

// Of a group: the factor of a given bandwidth, and the scale (see shared/distance.wgsl).
struct Unit {
    factor: wide,
    scale: f32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> params: NnkParams;
