//! Calls that fail because a test asks for it. Only builds with the feature `internals` hold this file.
//!
//! The environment variable `CHANSCOPE_FAULT` holds `CALL:N:WHAT`: what happens at the `N`-th call, from 1 on, of a kind
//! (`any` for all kinds). `trace` prints every such call on stderr instead, so that a test learns how many there are.

use super::Call;
use std::io::{Error, ErrorKind, Result};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// The call fails, as of a broken disk.
    Fail,
    /// The call fails, and so do all after it.
    Broken,
    /// No room on the disk.
    Full,
    /// A signal interrupts the call.
    Interrupt,
    /// Only one byte is read or written.
    Short,
    /// The process is killed before the call.
    Kill,
    /// The process gets SIGTERM before the call, and the call is made.
    Terminate,
    Trace,
}

struct Plan {
    call: Option<Call>,
    at: u64,
    what: What,
}

/// What the environment asks for. Anything that cannot be read ends the process, so that no test passes by a misprint.
fn plan() -> Option<&'static Plan> {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    let read = || {
        let text = std::env::var("CHANSCOPE_FAULT").ok()?;
        let parts: Vec<&str> = text.split(':').collect();
        let [call, at, what] = parts[..] else {
            panic!("CHANSCOPE_FAULT={text}");
        };
        let call = match call {
            "any" => None,
            "open" => Some(Call::Open),
            "read" => Some(Call::Read),
            "write" => Some(Call::Write),
            "sync" => Some(Call::Sync),
            "rename" => Some(Call::Rename),
            "exchange" => Some(Call::Exchange),
            "mkdir" => Some(Call::MakeFolder),
            "reserve" => Some(Call::Reserve),
            "remove" => Some(Call::Remove),
            _ => panic!("CHANSCOPE_FAULT={text}"),
        };
        let what = match what {
            "fail" => What::Fail,
            "broken" => What::Broken,
            "full" => What::Full,
            "interrupt" => What::Interrupt,
            "short" => What::Short,
            "kill" => What::Kill,
            "terminate" => What::Terminate,
            "trace" => What::Trace,
            _ => panic!("CHANSCOPE_FAULT={text}"),
        };
        let at = at.parse().expect("CHANSCOPE_FAULT: a number");
        Some(Plan { call, at, what })
    };
    PLAN.get_or_init(read).as_ref()
}

/// To be called before every call. `true`: only one byte is to be read or written.
pub(super) fn meet(call: Call) -> Result<bool> {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let Some(plan) = plan() else {
        return Ok(false);
    };
    if plan.call.is_some_and(|c| c != call) {
        return Ok(false);
    }
    let at = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    if plan.what == What::Trace {
        eprintln!("call {call:?}");
        return Ok(false);
    }
    if at != plan.at && !(plan.what == What::Broken && at > plan.at) {
        return Ok(false);
    }
    match plan.what {
        What::Fail | What::Broken => Err(Error::other("a call that a test made fail")),
        What::Full => Err(ErrorKind::StorageFull.into()),
        What::Interrupt => Err(ErrorKind::Interrupted.into()),
        What::Short => Ok(true),
        What::Kill => {
            signal(true);
            loop {
                std::thread::park();
            }
        }
        What::Terminate => {
            signal(false);
            Ok(false)
        }
        What::Trace => Ok(false),
    }
}

/// Sends this process SIGKILL or SIGTERM. Panics where it cannot, so that no test passes without its fault.
fn signal(kill: bool) {
    #[cfg(unix)]
    {
        use rustix::process::{Signal, getpid, kill_process};
        let signal = if kill { Signal::KILL } else { Signal::TERM };
        kill_process(getpid(), signal).expect("a signal to this process");
    }
    #[cfg(not(unix))]
    if kill {
        std::process::abort();
    }
}
