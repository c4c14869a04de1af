// Shuffles channels of x [N, C, d], and compares results with and without a shuffle
// (docs/definitions.md#shuffling).
#import workgroup
#import scaled

struct ShuffleParams {
    // Elements of the result; workgroups of `channel_dots`.
    len: u32,
    // First workgroup of this dispatch.
    first: u32,
    channels: u32,
    // Elements per sample and channel.
    dim: u32,
    // Variants per sample: the results of exchanging one channel each. `channel` is the first of them.
    variants: u32,
    channel: u32,
}

@group(0) @binding(0) var<uniform> params: ShuffleParams;
@group(0) @binding(1) var<storage, read> x: array<f32>;
// `substitute`: shuffled values, like x. `channel_dots`: variants [N, variants, C, d].
@group(0) @binding(2) var<storage, read> other: array<f32>;
// `shuffle_samples`: [N] samples. `shuffle_pixels`: [N, d] pixels.
@group(0) @binding(3) var<storage, read> index: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

// A thread per element: sample i becomes sample index[i].
@compute @workgroup_size(256)
fn shuffle_samples(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                   @builtin(local_invocation_index) lane: u32) {
    let i = (workgroup_index(id, count) + params.first) * 256u + lane;
    if (i >= params.len) {
        return;
    }
    let row = params.channels * params.dim;
    y[i] = x[index[i / row] * row + i % row];
}

// A thread per element: in sample i, pixel p becomes pixel index[i, p].
@compute @workgroup_size(256)
fn shuffle_pixels(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                  @builtin(local_invocation_index) lane: u32) {
    let i = (workgroup_index(id, count) + params.first) * 256u + lane;
    if (i >= params.len) {
        return;
    }
    let pixel = i % params.dim;
    let sample = i / (params.channels * params.dim);
    y[i] = x[i - pixel + index[sample * params.dim + pixel]];
}

// A thread per element of [N, variants, C, d]: variant v has channel `channel` + v of `other`, and all
// others of x.
@compute @workgroup_size(256)
fn substitute(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
              @builtin(local_invocation_index) lane: u32) {
    let i = (workgroup_index(id, count) + params.first) * 256u + lane;
    if (i >= params.len) {
        return;
    }
    let row = params.channels * params.dim;
    let variant = i / row;
    let within = i % row;
    let source = variant / params.variants * row + within;
    if (within / params.dim == params.channel + variant % params.variants) {
        y[i] = other[source];
    } else {
        y[i] = x[source];
    }
}

var<workgroup> sums: array<vec3<f32>, 64>;
var<workgroup> sizes: array<vec2<u32>, 64>;

// A workgroup per sample, variant and channel computes <x, y>, <x, x> and <y, y>, of maps that are divided
// by the powers of two 2^a and 2^b of their largest values, so that no square leaves the range of f32; then
// a and b.
@compute @workgroup_size(64)
fn channel_dots(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                @builtin(local_invocation_index) lane: u32) {
    let at = workgroup_index(id, count) + params.first;
    let inside = at < params.len;
    var sum = vec3(0.0);
    var size = vec2(0u);
    var before = 0u;
    let after = at * params.dim;
    if (inside) {
        let channel = at % params.channels;
        let sample = at / params.channels / params.variants;
        before = (sample * params.channels + channel) * params.dim;
        // Absolute values are ordered like their bits.
        for (var p = lane; p < params.dim; p += 64u) {
            let pair = vec2(bitcast<u32>(x[before + p]), bitcast<u32>(other[after + p]));
            size = max(size, pair & vec2(0x7fffffffu));
        }
    }
    sizes[lane] = size;
    workgroupBarrier();
    for (var step = 32u; step > 0u; step /= 2u) {
        if (lane < step) {
            sizes[lane] = max(sizes[lane], sizes[lane + step]);
        }
        workgroupBarrier();
    }
    let exponents = clamp(sizes[0] >> vec2(23u), vec2(1u), vec2(252u));
    if (inside) {
        let powers = bitcast<vec2<f32>>((vec2(254u) - exponents) << vec2(23u));
        for (var p = lane; p < params.dim; p += 64u) {
            let a = scaled(x[before + p], powers.x);
            let b = scaled(other[after + p], powers.y);
            sum += vec3(a * b, a * a, b * b);
        }
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var step = 32u; step > 0u; step /= 2u) {
        if (lane < step) {
            sums[lane] += sums[lane + step];
        }
        workgroupBarrier();
    }
    if (inside && lane < 3u) {
        y[at * 5u + lane] = sums[0][lane];
    }
    if (inside && lane < 2u) {
        y[at * 5u + 3u + lane] = f32(exponents[lane]) - 127.0;
    }
}
