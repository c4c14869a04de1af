//! A binary of its own, because it counts what the whole process allocates: trainers call the regulariser at
//! every step, and after the first call no buffer may be made; and what estimates say of memory is about what runs allocate.

mod estimates;

use chanscope::cpu::Cpu;
use chanscope::measure::filters::{Regularized, Regularizer};
use chanscope::ops::filters::{FilterParams, FilterShape, InputChannels, Pairs};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, counting.
struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);
/// Bytes that are allocated now.
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// The most since it was last set.
static MOST: AtomicUsize = AtomicUsize::new(0);

fn allocated(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    MOST.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        allocated(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // Where pages are moved, both blocks are never in memory.
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        allocated(size);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SHAPES: [[usize; 4]; 4] = [
    [24, 3, 3, 3],
    [40, 24, 3, 3],
    [16, 40, 1, 1],
    [12, 16, 5, 5],
];
const STEPS: usize = 240;

fn main() {
    estimates::check();
    for input_channels in [InputChannels::Separate, InputChannels::Summed] {
        for pairs in [Pairs::All, Pairs::Adjacent] {
            train(FilterParams {
                pairs,
                input_channels,
            });
        }
    }
}

fn train(params: FilterParams) {
    let cpu = Cpu::new(2).expect("threads");
    let shapes = SHAPES.map(|s| FilterShape::new(&s).expect("shape"));
    let mut weights = shapes.map(|s| (0..s.len()).map(|i| (i as f32).sin()).collect::<Vec<f32>>());
    let mut gradients = weights.clone();
    let mut regularizer = Regularizer::new(params);
    let mut step = || {
        let mut at = 0;
        let mut layers = gradients.each_mut().map(|gradient| {
            at += 1;
            Regularized {
                shape: shapes[at - 1],
                weights: &weights[at - 1],
                gradient,
            }
        });
        regularizer.evaluate(&cpu, &mut layers).expect("finite");
        for (k, g) in (weights.iter_mut().flatten()).zip(gradients.iter().flatten()) {
            *k -= 1e-7 * g;
        }
    };
    step();
    let before = CALLS.load(Ordering::Relaxed);
    LARGEST.store(0, Ordering::Relaxed);
    for _ in 0..STEPS {
        step();
    }
    let calls = CALLS.load(Ordering::Relaxed) - before;
    let largest = LARGEST.load(Ordering::Relaxed);
    // What is left is the thread pool's: its queue takes a block for 63 jobs (a job is an evaluation of a
    // layer), and a thread registers once when it first steals. A buffer made at every step, or large enough
    // for a layer, would show.
    let jobs = STEPS * SHAPES.len();
    assert!(
        calls <= jobs / 60 + 8 && largest <= 4096,
        "{params:?}: {calls} allocations in {STEPS} steps, the largest of {largest} bytes"
    );
}
