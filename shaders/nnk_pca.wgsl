// Counts the principal components that hold 95 % of the squared norm of a query's NNK polytope about the
// query (docs/definitions.md#principal-components). The eigenvalues of the polytope's Gram matrix come
// from cyclic Jacobi rotations, in rounds of disjoint pairs that are rotated at the same time.
#import nnk_memory

// [lists, k, k]: the Gram matrices of `nnk_polytope`. Where workgroup memory is too small they are
// diagonalised in place.
@group(0) @binding(1) var<storage, read_write> spill: array<wide>;
// [lists].
@group(0) @binding(2) var<storage, read_write> outcomes: array<Outcome>;

// SHARE is 0.95 less a margin, so that rounding errors do not count one component more where the share
// is held exactly. CONVERGED bounds the sum of squares beside the diagonal, relative to the squared
// trace.
#ifdef WIDE_F64
const SHARE = 0.94999999999905lf;
const CONVERGED = 1e-26;
#else
const SHARE = vec2<f32>(0.949999988, 1.19114292e-8);
const CONVERGED = 1e-22;
#endif

// The rotations of a round.
var<workgroup> sines: array<wide, K>;
var<workgroup> cosines: array<wide, K>;
var<workgroup> partial_sums: array<wide, WIDTH>;

// Sum over all threads.
fn total(value: wide) -> wide {
    sync();
    partial_sums[lane] = value;
    sync();
    for (var part = WIDTH / 2u; part > 0u; part /= 2u) {
        if (lane < part) {
            partial_sums[lane] = wide_add(partial_sums[lane], partial_sums[lane + part]);
        }
        sync();
    }
    return partial_sums[0];
}

// Sum of squares beside the diagonal.
fn beside(s: u32) -> wide {
    var sum = wide_zeroed();
    for (var pair = lane; pair < s * s; pair += WIDTH) {
        if (pair / s != pair % s) {
            let v = load(pair);
            sum = wide_add(sum, wide_mul(v, v));
        }
    }
    return total(sum);
}

// Pair `pair` of round `round` in a round-robin tournament of n players (n even), larger number first.
// In n - 1 rounds every two players meet once.
fn opponents(n: u32, round: u32, pair: u32) -> vec2<u32> {
    var a = (round + pair) % (n - 1u);
    let b = (round + n - 1u - pair) % (n - 1u);
    if (pair == 0u) {
        a = n - 1u;
    }
    return vec2(max(a, b), min(a, b));
}

// The rotation that makes the element of rows at.x and at.y zero; none for a player beyond the matrix.
fn find_rotation(s: u32, at: vec2<u32>, pair: u32) {
    var sine = wide_zeroed();
    var cosine = wide_from(1.0);
    if (at.x < s) {
        let beside = load(at.x * s + at.y);
        if (wide_round(beside) != 0.0) {
            let one = wide_from(1.0);
            let difference = wide_sub(load(at.x * s + at.x), load(at.y * s + at.y));
            let ratio = wide_div(difference, wide_add(beside, beside));
            var size = ratio;
            if (wide_less(size, wide_zeroed())) {
                size = -size;
            }
            // Above this the tangent, about 1 / (2 ratio), is negligible.
            if (wide_round(size) < 1e15) {
                let root = wide_sqrt(wide_add(one, wide_mul(ratio, ratio)));
                var tangent = wide_div(one, wide_add(size, root));
                if (wide_less(ratio, wide_zeroed())) {
                    tangent = -tangent;
                }
                cosine = wide_div(one, wide_sqrt(wide_add(one, wide_mul(tangent, tangent))));
                sine = wide_mul(tangent, cosine);
            }
        }
    }
    sines[pair] = sine;
    cosines[pair] = cosine;
}

// Rotates the rows (along = s, across = 1) or the columns (along = 1, across = s) of all pairs of a
// round.
fn rotate(s: u32, n: u32, round: u32, along: u32, across: u32) {
    for (var w = lane; w < n / 2u * s; w += WIDTH) {
        let pair = w / s;
        let other = w % s * across;
        let at = opponents(n, round, pair);
        if (at.x < s) {
            let x = load(at.x * along + other);
            let y = load(at.y * along + other);
            let sine = sines[pair];
            let cosine = cosines[pair];
            store(at.x * along + other, wide_add(wide_mul(cosine, x), wide_mul(sine, y)));
            store(at.y * along + other, wide_sub(wide_mul(cosine, y), wide_mul(sine, x)));
        }
    }
    sync();
}

// Does up to `quota` sweeps; returns whether the matrix is diagonal enough.
fn diagonalise(s: u32, trace: wide) -> bool {
    let n = s + s % 2u;
    let enough = wide_mul(wide_mul(trace, trace), wide_from(CONVERGED));
    for (var sweep = 0u; sweep < params.quota; sweep++) {
        if (agreed_bool(!wide_less(enough, beside(s)))) {
            return true;
        }
        for (var round = 0u; round + 1u < n; round++) {
            sync();
            for (var pair = lane; pair < n / 2u; pair += WIDTH) {
                find_rotation(s, opponents(n, round, pair), pair);
            }
            sync();
            rotate(s, n, round, s, 1u);
            rotate(s, n, round, 1u, s);
        }
    }
    return agreed_bool(!wide_less(enough, beside(s)));
}

// How many of the largest diagonal entries hold the share together. Destroys the diagonal.
fn count_components(s: u32, trace: wide) -> u32 {
    let enough = wide_mul(trace, SHARE);
    var held = wide_zeroed();
    for (var found = 0u; found < s; found++) {
        var best = 0u;
        for (var i = 1u; i < s; i++) {
            if (wide_less(load(best * s + best), load(i * s + i))) {
                best = i;
            }
        }
        held = wide_add(held, load(best * s + best));
        if (!wide_less(held, enough)) {
            return found + 1u;
        }
        store(best * s + best, -trace);
    }
    return s;
}

// A workgroup per query.
@compute @workgroup_size(WIDTH)
fn nnk_pca(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
           @builtin(local_invocation_index) index: u32) {
    wide_init(params.zero);
    let local = workgroup_index(id, count) + params.first;
    if (local >= params.workgroups) {
        return;
    }
    lane = index;
    base = local * params.k * params.k;
    let is_counted = outcomes[local].state != SOLVED || outcomes[local].dimension > 0u;
    let s = agreed(select(outcomes[local].support, 0u, is_counted));
    if (s == 0u) {
        return;
    }
#ifdef LOCAL
    for (var i = lane; i < s * s; i += WIDTH) {
        memory[i] = spill[base + i];
    }
    sync();
#endif
    var own = wide_zeroed();
    for (var i = lane; i < s; i += WIDTH) {
        own = wide_add(own, load(i * s + i));
    }
    let trace = total(own);
    if (agreed_bool(!wide_less(wide_zeroed(), trace))) {
        return;
    }
    // The last dispatch accepts the matrix as it is.
    if (!diagonalise(s, trace) && params.resumed == 0u) {
        return;
    }
    sync();
    if (lane == 0u) {
        outcomes[local].dimension = count_components(s, trace);
    }
}
