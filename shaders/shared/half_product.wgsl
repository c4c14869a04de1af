    // A product on cooperative matrices, to be imported into the body of a kernel: functions cannot
    // return such matrices. Reads `thread`, `subgroup`, the storage arrays `left` and `right` (rows of
    // `params.pitch` vectors), and the first and last row of each that this block may read, `left_first`
    // to `right_last`. Rows past the last one are read as copies of it, and their sums have to be
    // ignored. No loop or branch around a matrix depends on the thread. Leaves eight matrices of sums,
    // sums00 to sums31 by their row and column among those of the subgroup; the first one is at
    // (`block_row`, `block_column`) of the block, and `sums_at` is the subgroup's place in `sums`.
    let block_row = subgroup / 4u * 4u * SIDE;
    let block_column = subgroup % 4u * 2u * SIDE;
    var sums00: Sums;
    var sums01: Sums;
    var sums10: Sums;
    var sums11: Sums;
    var sums20: Sums;
    var sums21: Sums;
    var sums30: Sums;
    var sums31: Sums;
    for (var start = 0u; start < params.pitch; start += STAGE) {
        for (var i = thread; i < BLOCK * STAGE; i += THREADS) {
            let row = i / STAGE;
            let at = start + i % STAGE;
            if (at < params.pitch) {
                let to = row * STAGE_PITCH + i % STAGE;
                stage_left[to] = left[min(left_first + row, left_last) * params.pitch + at];
                stage_right[to] = right[min(right_first + row, right_last) * params.pitch + at];
            }
        }
        workgroupBarrier();
        let steps = min(STAGE, params.pitch - start);
        for (var at = 0u; at < steps; at += SIDE / 4u) {
            let l = block_row * STAGE_PITCH + at;
            let r = block_column * STAGE_PITCH + at;
            let left0 = coopLoadT<Left>(&stage_left[l], STAGE_PITCH);
            let left1 = coopLoadT<Left>(&stage_left[l + SIDE * STAGE_PITCH], STAGE_PITCH);
            let left2 = coopLoadT<Left>(&stage_left[l + 2u * SIDE * STAGE_PITCH], STAGE_PITCH);
            let left3 = coopLoadT<Left>(&stage_left[l + 3u * SIDE * STAGE_PITCH], STAGE_PITCH);
            // Loaded with rows and columns exchanged: a row of terms is a column of the right factor.
            let right0 = coopLoad<Right>(&stage_right[r], STAGE_PITCH);
            let right1 = coopLoad<Right>(&stage_right[r + SIDE * STAGE_PITCH], STAGE_PITCH);
            sums00 = coopMultiplyAdd(left0, right0, sums00);
            sums01 = coopMultiplyAdd(left0, right1, sums01);
            sums10 = coopMultiplyAdd(left1, right0, sums10);
            sums11 = coopMultiplyAdd(left1, right1, sums11);
            sums20 = coopMultiplyAdd(left2, right0, sums20);
            sums21 = coopMultiplyAdd(left2, right1, sums21);
            sums30 = coopMultiplyAdd(left3, right0, sums30);
            sums31 = coopMultiplyAdd(left3, right1, sums31);
        }
        workgroupBarrier();
    }
    let sums_at = subgroup * SIDE * SUMS_PITCH;
