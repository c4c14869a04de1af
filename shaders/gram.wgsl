// Gram matrices [groups, n, n] of x [groups, n, dim] for the linear, cosine or Gaussian kernel
// (docs/definitions.md#kernels). Only tiles on and above the diagonal are computed; each result is
// written to both of its places.
#import workgroup
#import gram_params
#import upper_triangle
#import scaled
#ifdef SKIP_EXACT
#import gram_exactness
#endif
#ifdef SQUARED_DIFFERENCES
#import exp
#import tile_differences
#else
#import tile_products
#endif

@group(0) @binding(2) var<storage, read_write> result: array<f32>;
// [groups * n], as `gram_factors` wrote them; read for the cosine kernel only.
@group(0) @binding(3) var<storage, read> factors: array<vec2<f32>>;
#ifdef SKIP_EXACT
// [groups]: groups that are exact in f16 are left to `gram_half`.
@group(0) @binding(4) var<storage, read> exactness: array<Exactness>;
#endif

// Element `t` of row `row` of the group whose first row is `base`, scaled as the kernel needs it; 0
// outside the matrix.
fn term(base: u32, row: u32, t: u32) -> f32 {
    if (row >= params.n || t >= params.dim) {
        return 0.0;
    }
    let value = x[(base + row) * params.dim + t];
#ifdef COSINE
    let f = factors[base + row];
    return scaled(value, f.x) * f.y;
#else
    return scaled(value, params.scale);
#endif
}

// The same element of four successive rows.
fn quad(base: u32, row: u32, t: u32) -> vec4<f32> {
    return vec4(term(base, row, t), term(base, row + 1u, t),
        term(base, row + 2u, t), term(base, row + 3u, t));
}

// Turns an inner product or a squared distance into the kernel's value for rows i and j.
fn similarity(i: u32, j: u32, base: u32, acc: f32) -> f32 {
#ifdef COSINE
    if (factors[base + i].x == 0.0 || factors[base + j].x == 0.0) {
        return 0.0;
    }
    return select(0.5 + 0.5 * clamp(acc, -1.0, 1.0), 1.0, i == j);
#else
#ifdef SQUARED_DIFFERENCES
    return exp_nonpositive(acc * params.factor);
#else
    return acc;
#endif
#endif
}

@compute @workgroup_size(64)
fn gram(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let per_group = params.tiles * (params.tiles + 1u) / 2u;
    let index = workgroup_index(id, count) + params.first;
    let group = index / per_group;
    if (group >= params.groups) {
        return;
    }
#ifdef SKIP_EXACT
    if (exactness[group].inexact == 0u) {
        return;
    }
#endif
    let tile = upper_tile(index % per_group, params.tiles) * TILE;
    let base = group * params.n;
    let row = lane / 8u;
    let column = lane % 8u;
    var acc: array<vec4<f32>, 16>;
    for (var first = 0u; first < params.dim; first += DEPTH) {
        let t = lane % 16u;
        for (var q = lane / 16u; q < 16u; q += 4u) {
            tile_rows[t * PITCH + q] = quad(base, tile.x + q * 4u, first + t);
            tile_columns[t * PITCH + q] = quad(base, tile.y + q * 4u, first + t);
        }
        workgroupBarrier();
        tile_accumulate(&acc, row, column);
        workgroupBarrier();
    }
    for (var r = 0u; r < 8u; r++) {
        let i = tile.x + row * 8u + r;
        for (var c = 0u; c < 8u; c++) {
            let j = tile.y + column * 8u + c;
            if (i < params.n && j < params.n) {
                let value = similarity(i, j, base, acc[r * 2u + c / 4u][c % 4u]);
                result[(base + i) * params.n + j] = value;
                result[(base + j) * params.n + i] = value;
            }
        }
    }
}
