// Working memory of a query: MEMORY wide numbers. With LOCAL it is workgroup memory. Otherwise it is the
// query's part of the storage buffer `spill`, which the importing file declares, from `base` on. The
// host defines MEMORY, LOCAL, K (candidates per query) and WIDTH (threads of a workgroup).
#import nnk_common

// What one thread tells all others.
var<workgroup> told: u32;

var<private> base: u32;
// Index of this thread in its workgroup.
var<private> lane: u32;

#ifdef LOCAL
var<workgroup> memory: array<wide, MEMORY>;

fn load(i: u32) -> wide { return memory[i]; }
fn store(i: u32, value: wide) { memory[i] = value; }
// Makes what all threads stored visible to all of them.
fn sync() { workgroupBarrier(); }
#else
fn load(i: u32) -> wide { return spill[base + i]; }
fn store(i: u32, value: wide) { spill[base + i] = value; }
fn sync() {
    storageBarrier();
    workgroupBarrier();
}
#endif

// The first thread's value. Barriers may only depend on what a compiler knows to be the same in all threads, and of
// what was read from memory it does not know that. Acts as a barrier of workgroup memory before and after.
fn agreed(value: u32) -> u32 {
    if (lane == 0u) {
        told = value;
    }
    return workgroupUniformLoad(&told);
}

fn agreed_bool(value: bool) -> bool {
    return agreed(u32(value)) != 0u;
}
