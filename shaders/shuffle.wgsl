// Shuffling channels of x [N, C, d] and comparing what follows (docs/definitions.md#shuffling).
#import workgroup

struct ShuffleParams {
    // Elements of the result; workgroups of `channel_dots`.
    len: u32,
    first: u32,
    channels: u32,
    // Elements per sample and channel.
    dim: u32,
    // Variants per sample, and the channel that the first one exchanges.
    variants: u32,
    channel: u32,
}

@group(0) @binding(0) var<uniform> params: ShuffleParams;
@group(0) @binding(1) var<storage, read> x: array<f32>;
// The other operand: shuffled values, or variants.
@group(0) @binding(2) var<storage, read> other: array<f32>;
@group(0) @binding(3) var<storage, read> index: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

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

// One workgroup per (sample, variant, channel): <x, y>, <x, x>, <y, y>.
@compute @workgroup_size(64)
fn channel_dots(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                @builtin(local_invocation_index) lane: u32) {
    let at = workgroup_index(id, count) + params.first;
    let inside = at < params.len;
    var sum = vec3(0.0);
    if (inside) {
        let channel = at % params.channels;
        let sample = at / params.channels / params.variants;
        let before = (sample * params.channels + channel) * params.dim;
        let after = at * params.dim;
        for (var p = lane; p < params.dim; p += 64u) {
            let a = x[before + p];
            let b = other[after + p];
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
        y[at * 3u + lane] = sums[0][lane];
    }
}
