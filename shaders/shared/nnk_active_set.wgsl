// The active-set method of Lawson and Hanson, which makes the support and its weights exact.
#import nnk_factor

// State of the search for the support.
struct Search {
    // The candidate that entered last, or NONE; 1 in `fresh` until its system is solved.
    entered: u32,
    fresh: u32,
    // 1: members that would become negative are all dropped at once, until none would.
    bold: u32,
    // Linear systems solved.
    systems: u32,
}

// The fraction of the step from x to `goal` (not positive) at which x becomes 0.
fn limit(x: wide, goal: wide) -> wide {
    return wide_div(x, wide_sub(x, goal));
}

// Moves x towards the minimum on the support as far as it stays non-negative; `bold`: all the way, with
// negative values set to 0. Returns whether the minimum was reached.
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
    let reached = agreed_bool(wide_round(step) > 1.5);
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

// Updates the slopes K x - b. Leaves the most negative slope outside the support and its index in
// least[0] and least_at[0].
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

// Called if candidate j, about to enter, depends on the support: along the direction (-K_SS^-1 K_Sj, 1)
// the curvature vanishes. Moves in that direction until a member reaches 0, and puts j in its place.
// Returns whether the objective fell.
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
    let is_endless = wide_round(step) > 1e30;
    if (agreed_bool(is_endless || wide_less(-load(SLOPE + j), wide_mul(step, dependence(s))))) {
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

// Solves the system on the support of s members. Returns whether x is at the minimum on its support.
fn solve_support(search: ptr<function, Search>, s: u32) -> bool {
    if (s == 0u) {
        return true;
    }
    factorise(s, NONE);
    (*search).systems++;
    var dependent = false;
    if ((*search).fresh != 0u) {
        dependent = agreed_bool(is_dependent(s - 1u, s));
    }
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
        marks[entered] = REFUSED;
    }
    sync();
    return true;
}

// Admits the candidate with the most negative slope; returns whether there was one.
fn admit(search: ptr<function, Search>, m: u32) -> bool {
    let entered = (*search).entered;
    if (entered != NONE) {
        if (wide_less(wide_zeroed(), load(X + entered))) {
            // The objective fell, so refused candidates may be useful now.
            for (var j = lane; j < m; j += WIDTH) {
                marks[j] &= IN_SUPPORT;
            }
        } else if (lane == 0u) {
            marks[entered] |= REFUSED;
        }
        sync();
    }
    find_slopes(m);
    let error = wide_mul(wide_from(SLOPE_ERROR), load(B));
    let steepest = agreed(select(NONE, least_at[0], wide_less(least[0], -error)));
    if (steepest == NONE) {
        return false;
    }
    compact(member_count, steepest);
    (*search).entered = steepest;
    (*search).fresh = 1u;
    return true;
}

// Runs from a feasible x to the optimum. Returns SOLVED, or why it stopped before.
fn active_set(search: ptr<function, Search>, m: u32) -> u32 {
    let stop = (*search).systems + params.quota;
    while ((*search).systems < stop) {
        let s = workgroupUniformLoad(&member_count);
        if (s > params.most_members) {
            return TOO_LARGE;
        }
        // Far more than exact arithmetic needs. The residual shows if it was not enough.
        if ((*search).systems >= 8u * m + 64u) {
            find_slopes(m);
            return SOLVED;
        }
        if (solve_support(search, s)) {
            (*search).bold = 0u;
            if (!admit(search, m)) {
                return SOLVED;
            }
        }
    }
    return UNFINISHED;
}
