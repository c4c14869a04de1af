// Lets a dispatch continue with a query that an earlier one did not finish. x and the slopes stay in
// `spill`; the rest of the state goes to `paused`, which the importing file declares.
#import nnk_active_set

fn pause(search: Search, m: u32, local: u32) {
    let to = local * (2u * K + 8u);
    for (var j = lane; j < m; j += WIDTH) {
        paused[to + j] = members[j];
        paused[to + K + j] = marks[j];
    }
    if (lane == 0u) {
        paused[to + 2u * K] = member_count;
        paused[to + 2u * K + 1u] = search.entered;
        paused[to + 2u * K + 2u] = search.fresh;
        paused[to + 2u * K + 3u] = search.bold;
        paused[to + 2u * K + 4u] = search.systems;
    }
}

fn resume(m: u32, local: u32) -> Search {
    let at = local * (2u * K + 8u);
    for (var j = lane; j < m; j += WIDTH) {
        members[j] = paused[at + j];
        marks[j] = paused[at + K + j];
    }
    if (lane == 0u) {
        member_count = paused[at + 2u * K];
    }
    sync();
    return Search(agreed(paused[at + 2u * K + 1u]), agreed(paused[at + 2u * K + 2u]),
        agreed(paused[at + 2u * K + 3u]), agreed(paused[at + 2u * K + 4u]));
}
