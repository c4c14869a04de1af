// The index of a workgroup in a dispatch. The host folds long dispatches into three dimensions, because
// each dimension has a limit (`flatten` in src/gpu/record.rs).
fn workgroup_index(id: vec3<u32>, count: vec3<u32>) -> u32 {
    return id.x + count.x * (id.y + count.y * id.z);
}
