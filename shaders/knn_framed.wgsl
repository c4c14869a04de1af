// Writes rows as the f32 filter reads them: in their frame, padded with zeros to whole vectors.
#import knn_pack_params

// [group_count, row_count, pitch].
@group(0) @binding(4) var<storage, read_write> framed: array<vec4<f32>>;

// A thread per vector.
@compute @workgroup_size(64)
fn knn_framed(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
              @builtin(local_invocation_index) lane: u32) {
    let block = workgroup_index(id, count) + params.first;
    let index = (block * 64u + lane) / params.pitch;
    let at = (block * 64u + lane) % params.pitch;
    if (block >= params.workgroups || index >= params.group_count * params.row_count) {
        return;
    }
    let group = params.group_first + index / params.row_count;
    let row = group * params.rows + params.row_first + index % params.row_count;
    let norm = norms[index];
    var quad: vec4<f32>;
    for (var j = 0u; j < 4u; j++) {
        let t = 4u * at + j;
        if (t < params.dim) {
            quad[j] = in_frame(rows[row * params.dim + t], norm, group, t);
        }
    }
    framed[index * params.pitch + at] = quad;
}
