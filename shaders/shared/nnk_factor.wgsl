// The factorisation K_SS = L D L' of the kernel matrix on the support, in the solver's working memory.
#import nnk_solver

// Place of an element of the factor.
fn factor_at(row: u32, column: u32) -> u32 {
    return FACTOR + column * (K + 1u) - column * (column - 1u) / 2u + row - column;
}

// A pivot below this cannot be told from 0 after `size` steps.
fn dependence(size: u32) -> wide {
    return wide_from(PIVOT_ERROR * f32(size + 8u));
}

// Factorises K on the first s members. The right-hand side is one more row: b, or K's row of candidate
// `column`. A member whose pivot vanishes depends on those before it and is skipped.
fn factorise(s: u32, column: u32) {
    let y = lane / ACROSS;
    let x = lane % ACROSS;
    for (var r = y; r <= s; r += WIDTH / ACROSS) {
        for (var c = x; c <= min(r, s - 1u); c += ACROSS) {
            var value: wide;
            if (r < s) {
                value = kernel_at(members[c], members[r]);
            } else if (column == NONE) {
                value = load(B + members[c]);
            } else {
                value = kernel_at(column, members[c]);
            }
            store(factor_at(r, c), value);
        }
    }
    sync();
    let tiny = dependence(s);
    for (var c = 0u; c < s; c++) {
        let pivot = load(factor_at(c, c));
        if (wide_less(tiny, pivot)) {
            let inverse = wide_div(wide_from(1.0), pivot);
            for (var r = c + 1u + y; r <= s; r += WIDTH / ACROSS) {
                let l = wide_mul(load(factor_at(r, c)), inverse);
                for (var c2 = c + 1u + x; c2 <= min(r, s - 1u); c2 += ACROSS) {
                    let at = factor_at(r, c2);
                    store(at, wide_sub(load(at), wide_mul(l, load(factor_at(c2, c)))));
                }
            }
        }
        sync();
    }
}

// Whether a member's pivot vanished.
fn is_dependent(member: u32, s: u32) -> bool {
    return !wide_less(dependence(s), load(factor_at(member, member)));
}

// Writes the solution z of D L' z = right-hand row to GOAL; 0 for dependent members.
fn back_substitute(s: u32) {
    for (var i = s; i > 0u; i--) {
        let c = i - 1u;
        if (lane == c % WIDTH) {
            var value = wide_zeroed();
            if (!is_dependent(c, s)) {
                value = wide_div(load(factor_at(s, c)), load(factor_at(c, c)));
            }
            store(GOAL + c, value);
        }
        sync();
        let z = load(GOAL + c);
        for (var a = lane; a < c; a += WIDTH) {
            let at = factor_at(s, a);
            store(at, wide_sub(load(at), wide_mul(load(factor_at(c, a)), z)));
        }
    }
    sync();
}

// Removes members with x = 0 from the support and appends candidate `entering`, unless it is NONE.
fn compact(s: u32, entering: u32) {
    sync();
    if (lane == 0u) {
        var count = 0u;
        for (var a = 0u; a < s; a++) {
            let j = members[a];
            if (wide_less(wide_zeroed(), load(X + j))) {
                members[count] = j;
                count++;
            } else {
                marks[j] &= REFUSED;
            }
        }
        if (entering != NONE) {
            members[count] = entering;
            marks[entering] |= IN_SUPPORT;
            count++;
        }
        member_count = count;
    }
    sync();
}
