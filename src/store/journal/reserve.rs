//! Space that is kept for acks: on a full disk messages can still be received and acked, which is what makes room again.

use std::io;

use crate::error::{Error, Result};
use crate::format::name::QueueName;
use crate::store::make_directories;
use crate::store::{Open, Store};

const DIRECTORY: &str = ".gastown/reserve";
/// Enough for some hundred acks.
const SIZE: usize = 64 * 1024;

/// What a process knows of it. That outlives a commit that fails, behind which all that is known of the queue's files is read again.
#[derive(Debug, Default)]
pub(crate) struct Reserve {
    is_used: bool,
}

impl Reserve {
    /// Makes it again, if this process has used it.
    pub(super) fn make_again(&mut self, store: &dyn Store, name: &QueueName) -> Result<()> {
        if self.is_used {
            let path = || store.root().join(name.journal());
            let kept = keep(store, name);
            kept.map_err(|error| Error::io("keep space for acks beside", path(), error))?;
            self.is_used = false;
        }
        Ok(())
    }

    /// Gives the space free; says whether there was any.
    pub(super) fn release(&mut self, store: &dyn Store, name: &QueueName) -> bool {
        let released = store.remove(&path(name)).is_ok();
        self.is_used |= released;
        released
    }
}

/// Makes the reserve if it is not there. Where there is no space for it, there is none to keep.
pub(super) fn keep(store: &dyn Store, name: &QueueName) -> io::Result<()> {
    let path = path(name);
    let looked = store.stat(&path);
    if looked.is_ok_and(|stat| stat.is_some_and(|stat| stat.size >= SIZE as u64)) {
        return Ok(());
    }
    make(store, &path).inspect_err(|_| drop(store.remove(&path)))
}

fn make(store: &dyn Store, path: &str) -> io::Result<()> {
    let root = store.root_stat()?;
    make_directories(store, DIRECTORY, root.directory_mode())?;
    let mode = root.file_mode();
    let file = store.open(path, Open::Shared { mode })?;
    file.write_at(&vec![b'.'; SIZE], 0)
}

/// Whether this is the error of a disk without space.
pub(crate) fn is_full(error: &Error) -> bool {
    matches!(error.errno(), Some(libc::ENOSPC | libc::EDQUOT))
}

fn path(name: &QueueName) -> String {
    format!("{DIRECTORY}/{}", name.snapshot())
}
