// Exact non-negative kernel regression: minimises 1/2 x'Kx - b'x for x >= 0 (docs/definitions.md#nnk). A
// workgroup solves one query. Sweeps of projected coordinate descent (nnk_descent) find most of the
// support; an active-set method (nnk_active_set) makes it exact, with an L D L' factorisation on the
// support (nnk_factor) and re-admission of any candidate that has a negative slope. All arithmetic is
// wide. The host defines K, WIDTH, MEMORY, LOCAL and ACROSS, the threads that share a row of the factor.
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

// Kernel values above this count as 1, and those above 1 - 2.5e-8 as too close to 1 for their difference from it to
// be known well.
fn equal_from() -> wide {
#ifdef WIDE_F64
    return wide_sub(wide_from(1.0), wide_from(2.5e-15));
#else
    return wide_sub(wide_from(1.0), wide_from(5e-14));
#endif
}

fn is_unresolved(value: wide) -> bool {
    return wide_less(wide_sub(wide_from(1.0), wide_from(2.5e-8)), value) && wide_less(value, equal_from());
}

// UNRESOLVED and NOT_UNIQUE as far as they hold, the same in all threads.
fn find_flags(m: u32) -> u32 {
    var unresolved = 0.0;
    var not_unique = 0.0;
    for (var j = lane; j < m; j += WIDTH) {
        if (is_unresolved(load(B + j))) {
            unresolved = 1.0;
        }
        let heavy = wide_round(load(X + j)) > 1e-6;
        for (var i = 0u; i < m; i++) {
            let value = kernel_at(i, j);
            if (i != j && is_unresolved(value)) {
                unresolved = 1.0;
            }
            if (i != j && heavy && wide_less(equal_from(), value)) {
                not_unique = 1.0;
            }
        }
    }
    reduce(wide_from(-unresolved), 0u);
    var flags = select(0u, UNRESOLVED, wide_round(least[0]) < 0.0);
    reduce(wide_from(-not_unique), 0u);
    flags |= select(0u, NOT_UNIQUE, wide_round(least[0]) < 0.0);
    sync();
    return flags;
}

// Writes the weights, the support, the objective and the residual.
fn write_outcome(m: u32, local: u32, skip: u32, systems: u32) {
    let flags = find_flags(m);
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

// Computes b, does the sweeps of coordinate descent, and takes the support that they find.
fn start(m: u32, local: u32, problem: Problem) -> Search {
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
        search = start(m, local, problem);
    }
    let state = active_set(&search, m);
    if (state == SOLVED) {
        write_outcome(m, local, problem.skip, search.systems);
        return;
    }
    sync();
    pause(search, m, local);
    write_state(local, state);
}
