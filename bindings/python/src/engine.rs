//! Devices and threads, opened when they are first needed and kept for later calls of the same process.

use chanscope::device::{Device, DeviceChoice};
use chanscope::error::DeviceProblem;
use chanscope::{Error, Result};
use pyo3::prelude::*;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Stack of a thread. The command line computes on the main thread, which has as much.
pub const STACK_BYTES: usize = 8 << 20;

/// A device, and the threads that do the host's share of the work.
pub struct Engine {
    pub device: Device,
    pub pool: Arc<rayon::ThreadPool>,
}

type Engines = Mutex<Vec<((String, usize), Arc<Engine>)>>;

/// Those of this process; null until the first is opened.
static ENGINES: AtomicPtr<Engines> = AtomicPtr::new(std::ptr::null_mut());

/// The engines of this process.
fn engines() -> &'static Engines {
    let mut now = ENGINES.load(Ordering::Acquire);
    if now.is_null() {
        let new = Box::into_raw(Box::default());
        match ENGINES.compare_exchange(now, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => now = new,
            Err(other) => {
                // SAFETY: `new` was made from a box above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(new) });
                now = other;
            }
        }
    }
    // SAFETY: the pointer was made from a box that is never freed.
    unsafe { &*now }
}

/// Opens a device and starts threads, or takes those of an earlier call. `threads` is 0 for all cores.
pub fn open(device: &str, threads: usize) -> Result<Arc<Engine>> {
    let choice: DeviceChoice = device.parse()?;
    let key = (device.to_string(), threads);
    let mut engines = engines().lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, engine)) = engines.iter().find(|(other, _)| *other == key) {
        return Ok(Arc::clone(engine));
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(STACK_BYTES)
        .thread_name(|i| format!("chanscope-{i}"))
        .build();
    let pool = pool.map_err(|e| Error::Device {
        device: "host".into(),
        problem: DeviceProblem::Threads {
            threads,
            reason: e.to_string(),
        },
    })?;
    let engine = Arc::new(Engine {
        device: Device::open(&choice, threads)?,
        pool: Arc::new(pool),
    });
    engines.push((key, Arc::clone(&engine)));
    Ok(engine)
}

/// To be called in the child after a fork, which has none of its parent's threads: it opens engines of its own. Those of
/// the parent are left as they are, because to drop them would wait for their threads.
#[pyfunction]
pub fn forked() {
    ENGINES.store(std::ptr::null_mut(), Ordering::Release);
}
