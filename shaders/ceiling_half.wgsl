// Peak rate of cooperative matrices (tensor cores): products of operands that stay in registers.
#import half_tile
#import ceiling_params

@group(0) @binding(1) var<storage, read_write> result: array<f32>;

// Each of the eight subgroups holds eight matrices of sums; a round multiplies and adds to each of them.
@compute @workgroup_size(THREADS)
fn ceiling_half(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
                @builtin(local_invocation_index) thread: u32,
                @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_size) size: u32) {
    // This is `workgroup_index`, inlined: the validator does not see through the call that the value is
    // the same for all threads, as cooperative matrices require.
    let index = id.x + count.x * (id.y + count.y * id.z) + params.first;
    if (thread == 0u) {
        subgroup_threads = size;
    }
    workgroupBarrier();
    if (subgroup_threads != SUBGROUP) {
        return;
    }
    for (var i = thread; i < BLOCK * STAGE_PITCH; i += THREADS) {
        stage_left[i] = vec4<f16>(vec4(f32(i % 61u) + params.a));
        stage_right[i] = vec4<f16>(vec4(f32(i % 59u) + params.b));
    }
    workgroupBarrier();
    // All products differ, so that a compiler cannot compute one in the place of several.
    let left0 = coopLoadT<Left>(&stage_left[0], STAGE_PITCH);
    let left1 = coopLoadT<Left>(&stage_left[SIDE * STAGE_PITCH], STAGE_PITCH);
    let left2 = coopLoadT<Left>(&stage_left[2u * SIDE * STAGE_PITCH], STAGE_PITCH);
    let left3 = coopLoadT<Left>(&stage_left[3u * SIDE * STAGE_PITCH], STAGE_PITCH);
    let right0 = coopLoad<Right>(&stage_right[0], STAGE_PITCH);
    let right1 = coopLoad<Right>(&stage_right[SIDE * STAGE_PITCH], STAGE_PITCH);
    var sums0: Sums;
    var sums1: Sums;
    var sums2: Sums;
    var sums3: Sums;
    var sums4: Sums;
    var sums5: Sums;
    var sums6: Sums;
    var sums7: Sums;
    for (var i = 0u; i < params.rounds; i++) {
        sums0 = coopMultiplyAdd(left0, right0, sums0);
        sums1 = coopMultiplyAdd(left0, right1, sums1);
        sums2 = coopMultiplyAdd(left1, right0, sums2);
        sums3 = coopMultiplyAdd(left1, right1, sums3);
        sums4 = coopMultiplyAdd(left2, right0, sums4);
        sums5 = coopMultiplyAdd(left2, right1, sums5);
        sums6 = coopMultiplyAdd(left3, right0, sums6);
        sums7 = coopMultiplyAdd(left3, right1, sums7);
    }
    if (index < params.len) {
        let to = subgroup * SIDE * BLOCK;
        coopStoreT(sums0, &result[to], BLOCK);
        coopStoreT(sums1, &result[to + SIDE], BLOCK);
        coopStoreT(sums2, &result[to + 2u * SIDE], BLOCK);
        coopStoreT(sums3, &result[to + 3u * SIDE], BLOCK);
        coopStoreT(sums4, &result[to + 4u * SIDE], BLOCK);
        coopStoreT(sums5, &result[to + 5u * SIDE], BLOCK);
        coopStoreT(sums6, &result[to + 6u * SIDE], BLOCK);
        coopStoreT(sums7, &result[to + 7u * SIDE], BLOCK);
    }
}
