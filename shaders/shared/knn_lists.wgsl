// Entry of a candidate list, [groups, list_count, k]. A list is in ascending order of distance, then of
// sample index.
#import wide

struct Entry {
    // Squared distance; see `in_units`.
    distance: wide,
    // Sample index plus 1; 0 where the list has ended.
    sample: u32,
    unused: u32,
}
