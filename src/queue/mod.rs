//! A queue: the operations, each one reading of the state, one decision by the index, one commit.

mod receive;
mod send;
mod settle;
mod view;
mod whole;

pub use receive::Receive;
pub use settle::Nack;
pub(crate) use settle::single;
pub use view::{List, Page, Stats};
pub use whole::{Array, Transaction};

pub(crate) use handle::Handle;

mod handle;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Result;

/// A queue of a spool.
///
/// Cheap to clone; clones are one handle, so that closing or interrupting one does it to all. Any
/// number of handles, threads and processes use one queue at the same time.
#[derive(Debug, Clone)]
pub struct Queue {
    pub(crate) handle: Arc<Handle>,
}

impl From<Arc<Handle>> for Queue {
    fn from(handle: Arc<Handle>) -> Self {
        Self { handle }
    }
}

impl Queue {
    /// The queue's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.handle.name.as_str()
    }

    /// The queue's file, which need not exist.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.handle.path()
    }

    /// Makes everything committed so far durable, whatever the durability of the commits was.
    pub fn sync(&self) -> Result<()> {
        let handle = &self.handle;
        handle.with_lock(|attached, _hold| {
            let mut state = attached.entry.state();
            let store = &*handle.spool.store;
            state.snapshot.refresh(store, &handle.name)?;
            state.snapshot.sync(store, &handle.name)
        })
    }

    /// Ends the waits in progress on this handle with `Interrupted`; when there is none, the next one.
    pub fn interrupt(&self) {
        if let Ok(attached) = self.handle.attached() {
            attached.interrupts.interrupt();
        }
    }

    /// Gives back the leases taken through this handle and not yet settled. Detached leases go on. Waits in progress
    /// end with `Closed`, and so does every later use; closing it again does nothing.
    pub fn close(&self) -> Result<()> {
        self.handle.close()
    }
}
