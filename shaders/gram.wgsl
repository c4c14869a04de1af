// Gram matrices [groups, n, n] of x [groups, n, dim] for the linear, cosine or Gaussian kernel
// (docs/definitions.md#kernels). Only tiles on and above the diagonal are computed; each result is
// written to both of its places.
#import workgroup
#import gram_params
#import upper_triangle
#ifdef SKIP_EXACT
#import gram_exactness
#endif
#ifdef SQUARED_DIFFERENCES
#import exp
#import tile_differences
#else
#import tile_products
#endif
#import tile_load

// Rows padded to whole vectors and scaled as the kernel needs them: `gram_rows` wrote them, or they were so.
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
// [groups * n], as `gram_factors` wrote them; read for the cosine kernel only.
@group(0) @binding(3) var<storage, read> factors: array<vec2<f32>>;
#ifdef SKIP_EXACT
// [groups]: groups that are exact in f16 are left to `gram_half`.
@group(0) @binding(4) var<storage, read> exactness: array<Exactness>;
#endif

fn pitch() -> u32 {
    return (params.dim + 3u) / 4u;
}

fn row_vector(row: u32, at: u32) -> vec4<f32> {
    return x[row * pitch() + at];
}

fn column_vector(row: u32, at: u32) -> vec4<f32> {
    return x[row * pitch() + at];
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
    let last = vec2(base + params.n - 1u);
    for (var start = 0u; start < pitch(); start += DEPTH / 4u) {
        tile_load(start, pitch(), base + tile, last, lane);
        workgroupBarrier();
        tile_accumulate(&acc, row, column);
        workgroupBarrier();
    }
    for (var r = 0u; r < 8u; r++) {
        let i = tile.x + tile_place(row, r);
        let values = tile_row(&acc, r);
        for (var c = 0u; c < 8u; c++) {
            let j = tile.y + tile_place(column, c);
            if (i < params.n && j < params.n) {
                let value = similarity(i, j, base, tile_column(values, c));
                result[(base + i) * params.n + j] = value;
                result[(base + j) * params.n + i] = value;
            }
        }
    }
}
