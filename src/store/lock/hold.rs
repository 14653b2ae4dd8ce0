//! What whoever holds a lock can ask of it, until it is given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Care, Lock};
use crate::error::Result;
use crate::store::LockKind;
use crate::store::gate::Pass;
use crate::store::own_file::OwnFile;
use crate::store::patience::Patience;
use crate::store::real::{generation, require_generation};

/// A held lock. Dropping it gives it back, from whatever thread.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(super) lock: Arc<Lock>,
    pub(super) pass: Pass,
    pub(super) guarded: AtomicBool,
    /// How many messages it made ready, as far as it knows: so many receivers are woken when it ends.
    pub(super) brought: AtomicUsize,
    pub(super) generation: u64,
    pub(super) place: Place,
}

/// Where a hold stands: what it gives back when it goes, also when it never came to be.
#[derive(Debug)]
pub(super) enum Place {
    /// In the gate, with the process's one descriptor.
    Inside,
    /// Beside it and others, shared, with a descriptor of its own as soon as that is locked.
    Beside(Option<OwnFile>),
}

impl Hold {
    /// Whether the lock file is still the file at its path; asked again just before a file is replaced.
    pub(crate) fn is_current(&self) -> Result<bool> {
        self.check_process()?;
        Ok(self.has_its_lock()? && (!self.is_guarded() || self.has_its_guard()?))
    }

    /// Whether nobody can have begun a new generation of the journal that belongs to the lock file that is held: it still has
    /// its name, or the guard is held, which that takes.
    pub(crate) fn keeps_its_journal(&self) -> Result<bool> {
        if self.is_guarded() {
            return self.has_its_guard();
        }
        let has_its_lock = self.has_its_lock()?;
        self.lock.lost.store(!has_its_lock, Ordering::Relaxed);
        Ok(has_its_lock)
    }

    /// Whether nobody appends from now on to a journal that belongs to this lock file without learning that it has been
    /// replaced: it is the one that is held, or has lost its name, which whoever appends finds out afterwards.
    pub(crate) fn ends_journal_of(&self, lock: u64) -> Result<bool> {
        if !self.has_its_guard()? {
            return Ok(false);
        }
        let at_path = self.lock.look_at(&self.lock.names.lock)?;
        let (held, at_path) = (self.lock_file()?, at_path.map(|stat| stat.id.inode));
        self.lock
            .lost
            .store(at_path != Some(held), Ordering::Relaxed);
        Ok(held == lock || at_path != Some(lock))
    }

    fn has_its_lock(&self) -> Result<bool> {
        let files = self.lock.files();
        self.lock
            .is_at_its_path(&self.lock.names.lock, files.lock.as_ref())
    }

    fn has_its_guard(&self) -> Result<bool> {
        let files = self.lock.files();
        self.lock
            .is_at_its_path(&self.lock.names.guard, files.guard.as_ref())
    }

    /// The inode number of the lock file that is held. No other file can have it as long as this one is open.
    pub(crate) fn lock_file(&self) -> Result<u64> {
        self.check_process()?;
        let files = self.lock.files();
        Ok(files.lock.as_ref().map_or(0, |file| file.id.inode))
    }

    pub(crate) fn is_guarded(&self) -> bool {
        self.guarded.load(Ordering::Relaxed)
    }

    /// So many messages were made ready.
    pub(crate) fn brought(&self, messages: usize) {
        self.brought.fetch_add(messages, Ordering::Relaxed);
    }

    /// Takes the guard as well. What was read under the lock alone may be old.
    pub(crate) fn guard(&self, patience: &Patience) -> Result<()> {
        self.check_process()?;
        self.guarded.store(true, Ordering::Relaxed);
        self.lock.take_guard(patience, &mut false)
    }

    /// Takes the lock again from the start, because its file was replaced. What was read under it may be old.
    pub(crate) fn renew(&self, patience: &Patience) -> Result<()> {
        self.check_process()?;
        // Everything is let go first: another process may hold the new lock file and wait for the guard.
        self.lock.give_back(self.is_guarded(), 0);
        let care = if self.is_guarded() {
            Care::Guarded
        } else {
            Care::AtCommit
        };
        self.lock.lost.store(true, Ordering::Relaxed);
        let guarded =
            self.lock
                .take(LockKind::Exclusive, care, patience, &mut false, &mut || ())?;
        self.guarded.store(guarded, Ordering::Relaxed);
        Ok(())
    }

    /// A hold does not survive a fork: the child has neither the lock nor the descriptor.
    pub(crate) fn check_process(&self) -> Result<()> {
        require_generation(self.generation)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.generation != generation() {
            return;
        }
        match &self.place {
            Place::Inside => {
                let brought = self.brought.load(Ordering::Relaxed);
                self.lock.give_back(self.is_guarded(), brought);
                self.lock.gate.leave(&self.pass);
            }
            Place::Beside(file) => {
                if let Some(file) = file {
                    let ring = self.lock.bell().before_release(0);
                    let _ = file.unlock();
                    self.lock.bell().after_release(&ring);
                }
                self.lock.gate.leave_beside(&self.pass);
            }
        }
    }
}
