// Working memory of a query: MEMORY wide numbers of the workgroup, or its part of `spill` from `base` on where
// those are too many. The host gives LOCAL and MEMORY.
#import nnk

var<private> base: u32;
var<private> lane: u32;

#ifdef LOCAL
var<workgroup> memory: array<wide, MEMORY>;

fn load(i: u32) -> wide { return memory[i]; }
fn store(i: u32, value: wide) { memory[i] = value; }
fn sync() { workgroupBarrier(); }
#else
fn load(i: u32) -> wide { return spill[base + i]; }
fn store(i: u32, value: wide) { spill[base + i] = value; }
fn sync() {
    storageBarrier();
    workgroupBarrier();
}
#endif
