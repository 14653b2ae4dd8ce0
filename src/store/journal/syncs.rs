//! The syncs of one journal file by the threads of this process: one at a time, each for all who wrote before it.
//!
//! The system tells of a write that failed once for each open file, to whoever syncs it next, and the sync after that succeeds
//! although the bytes are gone. What one thread has heard, all of them have to know before they call anything durable.

use std::io;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use crate::store::File;
use crate::sync::{Mutex, MutexGuard};

#[derive(Debug)]
pub(super) struct Syncs {
    file: Arc<dyn File>,
    /// Behind the last frame that this process has written.
    written: AtomicU64,
    /// What a sync failed with; 0 as long as none has.
    failed: AtomicI32,
    /// How much a sync has made durable. Taken for the time of a sync, and last of all mutexes.
    done: Mutex<u64>,
}

impl Syncs {
    pub(super) fn of(file: &Arc<dyn File>) -> Arc<Self> {
        Arc::new(Self {
            file: Arc::clone(file),
            written: AtomicU64::new(0),
            failed: AtomicI32::new(0),
            done: Mutex::default(),
        })
    }

    /// Everything before this offset has been written.
    pub(super) fn written(&self, upto: u64) {
        self.written.fetch_max(upto, Ordering::AcqRel);
    }

    /// Makes everything before `upto` durable. Fails once a sync of the file has failed, whoever's it was.
    pub(super) fn sync(&self, upto: u64) -> io::Result<()> {
        let mut done = self.done();
        self.sound()?;
        if *done >= upto {
            return Ok(());
        }
        let upto = self.written.load(Ordering::Acquire).max(upto);
        self.call(&done)?;
        *done = upto;
        Ok(())
    }

    /// Fails once a sync of the file has failed, whoever's it was.
    pub(super) fn sound(&self) -> io::Result<()> {
        match self.failed.load(Ordering::Acquire) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Makes what was written last durable, of whatever is there: for those who do not build on what was written before.
    pub(super) fn sync_anew(&self) -> io::Result<()> {
        self.call(&self.done())
    }

    fn call(&self, _done: &MutexGuard<'_, u64>) -> io::Result<()> {
        if cfg!(mutant = "no_journal_sync") {
            return Ok(());
        }
        let synced = self.file.sync_data();
        if cfg!(mutant = "sync_retried") {
            return synced.or_else(|_| self.file.sync_data());
        }
        if let Err(error) = &synced {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            self.failed.store(errno, Ordering::Release);
        }
        synced
    }

    fn done(&self) -> MutexGuard<'_, u64> {
        // A number only.
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::store::fault::FaultStore;
    use crate::store::{Open, Store};

    #[test]
    fn one_sync_serves_all_who_wrote_before_it_and_one_failure_is_told_to_all() {
        let store = FaultStore::new();
        let file = store.open("journal", Open::New { mode: 0o600 }).unwrap();
        let syncs = Syncs::of(&file);
        store.forget_effects();
        file.write_at(b"onetwo", 0).unwrap();
        syncs.written(6);
        syncs.sync(3).unwrap();
        syncs.sync(6).unwrap();
        assert_eq!(store.effects(), ["write journal", "sync journal"]);
        file.write_at(b"three", 6).unwrap();
        store.fail(0, libc::EIO);
        assert!(syncs.sync(11).is_err());
        // The system has told somebody, and says no more.
        assert!(syncs.sync(11).is_err());
        syncs.sync_anew().unwrap();
        assert!(syncs.sync(11).is_err());
        assert_eq!(store.effects(), ["sync journal", "sync journal"]);
    }
}
