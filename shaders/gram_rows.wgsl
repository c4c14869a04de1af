// Writes rows as `gram` reads them: scaled as its kernel needs them, and padded with zeros to whole vectors.
#import workgroup
#import gram_params
#import scaled

// [groups * n, dim].
@group(0) @binding(1) var<storage, read> x: array<f32>;
// [groups * n], as `gram_factors` wrote them; read for the cosine kernel only.
@group(0) @binding(2) var<storage, read> factors: array<vec2<f32>>;
// [groups * n, pitch].
@group(0) @binding(3) var<storage, read_write> rows: array<vec4<f32>>;

// A thread per vector.
@compute @workgroup_size(64)
fn gram_rows(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
             @builtin(local_invocation_index) lane: u32) {
    let pitch = (params.dim + 3u) / 4u;
    let index = (workgroup_index(id, count) + params.first) * 64u + lane;
    let row = index / pitch;
    if (row >= params.groups * params.n) {
        return;
    }
    var quad: vec4<f32>;
    for (var j = 0u; j < 4u; j++) {
        let t = index % pitch * 4u + j;
        if (t < params.dim) {
            let value = x[row * params.dim + t];
#ifdef COSINE
            let f = factors[row];
            quad[j] = scaled(value, f.x) * f.y;
#else
            quad[j] = scaled(value, params.scale);
#endif
        }
    }
    rows[index] = quad;
}
