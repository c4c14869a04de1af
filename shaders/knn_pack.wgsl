// Rounds rows to f16 for the filter on cooperative matrices, and measures the norm of the rounding
// error.
enable f16;
#import knn_pack_params

// [group_count, row_count, pitch].
@group(0) @binding(4) var<storage, read_write> halves: array<vec4<f16>>;
// [group_count, row_count]: squared norm of the row in its frame, or NEVER or ALWAYS; then, each rounded
// up, its norm, the norm of the rounding error, and the norm of the rounded row.
@group(0) @binding(5) var<storage, read_write> bounds: array<vec4<f32>>;

var<workgroup> largest: array<f32, 64>;
var<workgroup> lost: array<f32, 64>;

// Rounds to the 11 significant bits of an f16 by integer operations, so that the result does not depend
// on how a driver rounds or flushes. Numbers that would be subnormal or infinite in f16 become 0.
fn rounded(x: f32) -> f32 {
    let size = abs(x);
    let near = bitcast<f32>((bitcast<u32>(x) + 0x1000u) & 0xffffe000u);
    return select(0.0, near, size >= 6.103515625e-5 && size <= 60000.0);
}

// A workgroup per row.
@compute @workgroup_size(64)
fn knn_pack(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
            @builtin(local_invocation_index) lane: u32) {
    let index = workgroup_index(id, count) + params.first;
    if (index >= params.workgroups) {
        return;
    }
    let group = params.group_first + index / params.row_count;
    let row = group * params.rows + params.row_first + index % params.row_count;
    let norm = norms[index];
    var most = 0.0;
    var sum = 0.0;
    for (var i = lane; i < params.pitch; i += 64u) {
        var quad: vec4<f32>;
        for (var j = 0u; j < 4u; j++) {
            let t = 4u * i + j;
            if (t < params.dim) {
                let x = in_frame(rows[row * params.dim + t], norm, group, t);
                quad[j] = rounded(x);
                most = max(most, abs(x));
                // The dropped bits, exactly; times 2^40, so that their squares stay within f32.
                let rest = (x - quad[j]) * 1099511627776.0;
                sum += rest * rest;
            }
        }
        halves[index * params.pitch + i] = vec4<f16>(quad);
    }
    largest[lane] = most;
    lost[lane] = sum;
    workgroupBarrier();
    for (var part = 32u; part > 0u; part /= 2u) {
        if (lane < part) {
            largest[lane] = max(largest[lane], largest[lane + part]);
            lost[lane] += lost[lane + part];
        }
        workgroupBarrier();
    }
    if (lane > 0u) {
        return;
    }
    // Rounded up: the factor exceeds the rounding errors of a lane's sum of dim / 64 squares, of the sum
    // over lanes and of the root; the summand exceeds the root of all squares below the range of f32.
    let error = sqrt(lost[0]) * 9.094947017729282e-13 * (1.00003 + f32(params.dim) * 1e-9) + 1e-28;
#ifdef COSINE
    let square = select(1.0, NEVER, norm.norm <= 0.0);
    let size = 1.00003;
    let blind = false;
#else
    let square = norm.norm;
    let size = sqrt(max(square, 0.0)) * 1.00003 + 1e-18;
    let blind = square < 0.0 || largest[0] > 60000.0;
#endif
    if (square >= NEVER) {
        bounds[index] = vec4(NEVER, 0.0, 0.0, 0.0);
    } else if (blind) {
        bounds[index] = vec4(ALWAYS, 0.0, 0.0, 0.0);
    } else {
        bounds[index] = vec4(square, size, error, size + error);
    }
}
