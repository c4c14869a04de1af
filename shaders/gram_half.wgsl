// Gram matrices of groups whose values are f16 numbers, up to a power of two, on cooperative matrices:
// their products are exact in f32. `gram_largest` and `gram_pack` find out which groups those are;
// `gram_half` computes them, and `gram` the others.
#import workgroup

// Of a group: bits of the largest absolute value; whether f16 cannot hold all values.
struct Exactness {
    largest: u32,
    inexact: u32,
}

struct HalfGramParams {
    n: u32,
    dim: u32,
    groups: u32,
    // Vectors of four numbers per packed row.
    pitch: u32,
    // Blocks per side.
    blocks: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> params: HalfGramParams;

// The exponent of a group's largest value, as it lies in the bits of a number.
fn exponent(largest: u32) -> u32 {
    return largest >> 23u;
}

#ifdef MEASURE
enable f16;

struct Measured {
    largest: atomic<u32>,
    inexact: atomic<u32>,
}

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> measured: array<Measured>;
// [groups, n, pitch].
@group(0) @binding(3) var<storage, read_write> halves: array<vec4<f16>>;

var<workgroup> partial: array<u32, 64>;

// A workgroup per row.
@compute @workgroup_size(64)
fn gram_largest(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                @builtin(local_invocation_index) lane: u32) {
    let row = workgroup_index(id, count) + params.first;
    if (row >= params.groups * params.n) {
        return;
    }
    // Sizes are in the order of their bits, NaN above all.
    var largest = 0u;
    for (var t = lane; t < params.dim; t += 64u) {
        largest = max(largest, bitcast<u32>(x[row * params.dim + t]) & 0x7fffffffu);
    }
    partial[lane] = largest;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (lane < half) {
            partial[lane] = max(partial[lane], partial[lane + half]);
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        atomicMax(&measured[row / params.n].largest, partial[0]);
    }
}

// Scales a group so that its largest value lies in [2^14, 2^15): what has 11 bits and is not 2^28 times
// smaller is then a normal f16.
@compute @workgroup_size(64)
fn gram_pack(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
             @builtin(local_invocation_index) lane: u32) {
    let row = workgroup_index(id, count) + params.first;
    if (row >= params.groups * params.n) {
        return;
    }
    let group = row / params.n;
    let e = exponent(atomicLoad(&measured[group].largest));
    // Its power of two, and the inverse, must be numbers.
    var inexact = e < 30u || e > 240u;
    if (atomicLoad(&measured[group].inexact) != 0u) {
        return;
    }
    let scale = bitcast<f32>(min(268u - min(e, 268u), 253u) << 23u);
    for (var i = lane; i < params.pitch; i += 64u) {
        var quad: vec4<f32>;
        for (var j = 0u; j < 4u; j++) {
            let t = 4u * i + j;
            if (t < params.dim) {
                let value = x[row * params.dim + t] * scale;
                let bits = bitcast<u32>(value);
                let normal = abs(value) >= 6.103515625e-5;
                if ((bits & 0x7fffffffu) != 0u && ((bits & 0x1fffu) != 0u || !normal)) {
                    inexact = true;
                } else {
                    quad[j] = value;
                }
            }
        }
        halves[row * params.pitch + i] = vec4<f16>(quad);
    }
    if (inexact) {
        atomicMax(&measured[group].inexact, 1u);
    }
}
#else

@group(0) @binding(1) var<storage, read> left: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read> right: array<vec4<f16>>;
@group(0) @binding(3) var<storage, read> exactness: array<Exactness>;
// As in gram.wgsl.
@group(0) @binding(4) var<storage, read> factors: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> result: array<f32>;
#import half_tile
#import upper

// `unit`: the power of two that the group was divided by.
fn similarity(i: u32, j: u32, base: u32, sum: f32, unit: f32) -> f32 {
#ifdef COSINE
    let a = factors[base + i];
    let b = factors[base + j];
    if (a.x == 0.0 || b.x == 0.0) {
        return 0.0;
    }
    let cosine = sum * (a.x * unit * a.y) * (b.x * unit * b.y);
    return select(0.5 + 0.5 * clamp(cosine, -1.0, 1.0), 1.0, i == j);
#else
    return sum * unit * unit;
#endif
}

// Writes SIDE rows of two matrices to their places on both sides of the diagonal, each time so that
// neighbouring threads write neighbouring numbers.
fn write(at: u32, lane: u32, row: u32, column: u32, base: u32, unit: f32) {
    for (var c = lane % SIDE; c < 2u * SIDE; c += SIDE) {
        for (var r = lane / SIDE; r < SIDE; r += SUBGROUP / SIDE) {
            let i = row + r;
            let j = column + c;
            if (i <= j && j < params.n) {
                result[(base + i) * params.n + j] =
                    similarity(i, j, base, sums[at + r * SUMS_PITCH + c], unit);
            }
        }
    }
    let r = lane % SIDE;
    for (var c = lane / SIDE; c < 2u * SIDE; c += SUBGROUP / SIDE) {
        let i = row + r;
        let j = column + c;
        if (i < j && j < params.n) {
            result[(base + j) * params.n + i] =
                similarity(i, j, base, sums[at + r * SUMS_PITCH + c], unit);
        }
    }
}

@compute @workgroup_size(THREADS)
fn gram_half(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
             @builtin(local_invocation_index) thread: u32, @builtin(subgroup_id) subgroup: u32,
             @builtin(subgroup_invocation_id) lane: u32) {
    let per_group = params.blocks * (params.blocks + 1u) / 2u;
    // As `workgroup_index`: only written out is it seen to be the same for all threads.
    let index = id.x + count.x * (id.y + count.y * id.z) + params.first;
    let group = index / per_group;
    if (group >= params.groups) {
        return;
    }
    if (exactness[group].inexact != 0u) {
        return;
    }
    let block = upper_tile(index % per_group, params.blocks) * BLOCK;
    let base = group * params.n;
    let left_first = base + block.x;
    let left_last = base + params.n - 1u;
    let right_first = base + block.y;
    let right_last = left_last;
#import half_product
    let unit = bitcast<f32>((exponent(exactness[group].largest) - 14u) << 23u);
    let row = block.x + block_row;
    let column = block.y + block_column;
    coopStoreT(sums00, &sums[sums_at], SUMS_PITCH);
    coopStoreT(sums01, &sums[sums_at + SIDE], SUMS_PITCH);
    workgroupBarrier();
    write(sums_at, lane, row, column, base, unit);
    workgroupBarrier();
    coopStoreT(sums10, &sums[sums_at], SUMS_PITCH);
    coopStoreT(sums11, &sums[sums_at + SIDE], SUMS_PITCH);
    workgroupBarrier();
    write(sums_at, lane, row + SIDE, column, base, unit);
    workgroupBarrier();
    coopStoreT(sums20, &sums[sums_at], SUMS_PITCH);
    coopStoreT(sums21, &sums[sums_at + SIDE], SUMS_PITCH);
    workgroupBarrier();
    write(sums_at, lane, row + 2u * SIDE, column, base, unit);
    workgroupBarrier();
    coopStoreT(sums30, &sums[sums_at], SUMS_PITCH);
    coopStoreT(sums31, &sums[sums_at + SIDE], SUMS_PITCH);
    workgroupBarrier();
    write(sums_at, lane, row + 3u * SIDE, column, base, unit);
}
#endif
