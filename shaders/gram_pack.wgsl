// Packs the rows of each group to f16, and finds out whether that is exact.
enable f16;
#import gram_half_params
#import scaled

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> exactness: array<Exactness>;
// [groups, n, pitch].
@group(0) @binding(3) var<storage, read_write> halves: array<vec4<f16>>;

// As in shared/gram_exactness.wgsl; the workgroups of a group's rows write it at the same time.
struct Exactness {
    largest: atomic<u32>,
    inexact: atomic<u32>,
}

// A workgroup per row. The group is scaled so that its largest value lies in [2^14, 2^15): a value that
// has 11 significant bits and is not 2^28 times smaller than that is then a normal f16. So it does not
// depend on the scale of a group which kernel computes it.
@compute @workgroup_size(64)
fn gram_pack(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
             @builtin(local_invocation_index) lane: u32) {
    let row = workgroup_index(id, count) + params.first;
    if (row >= params.groups * params.n) {
        return;
    }
    let group = row / params.n;
    let largest = atomicLoad(&exactness[group].largest);
    // Infinities and NaN.
    var inexact = largest >= 0x7f800000u;
    if (atomicLoad(&exactness[group].inexact) != 0u) {
        return;
    }
    let scale = powers(14 - exponent(largest));
    for (var i = lane; i < params.pitch; i += 64u) {
        var quad: vec4<f32>;
        for (var j = 0u; j < 4u; j++) {
            let t = 4u * i + j;
            if (t < params.dim) {
                let raw = x[row * params.dim + t];
                let value = scaled(raw, scale.x) * scale.y;
                let normal = abs(value) >= 6.103515625e-5;
                // A device may take a subnormal number for 0; its bits tell.
                let nonzero = (bitcast<u32>(raw) & 0x7fffffffu) != 0u;
                if (nonzero && ((bitcast<u32>(value) & 0x1fffu) != 0u || !normal)) {
                    inexact = true;
                } else {
                    quad[j] = value;
                }
            }
        }
        halves[row * params.pitch + i] = vec4<f16>(quad);
    }
    if (inexact) {
        atomicMax(&exactness[group].inexact, 1u);
    }
}
