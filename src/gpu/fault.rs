//! Calls of the device that fail because a test asks for it. Only builds with the feature `internals` hold this file.
//!
//! A test in the same process calls `Gpu::fail`. Tests of the command line set the environment variable
//! `CHANSCOPE_DEVICE_FAULT` to `CALL:N:WHAT`: what happens at the `N`-th call of a kind, from 1 on.

use super::calls::{Call, Failure};
use std::sync::{Mutex, PoisonError};

/// Which calls fail, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind of call.
    pub call: Call,
    /// Calls for fewer bytes are not counted.
    pub bytes: u64,
    /// Number of the first call that fails, from 1 on.
    pub first: u64,
    /// How many calls in a row fail.
    pub times: u64,
    /// How they fail.
    pub failure: Failure,
}

#[derive(Default)]
struct State {
    calls: [u64; Call::ALL.len()],
    fault: Option<Fault>,
    /// Calls so far that the fault counts.
    counted: u64,
}

/// The calls of one device.
pub(super) struct Faults(Mutex<State>);

impl Default for Faults {
    fn default() -> Self {
        let state = State {
            fault: asked_for(),
            ..State::default()
        };
        Self(Mutex::new(state))
    }
}

impl Faults {
    /// To be called before every call that can fail. `bytes`: how many it asks for.
    pub(super) fn meet(&self, call: Call, bytes: u64) -> Option<Failure> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.calls[call as usize] += 1;
        let fault = state.fault.filter(|f| f.call == call && bytes >= f.bytes)?;
        state.counted += 1;
        let fails = (fault.first..fault.first.saturating_add(fault.times)).contains(&state.counted);
        fails.then_some(fault.failure)
    }

    /// Makes calls fail from now on, or none. Gives back how many calls of each kind there were since the last time,
    /// in the order of [`Call::ALL`].
    pub(super) fn set(&self, fault: Option<Fault>) -> [u64; Call::ALL.len()] {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = State {
            fault,
            ..State::default()
        };
        std::mem::replace(&mut *state, new).calls
    }
}

/// What the environment asks for. Anything that cannot be read ends the process, so that no test passes by a misprint.
fn asked_for() -> Option<Fault> {
    let text = std::env::var("CHANSCOPE_DEVICE_FAULT").ok()?;
    let parts: Vec<&str> = text.split(':').collect();
    let [call, first, what] = parts[..] else {
        panic!("CHANSCOPE_DEVICE_FAULT={text}");
    };
    let call = match call {
        "allocate" => Call::Allocate,
        "write" => Call::Write,
        "submit" => Call::Submit,
        "wait" => Call::Wait,
        _ => panic!("CHANSCOPE_DEVICE_FAULT={text}"),
    };
    let (times, failure) = match what {
        "lost" => (1, Failure::Lost),
        // From then on there is no memory left.
        "full" => (u64::MAX, Failure::OutOfMemory),
        _ => panic!("CHANSCOPE_DEVICE_FAULT={text}"),
    };
    Some(Fault {
        call,
        bytes: 0,
        first: first.parse().expect("CHANSCOPE_DEVICE_FAULT: a number"),
        times,
        failure,
    })
}
