// Exact non-negative kernel regression: minimises 1/2 x'Kx - b'x for x >= 0 (docs/definitions.md#nnk). A
// workgroup solves one query. Sweeps of projected coordinate descent (nnk_descent) find most of the
// support; an active-set method (nnk_active_set) makes it exact, with an L D L' factorisation on the
// support (nnk_factor) and re-admission of any candidate that has a negative slope. All arithmetic is
// wide. Queries with vectors that it does not resolve are left to the host. The host defines K, WIDTH,
// MEMORY, LOCAL and ACROSS, the threads that share a row of the factor.
#import nnk_solver
#import nnk_descent
#import nnk_active_set
#import nnk_pause

// [groups, list_count, k].
@group(0) @binding(1) var<storage, read> entries: array<Entry>;
// [lists].
@group(0) @binding(2) var<storage, read> problems: array<Problem>;
// [lists, k, k].
@group(0) @binding(3) var<storage, read> kernels: array<wide>;
// [lists, WORK]: working memory, without LOCAL.
@group(0) @binding(4) var<storage, read_write> spill: array<wide>;
// [lists, k].
@group(0) @binding(5) var<storage, read_write> weights: array<f32>;
// [lists].
@group(0) @binding(6) var<storage, read_write> outcomes: array<Outcome>;
// [lists, k]: slots of the support.
@group(0) @binding(7) var<storage, read_write> supports: array<u32>;
// [lists, 2 K + 8]: see shared/nnk_pause.wgsl.
@group(0) @binding(8) var<storage, read_write> paused: array<u32>;

// `settle`: the host has to decide.
const UNDECIDED = 0xffffffffu;

// 1 - K of two candidates.
fn deficit(i: u32, j: u32) -> wide {
    return wide_sub(wide_from(1.0), kernel_at(i, j));
}

// Whether some vectors are so close that wide arithmetic does not resolve the kernel between them. The
// same in all threads.
fn has_near_vectors(m: u32) -> bool {
    let equal = wide_from(params.equal);
    let near = wide_from(params.near);
    var found = 0.0;
    for (var j = lane; j < m; j += WIDTH) {
        // b comes from differences, and is exactly 1 where a candidate counts as equal to the query.
        let own = wide_sub(wide_from(1.0), load(B + j));
        if (wide_less(wide_zeroed(), own) && wide_less(own, near)) {
            found = 1.0;
        }
        for (var i = 0u; i < m; i++) {
            let value = deficit(i, j);
            if (i != j && wide_less(value, near) && !wide_less(value, equal)) {
                found = 1.0;
            }
        }
    }
    reduce(wide_from(-found), 0u);
    return agreed_bool(wide_round(least[0]) < 0.0);
}

// Candidates with the kernel value 1 between them can exchange weight without any effect. Copies have
// their weight moved to the first of them. Returns NOT_UNIQUE if that is a neighbour; or UNDECIDED if
// candidates that need not be copies are equal in the kernel's eyes, because the weight belongs to the
// longest of them. The same in all threads. `first` is the entry of candidate 0.
fn settle(m: u32, first: u32) -> u32 {
    sync();
    let equal = wide_from(params.equal);
    var undecided = 0.0;
    var not_unique = 0.0;
    for (var j = lane; j < m; j += WIDTH) {
        var weight = load(X + j);
        let has_weight = wide_less(wide_zeroed(), weight);
#ifdef COSINE
        for (var i = 0u; has_weight && i < m; i++) {
            if (i != j && wide_less(deficit(i, j), equal)) {
                undecided = 1.0;
            }
        }
#else
        let distance = entries[first + j].distance;
        var is_copy = false;
        var is_first = true;
        for (var i = 0u; i < m; i++) {
            if (i == j || !wide_less(deficit(i, j), equal)) {
                continue;
            }
            let other = entries[first + i].distance;
            if (wide_less(distance, other) || wide_less(other, distance)) {
                // So close beside the bandwidth that the kernel rounds to 1.
                undecided = select(undecided, 1.0, has_weight);
            } else {
                is_copy = true;
                is_first = is_first && j < i;
                weight = wide_add(weight, load(X + i));
            }
        }
        if (is_first && is_copy && wide_round(weight) > 1e-6) {
            not_unique = 1.0;
        }
        if (!is_first) {
            weight = wide_zeroed();
        }
#endif
        store(GOAL + j, weight);
    }
    reduce(wide_from(-undecided), 0u);
    if (agreed_bool(wide_round(least[0]) < 0.0)) {
        return UNDECIDED;
    }
    reduce(wide_from(-not_unique), 0u);
    for (var j = lane; j < m; j += WIDTH) {
        store(X + j, load(GOAL + j));
    }
    return select(0u, NOT_UNIQUE, agreed_bool(wide_round(least[0]) < 0.0));
}

// Writes the weights, the support, the objective and the residual.
fn write_outcome(m: u32, local: u32, skip: u32, systems: u32, flags: u32) {
    var objective = wide_zeroed();
    var residual = wide_zeroed();
    for (var j = lane; j < m; j += WIDTH) {
        let x = load(X + j);
        let slope = load(SLOPE + j);
        let product = wide_mul(x, wide_sub(slope, load(B + j)));
        objective = wide_add(objective, wide_mul(product, wide_from(0.5)));
        var violation = -slope;
        if (wide_less(wide_zeroed(), x) && wide_less(violation, slope)) {
            violation = slope;
        }
        if (wide_less(residual, violation)) {
            residual = violation;
        }
        weights[local * params.k + skip + j] = wide_round(x);
    }
    reduce(-residual, 0u);
    residual = -least[0];
    sync();
    least[lane] = objective;
    sync();
    for (var part = WIDTH / 2u; part > 0u; part /= 2u) {
        if (lane < part) {
            least[lane] = wide_add(least[lane], least[lane + part]);
        }
        sync();
    }
    if (lane == 0u) {
        var size = 0u;
        for (var j = 0u; j < m; j++) {
            if (wide_round(load(X + j)) > 1e-6) {
                supports[local * params.k + size] = skip + j;
                size++;
            }
        }
        outcomes[local] = Outcome(least[0], wide_round(residual), SOLVED, 0u, size, systems, flags);
    }
}

// Writes a state without a solution.
fn write_state(local: u32, state: u32) {
    if (lane == 0u) {
        outcomes[local] = Outcome(wide_zeroed(), 0.0, state, 0u, 0u, 0u, 0u);
    }
}

// Computes b, and makes the working memory ready for x = 0.
fn set_up(m: u32, local: u32, problem: Problem) {
    for (var j = lane; j < m; j += WIDTH) {
        let distance = entries[(params.list_first + local) * params.k + problem.skip + j].distance;
#ifdef COSINE
        // 1/2 + 1/2 cos, with 2 - 2 cos = distance.
        let b = wide_sub(wide_from(1.0), wide_mul(wide_from(0.25), distance));
#else
        let b = gaussian(distance, problem.factor);
#endif
        store(B + j, b);
        store(X + j, wide_zeroed());
        store(SLOPE + j, -b);
        marks[j] = 0u;
    }
    sync();
}

// Does the sweeps of coordinate descent, and takes the support that they find.
fn start(m: u32) -> Search {
    descend(m);
    if (lane == 0u) {
        let negligible = wide_mul(wide_from(1e-12), load(B));
        var s = 0u;
        for (var j = 0u; j < m; j++) {
            if (wide_less(negligible, load(X + j))) {
                members[s] = j;
                marks[j] = IN_SUPPORT;
                s++;
            } else {
                store(X + j, wide_zeroed());
            }
        }
        member_count = s;
    }
    sync();
    return Search(NONE, 0u, 1u, 0u);
}

// A workgroup per query.
@compute @workgroup_size(WIDTH)
fn nnk(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
       @builtin(local_invocation_index) index: u32) {
    wide_init(params.zero);
    let local = workgroup_index(id, count) + params.first;
    if (local >= params.workgroups) {
        return;
    }
    lane = index;
    base = local * WORK;
    kernel_base = local * params.k * params.k;
    let problem = problems[local];
    let m = problem.count;
    var search: Search;
    if (params.resumed != 0u) {
        if (agreed(outcomes[local].state) != UNFINISHED) {
            return;
        }
        search = resume(m, local);
    } else {
        for (var j = lane; j < params.k; j += WIDTH) {
            weights[local * params.k + j] = 0.0;
        }
        if (problem.state != SOLVED) {
            write_state(local, problem.state);
            return;
        }
        set_up(m, local, problem);
        if (has_near_vectors(m)) {
            write_state(local, NEAR);
            return;
        }
        search = start(m);
    }
    let state = active_set(&search, m);
    if (state == SOLVED) {
        let flags = settle(m, (params.list_first + local) * params.k + problem.skip);
        if (flags == UNDECIDED) {
            write_state(local, NEAR);
        } else {
            write_outcome(m, local, problem.skip, search.systems, flags);
        }
        return;
    }
    sync();
    pause(search, m, local);
    write_state(local, state);
}
