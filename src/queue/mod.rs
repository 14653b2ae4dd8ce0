//! A queue: the operations, each one reading of the state, one decision by the index, one commit.

mod attached;
mod change;
mod fold;
mod handle;
mod look;
mod moves;
mod receive;
mod send;
mod settle;
mod stats;
mod update;
mod view;
mod whole;
mod work;

pub use moves::{Filter, Redriven};
pub use receive::Receive;
pub use settle::Nack;
pub(crate) use settle::single;
pub use stats::{LockStats, Stats};
pub use update::MessageUpdate;
pub use view::{List, Page};
pub use whole::{Array, Transaction};
pub use work::{Keeper, Work};

pub(crate) use handle::Handle;

#[cfg(test)]
mod converted;
#[cfg(test)]
#[cfg(not(shuttle))]
mod crashes;
#[cfg(test)]
mod damaged;
#[cfg(test)]
mod doubtful;
#[cfg(test)]
mod given_up;
#[cfg(test)]
mod interleaved;
#[cfg(test)]
mod journalled;
#[cfg(test)]
mod moving;
#[cfg(test)]
mod taken_back;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Mode;
use crate::error::{Error, ErrorKind, Result};
use crate::store::files::{Files, Need};
use crate::store::lock::Hold;

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
        let attached = handle.attached()?;
        handle.mending(&attached, || {
            let hold = attached.hold(&handle.patience())?;
            let files = &mut attached.entry.state().files;
            files.refresh(&*handle.spool.store, &handle.name, Need::Tail)?;
            handle.sync_files(files, &hold)
        })
    }

    /// Folds the journal into the queue's file. Nothing to do for a plain queue.
    pub fn checkpoint(&self) -> Result<()> {
        let handle = &self.handle;
        let patience = handle.patience();
        if handle.fold(&*handle.attached()?, &patience)? {
            return Ok(());
        }
        let text = format!(
            "another process is making a checkpoint of queue {}; gave up after {} ms, nothing was changed",
            self.name(),
            patience.waited().as_millis()
        );
        Err(Error::new(ErrorKind::LockTimeout, text))
    }

    /// How the queue commits.
    pub fn mode(&self) -> Result<Mode> {
        let handle = &self.handle;
        let attached = handle.attached()?;
        handle.mending(&attached, || {
            let _hold = attached.hold_shared(&handle.patience())?;
            let files = &mut attached.entry.state().files;
            files.refresh(&*handle.spool.store, &handle.name, Need::Tail)?;
            Ok(files.mode())
        })
    }

    /// Gives the queue a journal, or folds it and takes it away. Its messages and their leases stay.
    pub fn convert(&self, mode: Mode) -> Result<()> {
        let handle = &self.handle;
        self.with_files(|files, hold| {
            let store = &*handle.spool.store;
            let record = || handle.record(mode);
            files.convert(store, &handle.name, mode, record, hold)
        })
    }

    /// Runs `job` under the exclusive lock until it says that it is done; false is that the lock was taken away.
    fn with_files(&self, mut job: impl FnMut(&mut Files, &Hold) -> Result<bool>) -> Result<()> {
        let handle = &self.handle;
        let attached = handle.attached()?;
        handle.mending(&attached, || {
            let hold = attached.hold(&handle.patience())?;
            while !job(&mut attached.entry.state().files, &hold)? {
                hold.renew(&handle.patience())?;
            }
            Ok(())
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
