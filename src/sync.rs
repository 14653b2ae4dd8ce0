//! What the threads of one process wait with: the standard library's, or, under `cfg(shuttle)`, that of the package that
//! tries schedules (`schedules.rs`).
//!
//! A mutex of the standard library stays one where the fork handler or a static has it. Nothing waits while it holds one of
//! those, or the schedules would stand still.

#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, atomic};
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::thread;
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::thread;
