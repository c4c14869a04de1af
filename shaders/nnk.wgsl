// Exact non-negative kernel regression: min 1/2 x'Kx - b'x, x >= 0 (docs/definitions.md#nnk). A workgroup
// per query: sweeps of projected coordinate descent find most of the support, then Lawson and Hanson's
// active-set method makes it exact: Cholesky (as L D L') on the support, re-admitting any index with
// negative slope. All in wide arithmetic.
#import nnk_memory
#import nnk_factor

@group(0) @binding(1) var<storage, read> entries: array<Entry>;
@group(0) @binding(2) var<storage, read> problems: array<Problem>;
@group(0) @binding(3) var<storage, read> kernels: array<wide>;
// [lists of this pass, WORK], for problems too large for workgroup memory.
@group(0) @binding(4) var<storage, read_write> spill: array<wide>;
// [lists of this pass, k].
@group(0) @binding(5) var<storage, read_write> weights: array<f32>;
@group(0) @binding(6) var<storage, read_write> outcomes: array<Outcome>;
// [lists of this pass, k]: slots of the support.
@group(0) @binding(7) var<storage, read_write> supports: array<u32>;
// [lists of this pass, 2 K + 4]: what a query needs to be gone on with.
@group(0) @binding(8) var<storage, read_write> paused: array<u32>;

// Places in the working memory of K candidates: b, x, K x - b, the solution on the support, and the
// factor's columns, each from its diagonal down to the right-hand side as the last row.
const B = 0u;
const X = K;
const SLOPE = 2u * K;
const GOAL = 3u * K;
const FACTOR = 4u * K;
const WORK = 4u * K + K * (K + 3u) / 2u;

const SWEEPS = 4u;
const NONE = 0xffffffffu;

#ifdef WIDE_F64
// Rounding errors, relative: of a slope, of a pivot per step of the factorisation.
const SLOPE_ERROR = 1e-14;
const PIVOT_ERROR = 2e-15;
#else
const SLOPE_ERROR = 1e-12;
const PIVOT_ERROR = 1e-13;
#endif

var<private> kernel_base: u32;

var<workgroup> members: array<u32, K>;
// Per candidate: 1 in the support, 2 refused since the objective last fell.
var<workgroup> marks: array<u32, K>;
var<workgroup> member_count: u32;
var<workgroup> published: array<wide, 4>;
var<workgroup> least: array<wide, WIDTH>;
var<workgroup> least_at: array<u32, WIDTH>;

fn kernel_at(i: u32, j: u32) -> wide {
    return kernels[kernel_base + i * params.k + j];
}

// Smallest of all threads' values, with its index: in least[0], least_at[0].
fn reduce(value: wide, at: u32) {
    sync();
    least[lane] = value;
    least_at[lane] = at;
    sync();
    for (var part = WIDTH / 2u; part > 0u; part /= 2u) {
        if (lane < part && wide_less(least[lane + part], least[lane])) {
            least[lane] = least[lane + part];
            least_at[lane] = least_at[lane + part];
        }
        sync();
    }
}

// Sweeps of projected coordinate descent. The next coordinate's slope and value are published by
// their owner, so that one barrier a step is enough.
fn descend(m: u32) {
    if (lane == 0u) {
        published[0] = load(SLOPE);
        published[1] = load(X);
    }
    sync();
    var i = 0u;
    for (var step = 0u; step < SWEEPS * m; step++) {
        let slope = published[step % 2u * 2u];
        let x = published[step % 2u * 2u + 1u];
        var shift = -slope;
        if (wide_less(shift, -x)) {
            shift = -x;
        }
        if (wide_round(shift) != 0.0) {
            for (var j = lane; j < m; j += WIDTH) {
                store(SLOPE + j, wide_add(load(SLOPE + j), wide_mul(shift, kernel_at(i, j))));
            }
            if (lane == i % WIDTH) {
                store(X + i, wide_add(x, shift));
            }
        }
        i = select(i + 1u, 0u, i + 1u == m);
        if (lane == i % WIDTH) {
            published[(step + 1u) % 2u * 2u] = load(SLOPE + i);
            published[(step + 1u) % 2u * 2u + 1u] = load(X + i);
        }
        sync();
    }
}

// Where a move of x towards `goal` (not positive) reaches 0, as a share of the way.
fn limit(x: wide, goal: wide) -> wide {
    return wide_div(x, wide_sub(x, goal));
}

// Moves x towards the solution on the support, as far as it stays non-negative (`bold`: all the way,
// what would be negative is set to 0). Returns whether the solution was reached.
fn approach(s: u32, bold: bool) -> bool {
    var step = wide_from(2.0);
    for (var a = lane; a < s; a += WIDTH) {
        let goal = load(GOAL + a);
        let x = load(X + members[a]);
        if (!wide_less(wide_zeroed(), goal)) {
            var to_zero = wide_zeroed();
            if (wide_less(goal, x)) {
                to_zero = limit(x, goal);
            }
            if (wide_less(to_zero, step)) {
                step = to_zero;
            }
        }
    }
    reduce(step, 0u);
    step = least[0];
    let reached = wide_round(step) > 1.5;
    for (var a = lane; a < s; a += WIDTH) {
        let j = members[a];
        let goal = load(GOAL + a);
        let x = load(X + j);
        var next = goal;
        if (!wide_less(wide_zeroed(), goal)) {
            next = wide_zeroed();
        }
        if (!reached && !bold) {
            next = wide_add(x, wide_mul(step, wide_sub(goal, x)));
            let stops = !wide_less(goal, x) || !wide_less(step, limit(x, goal));
            if (!wide_less(wide_zeroed(), goal) && stops) {
                next = wide_zeroed();
            }
            if (wide_less(next, wide_zeroed())) {
                next = wide_zeroed();
            }
        }
        store(X + j, next);
    }
    return reached;
}

// K x - b, and the most negative slope outside the support: in least[0], least_at[0].
fn find_slopes(m: u32) {
    let s = member_count;
    var best = wide_zeroed();
    var at = NONE;
    for (var j = lane; j < m; j += WIDTH) {
        var sum = -load(B + j);
        for (var a = 0u; a < s; a++) {
            let i = members[a];
            sum = wide_add(sum, wide_mul(kernel_at(i, j), load(X + i)));
        }
        store(SLOPE + j, sum);
        if (marks[j] == 0u && wide_less(sum, best)) {
            best = sum;
            at = j;
        }
    }
    reduce(best, at);
}

// The index `j` about to enter depends on the support: along (-K_SS^-1 K_Sj, 1) the curvature is next to
// none, so go on until a member reaches 0, and exchange it for j. Returns whether that was of use.
fn exchange(s: u32, j: u32) -> bool {
    factorise(s, j);
    back_substitute(s);
    var step = wide_largest();
    for (var a = lane; a < s; a += WIDTH) {
        let z = load(GOAL + a);
        if (wide_less(wide_from(1e-6), z)) {
            let reach = wide_div(load(X + members[a]), z);
            if (wide_less(reach, step)) {
                step = reach;
            }
        }
    }
    reduce(step, 0u);
    step = least[0];
    if (wide_round(step) > 1e30
        || wide_less(-load(SLOPE + j), wide_mul(step, dependence(s)))) {
        return false;
    }
    for (var a = lane; a < s; a += WIDTH) {
        let i = members[a];
        let z = load(GOAL + a);
        let x = load(X + i);
        var next = wide_sub(x, wide_mul(step, z));
        let leaves = wide_less(wide_from(1e-6), z) && !wide_less(step, wide_div(x, z));
        if (leaves || wide_less(next, wide_zeroed())) {
            next = wide_zeroed();
        }
        store(X + i, next);
    }
    if (lane == 0u) {
        store(X + j, step);
    }
    compact(s, j);
    return true;
}

fn allow_refused(m: u32) {
    for (var j = lane; j < m; j += WIDTH) {
        marks[j] &= 1u;
    }
    sync();
}

// Where the search for the support stands.
struct Search {
    // The index that entered last, and whether its system is still to be solved.
    entered: u32,
    fresh: u32,
    // Members that would become negative are dropped all at once, until none would.
    bold: u32,
    systems: u32,
}

// Solves the system of the index that entered last, or of the support at the start. Returns whether x
// is at the minimum over its support.
fn solve_support(search: ptr<function, Search>) -> bool {
    let s = member_count;
    if (s == 0u) {
        return true;
    }
    factorise(s, NONE);
    (*search).systems++;
    let dependent = (*search).fresh != 0u && is_dependent(s - 1u, s);
    (*search).fresh = 0u;
    if (!dependent) {
        back_substitute(s);
        let reached = approach(s, (*search).bold != 0u);
        compact(s, NONE);
        return reached;
    }
    let entered = (*search).entered;
    compact(s - 1u, NONE);
    (*search).systems++;
    if (exchange(s - 1u, entered)) {
        (*search).entered = NONE;
        return false;
    }
    if (lane == 0u) {
        marks[entered] = 2u;
    }
    sync();
    return true;
}

// Admits the index with the most negative slope; returns whether there was one.
fn admit(search: ptr<function, Search>, m: u32) -> bool {
    let entered = (*search).entered;
    if (entered != NONE) {
        if (wide_less(wide_zeroed(), load(X + entered))) {
            // The objective fell: what was refused before may be of use now.
            allow_refused(m);
        } else {
            if (lane == 0u) {
                marks[entered] |= 2u;
            }
            sync();
        }
    }
    find_slopes(m);
    let steepest = least_at[0];
    let slope = least[0];
    let error = wide_mul(wide_from(SLOPE_ERROR), load(B));
    if (steepest == NONE || !wide_less(slope, -error)) {
        return false;
    }
    compact(member_count, steepest);
    (*search).entered = steepest;
    (*search).fresh = 1u;
    return true;
}

// From a feasible x towards the optimum; returns SOLVED, or why not.
fn active_set(search: ptr<function, Search>, m: u32) -> u32 {
    let stop = (*search).systems + params.quota;
    while ((*search).systems < stop) {
        if (member_count > params.most_members) {
            return TOO_LARGE;
        }
        // Far above what exact arithmetic needs; the residual tells if it was ever not enough.
        if ((*search).systems >= 8u * m + 64u) {
            find_slopes(m);
            return SOLVED;
        }
        if (solve_support(search)) {
            (*search).bold = 0u;
            if (!admit(search, m)) {
                return SOLVED;
            }
        }
    }
    return UNFINISHED;
}

fn pause(search: Search, m: u32, local: u32) {
    let to = local * (2u * K + 8u);
    for (var j = lane; j < m; j += WIDTH) {
        paused[to + j] = members[j];
        paused[to + K + j] = marks[j];
    }
    if (lane == 0u) {
        paused[to + 2u * K] = member_count;
        paused[to + 2u * K + 1u] = search.entered;
        paused[to + 2u * K + 2u] = search.fresh;
        paused[to + 2u * K + 3u] = search.bold;
        paused[to + 2u * K + 4u] = search.systems;
    }
}

fn resume(m: u32, local: u32) -> Search {
    let at = local * (2u * K + 8u);
    for (var j = lane; j < m; j += WIDTH) {
        members[j] = paused[at + j];
        marks[j] = paused[at + K + j];
    }
    if (lane == 0u) {
        member_count = paused[at + 2u * K];
    }
    sync();
    return Search(paused[at + 2u * K + 1u], paused[at + 2u * K + 2u],
        paused[at + 2u * K + 3u], paused[at + 2u * K + 4u]);
}

fn write_outcome(m: u32, local: u32, skip: u32, systems: u32) {
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
        outcomes[local] = Outcome(least[0], wide_round(residual), SOLVED, 0u, size, systems, 0u);
    }
}

fn write_state(local: u32, state: u32) {
    if (lane == 0u) {
        outcomes[local] = Outcome(wide_zeroed(), 0.0, state, 0u, 0u, 0u, 0u);
    }
}

// b, x = 0, sweeps of coordinate descent, and the support they find.
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
                marks[j] = 1u;
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
        if (outcomes[local].state != UNFINISHED) {
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
