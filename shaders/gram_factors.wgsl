// For the cosine kernel: the factors that turn each row into a unit vector.
#import workgroup
#import gram_params
#import scaled

// [groups * n, dim].
@group(0) @binding(1) var<storage, read> x: array<f32>;
// [groups * n]: a power of two that brings the row's largest value near 1, and the inverse norm of the
// row after that scaling; (0, 0) for a row of zeros. The power of two comes first so that no square
// over- or underflows.
@group(0) @binding(2) var<storage, read_write> factors: array<vec2<f32>>;

var<workgroup> partial: array<f32, 64>;
var<workgroup> sizes: array<u32, 64>;

// A workgroup per row.
@compute @workgroup_size(64)
fn gram_factors(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                @builtin(local_invocation_index) lane: u32) {
    let row = workgroup_index(id, count) + params.first;
    if (row >= params.groups * params.n) {
        return;
    }
    // Absolute values are ordered like their bits, and these show subnormal numbers too.
    var largest = 0u;
    for (var t = lane; t < params.dim; t += 64u) {
        largest = max(largest, bitcast<u32>(x[row * params.dim + t]) & 0x7fffffffu);
    }
    sizes[lane] = largest;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (lane < half) {
            sizes[lane] = max(sizes[lane], sizes[lane + half]);
        }
        workgroupBarrier();
    }
    largest = sizes[0];
    // 2^-e for a largest value in [2^e, 2^(e+1)), clamped to what f32 can represent.
    let exponent = clamp(largest >> 23u, 1u, 252u);
    let scale = bitcast<f32>((254u - exponent) << 23u);
    var sum = 0.0;
    for (var t = lane; t < params.dim; t += 64u) {
        let v = scaled(x[row * params.dim + t], scale);
        sum += v * v;
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (lane < half) {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        factors[row] = select(vec2(scale, 1.0 / sqrt(partial[0])), vec2(0.0), largest == 0u);
    }
}
