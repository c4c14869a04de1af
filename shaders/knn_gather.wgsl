// Copies the candidates' vectors out of a block of points, after a search.
#import knn_rows_params

// [groups, list_count, k].
@group(0) @binding(2) var<storage, read> entries: array<Entry>;
// [groups, list_count, k, dim]; candidates outside the block are left alone.
@group(0) @binding(3) var<storage, read_write> gathered: array<f32>;

// A thread per number.
@compute @workgroup_size(64)
fn knn_gather(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
              @builtin(local_invocation_index) lane: u32) {
    let index = workgroup_index(id, count) + params.first;
    let at = index * 64u + lane;
    let entry = at / params.dim;
    if (index >= params.workgroups || entry >= params.group_count * params.list_count * params.k) {
        return;
    }
    let sample = entries[entry].sample;
    let row = sample - 1u - params.sample;
    if (sample > params.sample && row < params.rows) {
        let group = entry / (params.list_count * params.k);
        gathered[at] = rows[(group * params.rows + row) * params.dim + at % params.dim];
    }
}
