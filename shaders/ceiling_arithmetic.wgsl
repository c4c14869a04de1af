// Peak f32 arithmetic: chains of multiply-adds that stay in registers.
#import workgroup
#import ceiling_params

@group(0) @binding(1) var<storage, read_write> result: array<vec4<f32>>;

// A round is 32 multiply-adds: eight independent chains of four-component vectors.
@compute @workgroup_size(64)
fn ceiling_arithmetic(@builtin(workgroup_id) id: vec3<u32>,
                      @builtin(num_workgroups) count: vec3<u32>,
                      @builtin(local_invocation_index) lane: u32) {
    let index = (workgroup_index(id, count) + params.first) * 64u + lane;
    let a = vec4(params.a);
    let b = vec4(params.b);
    var s0 = vec4(f32(index));
    var s1 = s0 + a;
    var s2 = s1 + a;
    var s3 = s2 + a;
    var s4 = s3 + a;
    var s5 = s4 + a;
    var s6 = s5 + a;
    var s7 = s6 + a;
    for (var i = 0u; i < params.rounds; i++) {
        s0 = fma(s0, a, b);
        s1 = fma(s1, a, b);
        s2 = fma(s2, a, b);
        s3 = fma(s3, a, b);
        s4 = fma(s4, a, b);
        s5 = fma(s5, a, b);
        s6 = fma(s6, a, b);
        s7 = fma(s7, a, b);
    }
    if (index < params.len) {
        result[index] = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7));
    }
}
