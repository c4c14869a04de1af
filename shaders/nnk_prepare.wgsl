// Chooses the candidates of each query, and its bandwidth (docs/definitions.md#nnk).
#import nnk_common

// [groups, list_count, k].
@group(0) @binding(1) var<storage, read> entries: array<Entry>;
// [groups].
@group(0) @binding(2) var<storage, read> units: array<Unit>;
// [lists].
@group(0) @binding(3) var<storage, read_write> problems: array<Problem>;

// A thread per query.
@compute @workgroup_size(64)
fn nnk_prepare(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
               @builtin(local_invocation_index) lane: u32) {
    wide_init(params.zero);
    let local = (workgroup_index(id, count) + params.first) * 64u + lane;
    if (local >= params.lists) {
        return;
    }
    let list = params.list_first + local;
    var result = Problem(wide_zeroed(), 0u, 0u, DEGENERATE, 0u);
    var length = 0u;
    var identical = 0u;
    var missing = false;
    for (var i = 0u; i < params.k; i++) {
        let entry = entries[list * params.k + i];
        if (entry.sample == 0u) {
            break;
        }
        length++;
        identical += select(1u, 0u, wide_less(wide_zeroed(), entry.distance));
        let row = entry.sample - 1u - params.point_sample;
        missing = missing || entry.sample <= params.point_sample || row >= params.point_rows;
    }
    if (length > 0u) {
        if (params.drop_identical != 0u && identical < length) {
            result.skip = identical;
        }
        result.count = length - result.skip;
        result.state = SOLVED;
#ifndef COSINE
        result.factor = units[list / params.list_count].factor;
        if (params.fixed_sigma == 0u) {
            let last = entries[list * params.k + length - 1u].distance;
            if (wide_less(wide_zeroed(), last)) {
                // The bandwidth is s = sqrt(last) / 3, so 1 / (2 s^2) = 4.5 / last.
                result.factor = wide_div(wide_from(4.5), last);
            } else {
                result.state = DEGENERATE;
            }
        }
#endif
    }
    if (missing && params.gathered == 0u) {
        result.state = MISSING;
    }
    problems[local] = result;
}
