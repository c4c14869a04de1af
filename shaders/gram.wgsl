// Gram matrices [groups, n, n] of x [groups, n, dim]: linear, cosine, gaussian (docs/definitions.md#kernels).
// Tiles on and above the diagonal; each result is written twice.
#import workgroup
#import exp
#import tile
#import upper

struct GramParams {
    n: u32,
    dim: u32,
    groups: u32,
    // Tiles per side.
    tiles: u32,
    // First workgroup of this dispatch among all.
    first: u32,
    // Gaussian: power of two applied to x, and -1 / (2 s^2) after it.
    scale: f32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: GramParams;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
// Cosine: factors [groups * n] whose product with a row makes it a unit vector; (0, 0) for zeros.
@group(0) @binding(3) var<storage, read_write> factors: array<vec2<f32>>;
#ifdef REST
// Of a group: as in gram_half.wgsl. Where the second is 0, `gram_half` computes the group.
@group(0) @binding(4) var<storage, read> exactness: array<vec2<u32>>;
#endif

// A number of row `row` of the group that starts at row `base`, ready to be multiplied.
fn term(base: u32, row: u32, t: u32) -> f32 {
    if (row >= params.n || t >= params.dim) {
        return 0.0;
    }
    let value = x[(base + row) * params.dim + t];
#ifdef COSINE
    let f = factors[base + row];
    return value * f.x * f.y;
#else
    return value * params.scale;
#endif
}

fn quad(base: u32, row: u32, t: u32) -> vec4<f32> {
    return vec4(term(base, row, t), term(base, row + 1u, t),
        term(base, row + 2u, t), term(base, row + 3u, t));
}

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
#ifdef REST
    if (exactness[group].y == 0u) {
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
        tile_multiply(&acc, row, column);
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

// One workgroup per row. The power of two first, so that no square over- or underflows.
var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn gram_factors(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                @builtin(local_invocation_index) lane: u32) {
    let row = workgroup_index(id, count) + params.first;
    if (row >= params.groups * params.n) {
        return;
    }
    var largest = 0.0;
    for (var t = lane; t < params.dim; t += 64u) {
        largest = max(largest, abs(x[row * params.dim + t]));
    }
    partial[lane] = largest;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (lane < half) {
            partial[lane] = max(partial[lane], partial[lane + half]);
        }
        workgroupBarrier();
    }
    largest = partial[0];
    workgroupBarrier();
    // 2^-e for largest in [2^e, 2^(e+1)), within what f32 can hold.
    let exponent = clamp(bitcast<u32>(largest) >> 23u, 1u, 252u);
    let scale = bitcast<f32>((254u - exponent) << 23u);
    var sum = 0.0;
    for (var t = lane; t < params.dim; t += 64u) {
        let v = x[row * params.dim + t] * scale;
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
        factors[row] = select(vec2(scale, 1.0 / sqrt(partial[0])), vec2(0.0), largest == 0.0);
    }
}
