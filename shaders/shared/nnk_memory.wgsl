// Working memory of a query: MEMORY wide numbers. With LOCAL it is workgroup memory. Otherwise it is the
// query's part of the storage buffer `spill`, which the importing file declares, from `base` on. The
// host defines MEMORY, LOCAL, K (candidates per query) and WIDTH (threads of a workgroup).
#import nnk_common

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
