//! Waiting for the device: for futures, for submitted work, and for what callbacks send.
//!
//! `native` blocks the thread and asks the device. `browser` has nothing to ask and must not block: it lets the browser
//! suspend the whole call, as the program that runs in it has said how ([`Suspension`]). Everything else in this folder
//! waits through these functions, so that kernels are the same in both.

#[cfg(target_family = "wasm")]
mod browser;
#[cfg(not(target_family = "wasm"))]
mod native;

#[cfg(target_family = "wasm")]
pub(super) use browser::{Submission, block_on, check, finish, received, wake};
#[cfg(target_family = "wasm")]
pub use browser::{Suspension, suspend_by};
#[cfg(not(target_family = "wasm"))]
pub(super) use native::{Submission, block_on, check, finish, received, wake};
