//! Folding a queue's journal, and taking it over from a lock file that has gone.

use super::{Files, Need, Seen};
use crate::error::Result;
use crate::format::name::{QueueName, TEMPORARY_SUFFIX};
use crate::store::Store;
use crate::store::journal::{Cut, Fold, Journal, NewPlaces};
use crate::store::lock::Hold;

impl Files {
    /// Whether the journal has outgrown what is in it. Who only sends leaves it to those who receive, for a while.
    pub(crate) fn is_long(&self) -> bool {
        let (journal, is_long) = match &self.seen {
            Seen::Journal(journal) => (journal, journal.is_long()),
            Seen::Tail(journal) => (journal, journal.is_very_long()),
            _ => return false,
        };
        let is_put_off = |(id, size)| journal.id() == id && journal.size() <= size;
        is_long && !self.put_off.is_some_and(is_put_off)
    }

    /// Not to be folded because of its size before it has grown by a quarter.
    pub(crate) fn put_off(&mut self, store: &dyn Store, name: &QueueName) {
        let journal = store.stat(&name.journal()).ok().flatten();
        self.put_off = journal.map(|stat| (stat.id, stat.size + stat.size / 4));
    }

    /// Whether folding now costs next to nothing, and shows the queue to whoever reads the snapshot alone.
    pub(crate) fn is_small_and_unfolded(&self) -> bool {
        match &self.seen {
            Seen::Journal(journal) | Seen::Tail(journal) => {
                journal.is_small() && !journal.is_folded()
            }
            _ => false,
        }
    }

    /// Gives the queue a journal that belongs to the lock file that is held, with the same in it, and reads that. `None`: the lock is
    /// no longer ours.
    pub(super) fn take_over(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        mut journal: Box<Journal>,
        hold: &Hold,
    ) -> Result<Option<Box<Journal>>> {
        self.seen = Seen::Nothing;
        // A checkpoint may have been cut short since the last look.
        let is_its = journal.has_its_snapshot(store, name, true)?;
        if !is_its || !journal.take_over(store, name, hold)? {
            return Ok(None);
        }
        self.refresh(store, name, Need::Index)?;
        Ok(match std::mem::replace(&mut self.seen, Seen::Nothing) {
            Seen::Journal(taken) if taken.belongs_to(hold.lock_file()?) => Some(taken),
            _ => None,
        })
    }

    /// A checkpoint in one go, under lock and guard.
    pub(super) fn fold(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        journal: &mut Journal,
        cut: Cut,
        hold: &Hold,
    ) -> Result<bool> {
        if !journal.has_its_snapshot(store, name, true)? {
            return Ok(false);
        }
        let fold = cut.write(store, name, TEMPORARY_SUFFIX)?;
        let places = fold.end(journal, store, name, hold)?;
        let done = places.is_some();
        if let Some(mut places) = places {
            places.apply(usize::MAX, journal, &mut self.index);
        }
        Ok(done)
    }

    /// Folds the journal into the snapshot under lock and guard; nothing to do for a plain queue. False: the lock is no
    /// longer ours.
    pub(crate) fn checkpoint(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        hold: &Hold,
    ) -> Result<bool> {
        self.refresh(store, name, Need::Index)?;
        let Seen::Journal(mut journal) = std::mem::replace(&mut self.seen, Seen::Nothing) else {
            return Ok(true);
        };
        let lock = hold.lock_file()?;
        if !journal.belongs_to(lock) {
            let Some(taken) = self.take_over(store, name, journal, hold)? else {
                return Ok(false);
            };
            journal = taken;
        }
        let mut done = journal.is_folded() && !journal.has_ended(lock);
        if !done {
            let cut = Cut::now(&journal, &self.index, lock);
            done = self.fold(store, name, &mut journal, cut, hold)?;
        }
        if done {
            self.seen = Seen::Journal(journal);
        }
        Ok(done)
    }

    /// Whether there is something to fold.
    pub(crate) fn is_unfolded(&mut self, store: &dyn Store, name: &QueueName) -> Result<bool> {
        let is_unfolded =
            |files: &Self| files.journal().is_some_and(|journal| !journal.is_folded());
        self.refresh(store, name, Need::Tail)?;
        if !is_unfolded(self) {
            // What is there may be damaged, or another program's: that is told.
            self.refresh(store, name, Need::Index)?;
        }
        Ok(is_unfolded(self))
    }

    /// The first step of a checkpoint, under the lock; `None` when there is nothing to fold.
    pub(crate) fn cut(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        hold: &Hold,
    ) -> Result<Option<Cut>> {
        self.refresh(store, name, Need::Index)?;
        let lock = hold.lock_file()?;
        Ok(match &self.seen {
            Seen::Journal(journal) if !journal.is_folded() => {
                Some(Cut::now(journal, &self.index, lock))
            }
            _ => None,
        })
    }

    /// The last step of a checkpoint, under lock and guard. `None`: it came to nothing, because somebody else made another.
    /// What it brings is for [`Files::relocate`], which needs no lock.
    pub(crate) fn end(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        fold: Fold<'_>,
        hold: &Hold,
    ) -> Result<Option<NewPlaces>> {
        self.refresh(store, name, Need::Index)?;
        let Seen::Journal(mut journal) = std::mem::replace(&mut self.seen, Seen::Nothing) else {
            return Ok(None);
        };
        if !journal.has_its_snapshot(store, name, true)? {
            return Ok(None);
        }
        if !journal.belongs_to(hold.lock_file()?) {
            // The next try is made of that.
            let taken = self.take_over(store, name, journal, hold)?;
            self.seen = taken.map_or(Seen::Nothing, Seen::Journal);
            return Ok(None);
        }
        // What was committed behind the cut is known only where it was read.
        let is_read_anew = journal.has_failed();
        let places = fold.end(&mut journal, store, name, hold)?;
        if places.is_some() && !is_read_anew {
            self.seen = Seen::Journal(journal);
        }
        Ok(places)
    }

    /// So many bodies are elsewhere; whether that was all. Until this is said they are read from files that have been replaced.
    pub(crate) fn relocate(&mut self, places: &mut NewPlaces, count: usize) -> bool {
        match &self.seen {
            Seen::Journal(journal) => places.apply(count, journal, &mut self.index),
            _ => true,
        }
    }
}
