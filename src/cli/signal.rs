//! Signals that end the process: what was begun is removed first, and then the process dies by the very signal, so that
//! shells and schedulers see it.
//!
//! Long computations ask [`cancelled`] between blocks and return through the usual clean-up. What does not return in time,
//! such as a batch on a slow adapter, is not waited for: another thread removes what was written and ends the process.

use super::output;
use chanscope::io::sink::abandon;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long the computation is waited for after a signal.
const PATIENCE: Duration = Duration::from_millis(250);

static CANCELLED: AtomicBool = AtomicBool::new(false);
/// The signal that came first; 0 for none.
static RECEIVED: AtomicI32 = AtomicI32::new(0);
/// What to do after a signal, where something was kept.
static ADVICE: Mutex<Option<String>> = Mutex::new(None);
/// Whether the user was told.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Set by a signal; long computations stop at the next block and clean up.
pub fn cancelled() -> &'static AtomicBool {
    &CANCELLED
}

/// Begins to listen for SIGINT (Ctrl-C), SIGTERM and SIGHUP. To be called before anything is written.
pub fn listen() {
    system::listen();
}

/// Says what is to be told beside that the command was cancelled: what it leaves and how to go on.
pub fn advise(advice: String) {
    *ADVICE.lock().unwrap_or_else(PoisonError::into_inner) = Some(advice);
}

/// To be called with what stopped the command, after cleaning up. Ends the process if a signal was the reason.
pub fn end(message: &str) {
    let signal = RECEIVED.load(Ordering::SeqCst);
    if signal != 0 {
        tell(message);
        system::die(signal);
    }
}

/// Notes a signal; the first one sets off the clean-up, another one ends the process at once.
fn receive(signal: i32) {
    if RECEIVED.swap(signal, Ordering::SeqCst) != 0 {
        system::die(signal);
    }
    CANCELLED.store(true, Ordering::SeqCst);
    // Where the system starts no further thread, the run still ends when it next looks, or by another signal.
    let _ = std::thread::Builder::new().spawn(move || {
        std::thread::sleep(PATIENCE);
        abandon();
        tell("cancelled");
        system::die(signal);
    });
}

fn tell(message: &str) {
    if !TOLD.swap(true, Ordering::SeqCst) {
        let advice = ADVICE.lock().unwrap_or_else(PoisonError::into_inner);
        match &*advice {
            Some(advice) => output::error(&format!("{message}; {advice}")),
            None => output::error(message),
        }
    }
}

#[cfg(unix)]
mod system {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    use signal_hook::iterator::Signals;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    pub fn listen() {
        let mut wanted = vec![SIGINT, SIGTERM];
        // `nohup` has it ignored, which is to stay so.
        if !ignored(SIGHUP) {
            wanted.push(SIGHUP);
        }
        // With a handler, a file beyond the limit on sizes is an error like a full disk, and does not end the process.
        let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
        let Ok(mut signals) = Signals::new(wanted) else {
            return;
        };
        let _ = std::thread::Builder::new().spawn(move || {
            for signal in signals.forever() {
                super::receive(signal);
            }
        });
    }

    /// Dies by the signal.
    pub fn die(signal: i32) -> ! {
        let _ = signal_hook::low_level::emulate_default_handler(signal);
        // Not reached for signals whose default is to end the process.
        std::process::exit(128 + signal);
    }

    fn ignored(signal: i32) -> bool {
        let mut now = std::mem::MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: without a new action, sigaction only writes the present one to `now`, which has room for it.
        unsafe {
            libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr()) == 0
                && now.assume_init().sa_sigaction == libc::SIG_IGN
        }
    }
}

#[cfg(not(unix))]
mod system {
    /// What a process ends with that Ctrl-C ended.
    const INTERRUPTED: i32 = 2;

    pub fn listen() {
        let _ = ctrlc::set_handler(|| super::receive(INTERRUPTED));
    }

    pub fn die(signal: i32) -> ! {
        std::process::exit(128 + signal);
    }
}
