//! The C interface: opaque handles, plain arrays, errors as codes with a message.
//!
//! [`status`] holds the codes and the message of the last error; every exported function runs its body through
//! [`status::guard`], which turns errors and panics into codes. [`context`] says where and within which bounds a
//! computation runs. [`redundancy`], [`graph`] and [`filters`] compute. `include/chanscope.h` is generated from these files
//! by `tests/header.rs`, comments included, so that they are written for a reader of the header.

pub mod context;
pub mod filters;
pub mod graph;
pub mod redundancy;
pub mod status;
mod view;
