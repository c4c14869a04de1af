// Peak memory bandwidth: a copy, one vector of 16 bytes per thread.
#import workgroup
#import ceiling_params

@group(0) @binding(1) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> result: array<vec4<f32>>;

@compute @workgroup_size(64)
fn ceiling_copy(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                @builtin(local_invocation_index) lane: u32) {
    let index = (workgroup_index(id, count) + params.first) * 64u + lane;
    if (index < params.len) {
        result[index] = source[index];
    }
}
