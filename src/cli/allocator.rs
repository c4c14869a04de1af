//! What happens when the system has no memory left: one line and exit code 1, with what was begun removed, in place of the
//! abort that is Rust's default.

use chanscope::io::sink::abandon_unlocked;
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::time::Duration;

/// The system's allocator.
pub struct Allocator;

/// What the clean-up needs to list and remove a folder.
const RESERVE: Layout = Layout::new::<[u64; 32 << 10]>();
/// A block of [`RESERVE`], given back when there is no memory left.
static KEPT: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());

/// Sets memory aside for the clean-up, which runs when no other is left. Called before any other thread exists.
pub fn keep_reserve() {
    if KEPT.load(Ordering::SeqCst).is_null() {
        // SAFETY: the layout has a size.
        KEPT.store(unsafe { System.alloc(RESERVE) }, Ordering::SeqCst);
    }
}

/// Lets large blocks go back to the system when they are freed. glibc raises the size from which it does so with every block
/// that is freed, up to 32 MiB, and keeps smaller ones for the thread that freed them: several threads then hold
/// memory that is in nobody's use, beyond `--memory`. The pages of a block must then be cleared at every allocation, so this is
/// for runs with that option only. Called before any other thread exists.
pub fn return_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// Bytes from which a block is mapped by itself.
        const LARGE: libc::c_int = 4 << 20;
        // SAFETY: it sets a number of the allocator; a refusal leaves things as they are.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
    }
}

// SAFETY: every call is passed to the system's allocator as it is; a null pointer is not returned, but ends the process.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises of `alloc`.
        there(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises of `alloc_zeroed`.
        there(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the promises of `realloc`.
        there(unsafe { System.realloc(memory, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn there(memory: *mut u8, bytes: usize) -> *mut u8 {
    if memory.is_null() {
        out_of_memory(bytes);
    }
    memory
}

#[cold]
fn out_of_memory(bytes: usize) -> ! {
    static ENDING: AtomicBool = AtomicBool::new(false);
    // Another thread, or the clean-up itself, has no memory either.
    if ENDING.swap(true, Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(200));
        end();
    }
    // Written to the stack first: there is no memory for a string.
    let mut line = [0u8; 160];
    let mut rest = &mut line[..];
    let mib = bytes.div_ceil(1 << 20);
    let _ = writeln!(
        rest,
        "chanscope: out of memory: no room for {mib}MiB more; use a smaller --memory or close other programs"
    );
    let left = rest.len();
    let _ = std::io::stderr().write_all(&line[..line.len() - left]);
    let kept = KEPT.swap(std::ptr::null_mut(), Ordering::SeqCst);
    if !kept.is_null() {
        // SAFETY: it was allocated with this layout, and nobody else has it.
        unsafe { System.dealloc(kept, RESERVE) };
    }
    abandon_unlocked();
    end();
}

/// Ends the process without running anything that could need memory.
fn end() -> ! {
    #[cfg(unix)]
    // SAFETY: `_exit` only ends the process.
    unsafe {
        libc::_exit(1)
    }
    #[cfg(not(unix))]
    std::process::exit(1)
}
