//! What stood in a journal when this process opened it.
//!
//! A sync that fails is told once to each descriptor that was open at that time. Who opens the file later is told nothing: he
//! reads what the system has thrown away, and his own sync succeeds without it. INV-30: so before he vouches for a journal for the
//! first time, he writes again what is not known to be durable; then his sync takes it along, or fails. And whoever gave the journal
//! its name may not have been able to make that durable.

use std::path::Path;

use super::Journal;
use crate::error::{Error, Result};
use crate::format::frame::{Cursor, HEADER_BYTES, Header};
use crate::format::name::QueueName;
use crate::store::Store;

/// So much is written at once.
const PART: u64 = 1024 * 1024;
/// If it is more than this, it is synced at once, so that the next frame can say so and the next process has little to do.
const LITTLE: u64 = 64 * 1024;

impl Journal {
    /// Takes responsibility for what others have written, under the lock.
    pub(crate) fn vouch(&mut self, store: &dyn Store, name: &QueueName) -> Result<()> {
        if self.vouched || cfg!(mutant = "inherited_trusted") {
            return Ok(());
        }
        let (from, end) = (self.synced, self.cursor.offset);
        // Makes the journal's name durable.
        store.sync_directory("").map_err(|error| {
            Error::io(
                "sync the directory of",
                store.root().join(name.journal()),
                error,
            )
        })?;
        if from < end {
            self.write_again(store, name, from, end)?;
            self.require_frames(store, name, from)?;
        }
        if end.saturating_sub(from) > LITTLE {
            // Makes what others wrote durable, and nothing of this process's own yet.
            if let Err(error) = self.syncs.sync(end) {
                self.poison(store, name);
                return Err(Error::io("sync", store.root().join(name.journal()), error));
            }
            self.synced = end;
        }
        self.vouched = true;
        Ok(())
    }

    fn write_again(
        &self,
        store: &dyn Store,
        name: &QueueName,
        mut from: u64,
        end: u64,
    ) -> Result<()> {
        let path = store.root().join(name.journal());
        while from < end {
            let part = usize::try_from(PART.min(end - from)).unwrap_or_default();
            let read = self.file.read_at(from, part);
            let bytes = read.map_err(|error| Error::io("read", &path, error))?;
            if bytes.len() < part {
                return Err(gone(&path, from));
            }
            let written = self.file.write_at(&bytes, from);
            written.map_err(|error| Error::io("write again what others wrote to", &path, error))?;
            from += bytes.len() as u64;
        }
        Ok(())
    }

    /// What was written again may not have been what was read before: the system may have read it from the disk in between.
    fn require_frames(&self, store: &dyn Store, name: &QueueName, from: u64) -> Result<()> {
        let frames = self.frames(store, name, self.cursor.offset);
        let damaged = || gone(&frames.path, from);
        let header = Header::read(&frames.bytes(from, HEADER_BYTES)?).ok_or_else(damaged)?;
        let cursor = Cursor {
            offset: from,
            number: header.number,
            previous: header.previous,
            ..self.cursor
        };
        let (end, _) = frames.read(cursor, |_| Ok(()))?;
        if end == self.cursor {
            Ok(())
        } else {
            Err(damaged())
        }
    }
}

pub(super) fn gone(path: &Path, at: u64) -> Error {
    let rule = "what was read here a moment ago is not there any more: the disk has refused it, or somebody has changed it";
    Error::corrupt(path, at, rule)
}
