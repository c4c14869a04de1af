// Marks the queries for which `knn_half` noted more points than there is room for.
#import knn_half_params

// [groups, list_count].
@group(0) @binding(1) var<storage, read_write> progress: array<Progress>;

// A thread per query.
@compute @workgroup_size(64)
fn knn_overflow(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                @builtin(local_invocation_index) lane: u32) {
    let index = (workgroup_index(id, count) + params.first) * 64u + lane;
    if (index >= params.workgroups) {
        return;
    }
    let list = (params.group_first + index / params.query_count) * params.list_count
        + params.list_first + index % params.query_count;
    if (atomicLoad(&progress[list].noted) > params.capacity) {
        atomicStore(&progress[list].noted, RETRY_BIT);
    }
}
