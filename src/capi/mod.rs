//! The C ABI: `include/flockq.h`. Every function here checks its pointers, calls one method of the
//! Rust API and translates the result; it decides nothing.
//!
//! The names are C's. `unsafe` is needed to follow the caller's pointers; `guard` has the few
//! functions that do.

#![allow(unsafe_code, reason = "following the pointers of C callers")]
#![allow(non_camel_case_types, reason = "these are the names in the C header")]
#![allow(
    clippy::missing_safety_doc,
    reason = "the rules on top of the header hold for every function"
)]
#![allow(
    clippy::not_unsafe_ptr_arg_deref,
    reason = "every pointer is checked in `guard` before it is followed"
)]

mod delivery;
mod envelope;
mod error;
mod filelock;
mod guard;
mod keeper;
mod options;
mod queue;
mod settle;
mod spool;
#[cfg(test)]
mod tests;
mod transaction;
mod types;

pub use delivery::*;
pub use envelope::*;
pub use error::*;
pub use filelock::*;
pub use keeper::*;
pub use options::*;
pub use queue::*;
pub use settle::*;
pub use spool::*;
pub use transaction::*;
pub use types::*;
