//! The files of one queue: which of them there are, and the way from them to the index and back.

mod fold;
mod open;
#[cfg(all(test, not(shuttle)))]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use open::{has_journal, open, open_tail, opened};

use super::counters::{self, Counted, LockCounts, Uncounted};
use super::journal::{Appended, Commit, Cut, Doubtful, Journal, Looked, Reserve, Unsynced};
use super::lock::Hold;
use super::plain::{Durable, Plain};
use super::{FileId, Stat, Store};
use crate::config::{Config, Mode, Policy};
use crate::error::{Error, ErrorKind, Result};
use crate::format::journal::Totals;
use crate::format::name::{CONFIG_FILE, QueueName};
use crate::index::past::Past;
use crate::index::{Change, Index};

/// How often this process has begun to read a queue's files from the start.
static READINGS: AtomicU64 = AtomicU64::new(0);

/// What this process knows of a queue.
#[derive(Debug)]
pub(crate) struct Files {
    index: Index,
    seen: Seen,
    /// Which reading the index is of. Where the files were read anew, the numbers of messages may be other ones.
    reading: u64,
    /// Whether `flockq.json` does not say yet that there is a journal.
    unrecorded: bool,
    /// The configuration as it was read last, and what holds for this queue.
    config: Arc<Config>,
    policy: Arc<Policy>,
    /// What the last commits count for, where no journal says it.
    uncounted: Uncounted,
    /// The configuration's file, as far as it was read.
    config_file: Option<Stat>,
    reserve: Reserve,
    /// The journal that is not folded because of its size before it is this long: a checkpoint of it has failed.
    put_off: Option<(FileId, u64)>,
}

#[derive(Debug)]
enum Seen {
    /// Not looked yet, or the last look failed.
    Nothing,
    /// There is no file: the queue is empty. The next commit makes it, in this mode.
    Missing(Mode),
    Plain(Plain),
    /// Another program has replaced the snapshot of a journalled queue.
    Replaced,
    /// The end of a journal, which is all that a sender needs; the index is empty.
    Tail(Box<Journal>),
    Journal(Box<Journal>),
}

/// How a commit went.
#[derive(Debug)]
#[must_use]
pub(crate) enum Committed {
    Yes,
    /// The lock is no longer ours, and nothing was changed.
    No,
    /// It was written when another file stood at the lock file's path: it tells by itself what became of it. Everything is to be read again.
    Doubtful(Doubtful),
}

/// What has been counted, and how many checkpoints there have been.
type Tallied = (Counted, u64);

/// How much of a queue an operation has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Every message.
    Index,
    /// Nothing: it only adds messages.
    Tail,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self {
            index: Index::empty(),
            seen: Seen::Nothing,
            reading: READINGS.fetch_add(1, Ordering::Relaxed),
            unrecorded: false,
            config: Arc::default(),
            policy: Arc::new(Config::default().policy("")),
            uncounted: Uncounted::default(),
            config_file: None,
            reserve: Reserve::default(),
            put_off: None,
        }
    }

    /// Brings the index up to date. Costs one look when nothing changed. Who needs no index gets one that may be empty.
    pub(crate) fn refresh(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        need: Need,
    ) -> Result<&mut Index> {
        if self.is_current(store, name, need)? {
            self.follow_config(store, name)?;
        } else {
            self.read_anew(store, name, need)?;
            if let Seen::Replaced = self.seen {
                let rule = "it is not the snapshot that the journal beside it builds on: another program has replaced it";
                return Err(Error::corrupt(store.root().join(name.snapshot()), 0, rule));
            }
        }
        Ok(&mut self.index)
    }

    /// The same without the lock, for who is about to take it. Where a journal's end does not tell enough for who only adds
    /// messages, a checkpoint is mostly at its last step: what to do is left to be decided under the lock, when that has ended.
    pub(crate) fn look_ahead(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        need: Need,
    ) -> Result<()> {
        if need == Need::Index || !has_journal(store, name)? {
            return self.refresh(store, name, need).map(drop);
        }
        let looked = match &mut self.seen {
            Seen::Tail(journal) => journal.refresh(store, name, None),
            Seen::Journal(journal) => journal.refresh(store, name, Some(&mut self.index)),
            _ => Ok(Looked::Replaced),
        };
        if matches!(looked, Ok(Looked::Current)) {
            self.follow_config(store, name)
        } else {
            self.begin_anew(store, name, need)
        }
    }

    /// Finds out what there is, and reads it.
    fn read_anew(&mut self, store: &dyn Store, name: &QueueName, need: Need) -> Result<()> {
        loop {
            self.begin_anew(store, name, need)?;
            if !matches!(self.seen, Seen::Nothing) {
                return Ok(());
            }
            match open(store, name, &self.config) {
                // Who looks without the lock, or under a lock file that somebody has removed, may find the files of before a
                // conversion and the configuration of after it, or the other way round.
                Err(error)
                    if error.kind() == ErrorKind::Corrupt && self.config_has_changed(store)? => {}
                found => {
                    (self.seen, self.index) = found?;
                    self.note_mode(name);
                    return Ok(());
                }
            }
        }
    }

    /// Which reading of the files this is, as long as that is good; `None` when they have to be read again.
    pub(crate) fn reading(&self) -> Option<u64> {
        let is_good = matches!(
            self.seen,
            Seen::Missing(_) | Seen::Plain(_) | Seen::Journal(_)
        );
        is_good.then_some(self.reading)
    }

    /// Reads the configuration, and a journal's end if that is enough.
    fn begin_anew(&mut self, store: &dyn Store, name: &QueueName, need: Need) -> Result<()> {
        self.reading = READINGS.fetch_add(1, Ordering::Relaxed);
        self.seen = Seen::Nothing;
        self.index = Index::empty();
        self.configure(store, name)?;
        if need == Need::Tail {
            self.seen = open_tail(store, name, &self.config)?;
            self.note_mode(name);
        }
        Ok(())
    }

    /// Whether there is a journal that is not on record.
    fn note_mode(&mut self, name: &QueueName) {
        let is_recorded = self.config.mode(name.as_str()) == Some(Mode::Journal);
        self.unrecorded = self.mode() == Mode::Journal && !is_recorded;
    }

    /// Whether the configuration's file is another one than was read.
    fn config_has_changed(&self, store: &dyn Store) -> Result<bool> {
        let now = look(store, CONFIG_FILE)?;
        Ok(match (&now, &self.config_file) {
            (Some(now), Some(then)) => !now.same_content(then),
            (now, then) => now.is_some() != then.is_some(),
        })
    }

    /// Reads the configuration.
    fn configure(&mut self, store: &dyn Store, name: &QueueName) -> Result<()> {
        let file = look(store, CONFIG_FILE)?;
        self.config = Arc::new(Config::load(store)?);
        self.policy = Arc::new(self.config.policy(name.as_str()));
        self.config_file = file;
        if let Some(journal) = self.journal_mut() {
            journal.heed_notice();
        }
        Ok(())
    }

    /// The configuration, as of the last refresh.
    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// What holds for this queue, as of the last refresh.
    pub(crate) fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Reads the configuration again if it was changed: a journal says so; where there is none, its file is looked at.
    fn follow_config(&mut self, store: &dyn Store, name: &QueueName) -> Result<()> {
        let is_changed = match self.journal() {
            Some(journal) => journal.is_noticed(),
            None => self.config_has_changed(store)?,
        };
        if is_changed {
            self.configure(store, name)?;
        }
        Ok(())
    }

    /// Tells the other processes that the configuration was changed, under lock and guard; those of a plain queue see it by
    /// themselves. False: the lock is no longer ours.
    pub(crate) fn announce(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        hold: &Hold,
    ) -> Result<bool> {
        self.refresh(store, name, Need::Tail)?;
        let lock = hold.lock_file()?;
        let has_ended = |journal: &Journal| journal.has_ended(lock);
        // The next generation is told.
        if self.journal().is_some_and(has_ended) && !self.checkpoint(store, name, hold)? {
            return Ok(false);
        }
        if let Some(journal) = self.journal_mut().filter(|journal| !has_ended(journal)) {
            journal.announce(store, name)?;
        }
        Ok(true)
    }

    fn is_current(&mut self, store: &dyn Store, name: &QueueName, need: Need) -> Result<bool> {
        let looked = || look(store, &name.snapshot());
        let (journal, index) = match &mut self.seen {
            Seen::Nothing | Seen::Replaced => return Ok(false),
            Seen::Missing(_) => {
                // What is made depends on what is on record.
                let is_missing = looked()?.is_none() && !has_journal(store, name)?;
                return Ok(is_missing && !self.config_has_changed(store)?);
            }
            Seen::Plain(plain) => {
                let is_same = looked()?.is_some_and(|stat| plain.is(&stat));
                return Ok(is_same && !has_journal(store, name)?);
            }
            Seen::Tail(_) if need == Need::Index => return Ok(false),
            Seen::Tail(journal) => (journal, None),
            Seen::Journal(journal) => (journal, Some(&mut self.index)),
        };
        let is_known = index.is_some();
        let looked = journal.refresh(store, name, index).and_then(|looked| {
            let is_current = looked == Looked::Current;
            // Whoever wrote a switch last may have died behind its snapshot's rename.
            let now = journal.is_switched();
            Ok(is_current && (!is_known || journal.has_its_snapshot(store, name, now)?))
        });
        if looked.is_err() {
            self.seen = Seen::Nothing;
        }
        looked
    }

    /// What the queue holds.
    pub(crate) fn totals(&self) -> Totals {
        match &self.seen {
            Seen::Tail(journal) => *journal.totals(),
            _ => self.index.totals(),
        }
    }

    /// Writes down what a commit counts for, if its journal does not say it, and how the lock was used. False: that could not be
    /// written, and is not counted.
    pub(crate) fn count(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        lock: Option<LockCounts>,
    ) -> bool {
        let uncounted = std::mem::take(&mut self.uncounted);
        if lock.is_none() && uncounted.is_nothing() {
            return true;
        }
        counters::change(store, name, |counted| {
            counted.take(&uncounted);
            counted.lock.add(&lock.unwrap_or_default());
        })
    }

    /// Writes down what a journal counts that is about to go. The next one begins to count anew.
    fn count_journal(&mut self, store: &dyn Store, name: &QueueName) {
        let Seen::Journal(journal) = &self.seen else {
            return;
        };
        self.uncounted.counters.add(&self.index.past().counters);
        self.uncounted.foreign_writes = journal.replaced();
        if let Some(snapshot) = journal.snapshot() {
            self.uncounted.replaced(None, snapshot);
        }
        self.count(store, name, None);
    }

    /// What has been counted, under the lock.
    pub(crate) fn counted(&self, store: &dyn Store, name: &QueueName) -> Tallied {
        let mut counted = counters::read(store, name);
        let mut checkpoints = 0;
        match &self.seen {
            Seen::Journal(journal) | Seen::Tail(journal) => {
                counted.counters.add(&self.index.past().counters);
                counted.add_foreign_writes(journal.replaced());
                checkpoints = journal.checkpoints();
            }
            Seen::Plain(plain) => {
                counted.add_foreign_writes(u64::from(counted.is_foreign(plain.stat())));
            }
            _ => {}
        }
        (counted, checkpoints)
    }

    /// Whether anything is known.
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self.seen, Seen::Nothing)
    }

    /// How many bytes of a journal have not been read yet.
    pub(crate) fn lag(&self, store: &dyn Store, name: &QueueName) -> u64 {
        let size = store.stat(&name.journal()).ok().flatten();
        let read = self.journal().map_or(0, Journal::size);
        size.map_or(0, |stat| stat.size.saturating_sub(read))
    }

    /// Whatever is known is read again.
    pub(crate) fn forget(&mut self) {
        *self = Self::new();
    }

    /// What the last refresh brought.
    pub(crate) fn index(&mut self) -> &mut Index {
        &mut self.index
    }

    /// Whether another program has replaced the snapshot of a journalled queue, which is to be mended first.
    pub(crate) fn is_replaced(&self) -> bool {
        matches!(self.seen, Seen::Replaced)
    }

    /// Makes what another program has put in place a part of the queue, under lock and guard. False: the lock is no longer
    /// ours.
    pub(crate) fn mend(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        hold: &Hold,
    ) -> Result<bool> {
        self.seen = Seen::Nothing;
        Journal::mend(store, name, hold)
    }

    /// Whether a journal has to be put on record before the next commit.
    pub(crate) fn is_unrecorded(&self) -> bool {
        self.unrecorded
    }

    pub(crate) fn recorded(&mut self) {
        self.unrecorded = false;
    }

    /// Sees to it that the journal, which is put on record next, is there also after a power cut: makes the files of a new queue
    /// that is to have one. The name of one that is there may not be durable: whoever made it may not have been able to sync it.
    pub(crate) fn make(&mut self, store: &dyn Store, name: &QueueName, hold: &Hold) -> Result<()> {
        if matches!(self.seen, Seen::Missing(Mode::Journal)) {
            self.seen = Seen::Nothing;
            Journal::create(store, name, hold.lock_file()?, self.policy.file_mode)?;
            (self.seen, self.index) = opened(Journal::open(store, name)?);
        } else if self.journal().is_some() {
            Journal::sync_name(store, name)?;
        }
        Ok(())
    }

    /// Commits these changes; a journal is not synced.
    pub(crate) fn commit(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        changes: &[Change],
        durable: Durable,
        hold: &Hold,
    ) -> Result<Committed> {
        let lock = hold.lock_file()?;
        if matches!(&self.seen, Seen::Tail(journal) if journal.has_ended(lock)) {
            self.refresh(store, name, Need::Index)?;
        }
        // What happened is not known when this fails: then everything is read again.
        match std::mem::replace(&mut self.seen, Seen::Nothing) {
            Seen::Tail(mut journal) => {
                let commit = Commit {
                    changes,
                    totals: after(*journal.totals(), changes),
                    durable,
                };
                let appended = journal.append(store, name, &commit, &mut self.reserve, hold)?;
                Ok(match appended {
                    Appended::Kept(_) => {
                        self.seen = Seen::Tail(journal);
                        Committed::Yes
                    }
                    Appended::Doubtful(doubtful) => Committed::Doubtful(doubtful),
                })
            }
            Seen::Journal(journal) => self.append(store, name, journal, changes, durable, hold),
            // What is there is to be looked at first.
            Seen::Nothing | Seen::Replaced => Ok(Committed::No),
            seen @ (Seen::Plain(_) | Seen::Missing(_)) => {
                let before = match &seen {
                    Seen::Plain(plain) => Some(plain),
                    _ => None,
                };
                if has_journal(store, name)? {
                    // A left-over, which would be taken for the queue's as soon as the file is another one. Who still takes it for
                    // the queue's appends to it under the lock that is at the path.
                    if !hold.is_current()? {
                        self.seen = seen;
                        return Ok(Committed::No);
                    }
                    Journal::remove(store, name)?;
                }
                let image = self.index.image(changes)?;
                let mode = self.policy.file_mode;
                let still_ours = || hold.is_current();
                let after = Plain::commit(before, mode, store, name, &image, durable, still_ours);
                let after = match after {
                    Ok(Some(after)) => after,
                    // What is at the path tells whether this still holds.
                    other => {
                        self.seen = seen;
                        return other.map(|_| Committed::No);
                    }
                };
                self.index.apply(changes, &[]);
                // The file says nothing of what is gone, and no other process would know.
                *self.index.past_mut() = Past::default();
                let found = before.map(|before| *before.stat());
                self.uncounted.replaced(found, *after.stat());
                for change in changes {
                    if let Change::Count(more) = change {
                        self.uncounted.counters.add(more);
                    }
                }
                self.seen = Seen::Plain(after);
                Ok(Committed::Yes)
            }
        }
    }

    fn append(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        mut journal: Box<Journal>,
        changes: &[Change],
        durable: Durable,
        hold: &Hold,
    ) -> Result<Committed> {
        let lock = hold.lock_file()?;
        if !journal.belongs_to(lock) {
            let Some(taken) = self.take_over(store, name, journal, hold)? else {
                return Ok(Committed::No);
            };
            journal = taken;
        }
        if let [Change::Reset(elements)] = changes {
            let array: Vec<_> = elements
                .iter()
                .map(|element| Arc::clone(element.text()))
                .collect();
            // Afterwards everything is read again.
            let cut = Cut::array(&journal, &array, self.index.past(), lock);
            let done = self.fold(store, name, &mut journal, cut, hold)?;
            return Ok(if done { Committed::Yes } else { Committed::No });
        }
        if journal.has_ended(lock) {
            let cut = Cut::now(&journal, &self.index, lock);
            if !self.fold(store, name, &mut journal, cut, hold)? {
                return Ok(Committed::No);
            }
        }
        let commit = Commit {
            changes,
            totals: self.index.totals_after(changes),
            durable,
        };
        let appended = journal.append(store, name, &commit, &mut self.reserve, hold)?;
        Ok(match appended {
            Appended::Kept(wrote) => {
                self.seen = Seen::Journal(journal);
                self.index.apply(changes, &wrote);
                Committed::Yes
            }
            Appended::Doubtful(doubtful) => Committed::Doubtful(doubtful),
        })
    }

    /// Whether the next commit under this lock file appends: no file is replaced, so no guard is needed.
    fn is_appended_under(&self, lock: u64) -> bool {
        let journal = self.journal();
        !self.unrecorded && journal.is_some_and(|journal| !journal.has_ended(lock))
    }

    /// Whether the next commit appends, as far as is known without the lock.
    pub(crate) fn is_appended_to(&self) -> bool {
        self.is_appended_under(self.journal().map_or(0, Journal::lock))
    }

    /// Whether committing these changes under this lock file replaces a file.
    pub(crate) fn replaces(&self, changes: &[Change], lock: u64) -> bool {
        let whole = |change: &Change| matches!(change, Change::Reset(_));
        !self.is_appended_under(lock) || changes.iter().any(whole)
    }

    /// How the queue commits.
    pub(crate) fn mode(&self) -> Mode {
        match &self.seen {
            Seen::Journal(_) | Seen::Tail(_) | Seen::Missing(Mode::Journal) => Mode::Journal,
            _ => Mode::Plain,
        }
    }

    /// Gives the queue a journal or takes it away. `record` puts the mode on record. False: the lock is no longer ours.
    pub(crate) fn convert(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        mode: Mode,
        record: impl FnOnce() -> Result<()>,
        hold: &Hold,
    ) -> Result<bool> {
        self.refresh(store, name, Need::Index)?;
        if self.mode() == mode && !self.unrecorded {
            return Ok(true);
        }
        match mode {
            Mode::Journal => {
                if !hold.is_current()? {
                    return Ok(false);
                }
                // What the journal builds on has to be durable.
                let is_doubtful = matches!(&self.seen, Seen::Plain(plain) if !plain.is_sound());
                if is_doubtful && !self.write_anew(store, name, hold)? {
                    return Ok(false);
                }
                if let Seen::Plain(plain) = &self.seen {
                    // A journal does not tell of what another program has written before, and nobody has counted yet.
                    self.uncounted.replaced(Some(*plain.stat()), *plain.stat());
                    self.count(store, name, None);
                    self.seen = Seen::Nothing;
                    Journal::adopt(store, name, hold.lock_file()?)?;
                } else if let Seen::Missing(mode) = &mut self.seen {
                    // What is on record must be there.
                    *mode = Mode::Journal;
                }
                self.make(store, name, hold)?;
                record()?;
            }
            Mode::Plain => {
                if !self.checkpoint(store, name, hold)? {
                    return Ok(false);
                }
                // From here on a journal without commits is a left-over.
                record()?;
                self.count_journal(store, name);
                self.seen = Seen::Nothing;
                Journal::remove(store, name)?;
            }
        }
        self.unrecorded = false;
        Ok(true)
    }

    /// Whether there is anything to be made durable.
    pub(crate) fn holds_anything(&self) -> bool {
        self.journal().is_some() || self.totals().messages > 0
    }

    /// Takes responsibility for what others have appended, under the lock; only then may it be called durable.
    pub(crate) fn vouch(&mut self, store: &dyn Store, name: &QueueName) -> Result<()> {
        let vouched = self
            .journal_mut()
            .map_or(Ok(()), |journal| journal.vouch(store, name));
        if vouched.is_err() {
            // Whoever comes next reads again what is there.
            self.seen = Seen::Nothing;
        }
        vouched
    }

    /// What was appended and is not known to be durable.
    pub(crate) fn unsynced(&self) -> Option<Unsynced> {
        // What has ended is not made durable any more: a checkpoint takes its place.
        let journal = self.journal()?;
        let has_ended = journal.has_ended(journal.lock());
        (!has_ended).then(|| journal.unsynced()).flatten()
    }

    /// The journal, when something of it is known.
    pub(crate) fn journal(&self) -> Option<&Journal> {
        match &self.seen {
            Seen::Journal(journal) | Seen::Tail(journal) => Some(journal),
            _ => None,
        }
    }

    pub(crate) fn journal_mut(&mut self) -> Option<&mut Journal> {
        match &mut self.seen {
            Seen::Journal(journal) | Seen::Tail(journal) => Some(journal),
            _ => None,
        }
    }

    /// Whether a sync that succeeds says that what is there is durable: none of it has failed before.
    pub(crate) fn is_sound(&self) -> bool {
        match &self.seen {
            Seen::Journal(_) | Seen::Tail(_) => self.is_appended_to(),
            Seen::Plain(plain) => plain.is_sound(),
            Seen::Missing(_) | Seen::Replaced | Seen::Nothing => true,
        }
    }

    /// Writes what is there to another file, under lock and guard. False: the lock is no longer ours.
    pub(crate) fn write_anew(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        hold: &Hold,
    ) -> Result<bool> {
        if let Seen::Plain(_) = self.seen {
            let committed = self.commit(store, name, &[], Durable::Yes, hold)?;
            return Ok(matches!(committed, Committed::Yes));
        }
        self.checkpoint(store, name, hold)
    }

    /// Makes what is there durable.
    pub(crate) fn sync(&mut self, store: &dyn Store, name: &QueueName) -> Result<()> {
        match &mut self.seen {
            Seen::Journal(journal) | Seen::Tail(journal) => journal.sync(store, name)?,
            Seen::Plain(plain) => plain.sync(store, name)?,
            Seen::Missing(_) | Seen::Replaced | Seen::Nothing => {}
        }
        store.sync_directory("").map_err(|error| {
            Error::io(
                "sync the directory of",
                store.root().join(name.snapshot()),
                error,
            )
        })
    }
}

/// The totals when messages were added.
fn after(mut totals: Totals, changes: &[Change]) -> Totals {
    for change in changes {
        if let Change::Append(element) = change {
            totals.append(element.text().len());
        }
    }
    totals
}

pub(crate) fn look(store: &dyn Store, file: &str) -> Result<Option<Stat>> {
    let looked = store.stat(file);
    looked.map_err(|error| Error::io("look at", store.root().join(file), error))
}

/// Removes what a process that died left behind: in a commit, under the queue's lock and guard, or in a checkpoint, in
/// its turn. Nobody else is writing this queue's temporary files with this suffix then.
pub(crate) fn remove_left_over(store: &dyn Store, name: &QueueName, suffix: &str) {
    let prefix = name.temp_prefix();
    for found in store.list("").unwrap_or_default() {
        // Behind the prefix of `a` may stand a temporary file of the queue `a.json.b`; a random part has no dot.
        let random = found
            .strip_prefix(&prefix)
            .and_then(|rest| rest.strip_suffix(suffix));
        if random.is_some_and(|random| !random.contains('.')) {
            let _ = store.remove(&found);
        }
    }
}
