//! The files of one queue: which of them there are, and the way from them to the index and back.

use super::journal::{Journal, Looked};
use super::plain::{Durable, Plain};
use super::{Kind, Stat, Store};
use crate::config::{Config, Mode};
use crate::error::{Error, Result};
use crate::format::name::{QueueName, TEMPORARY_SUFFIX};
use crate::index::{Change, Index};

/// A journal and its snapshot that are no larger than this together are folded when a handle closes.
const SMALL: u64 = 64 * 1024;

/// What this process knows of a queue.
#[derive(Debug)]
pub(crate) struct Files {
    index: Index,
    seen: Seen,
    /// Whether `flockq.json` does not say yet that there is a journal.
    unrecorded: bool,
}

#[derive(Debug)]
enum Seen {
    /// Not looked yet, or the last look failed.
    Nothing,
    /// There is no file: the queue is empty. The next commit makes it, in this mode.
    Missing(Mode),
    Plain(Plain),
    Journal(Box<Journal>),
}

impl Files {
    pub(crate) fn new() -> Self {
        Self {
            index: Index::empty(),
            seen: Seen::Nothing,
            unrecorded: false,
        }
    }

    /// Brings the index up to date. Costs one look when nothing changed.
    pub(crate) fn refresh(&mut self, store: &dyn Store, name: &QueueName) -> Result<&mut Index> {
        if !self.is_current(store, name)? {
            self.seen = Seen::Nothing;
            let config;
            (self.seen, self.index, config) = open(store, name)?;
            let journal = matches!(self.seen, Seen::Journal(_) | Seen::Missing(Mode::Journal));
            self.unrecorded = journal && config.mode(name.as_str()) != Some(Mode::Journal);
        }
        Ok(&mut self.index)
    }

    fn is_current(&mut self, store: &dyn Store, name: &QueueName) -> Result<bool> {
        let looked = || look(store, &name.snapshot());
        match &mut self.seen {
            Seen::Nothing => Ok(false),
            Seen::Missing(_) => Ok(looked()?.is_none() && !has_journal(store, name)?),
            Seen::Plain(plain) => {
                Ok(looked()?.is_some_and(|stat| plain.is(&stat)) && !has_journal(store, name)?)
            }
            Seen::Journal(journal) => {
                let looked = journal.refresh(store, name, &mut self.index);
                match looked {
                    Ok(looked) => Ok(looked == Looked::Current),
                    Err(error) => {
                        self.seen = Seen::Nothing;
                        Err(error)
                    }
                }
            }
        }
    }

    /// Whether a journal has to be put on record before the next commit.
    pub(crate) fn is_unrecorded(&self) -> bool {
        self.unrecorded
    }

    pub(crate) fn recorded(&mut self) {
        self.unrecorded = false;
    }

    /// Makes the files of a new queue that is to have a journal.
    pub(crate) fn make(&mut self, store: &dyn Store, name: &QueueName) -> Result<()> {
        if matches!(self.seen, Seen::Missing(Mode::Journal)) {
            self.seen = Seen::Nothing;
            let journal = Journal::create(store, name)?;
            self.index = Index::empty();
            self.seen = Seen::Journal(Box::new(journal));
        }
        Ok(())
    }

    /// Commits these changes. False: the lock is no longer ours, and nothing was changed.
    pub(crate) fn commit(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        changes: Vec<Change>,
        durable: Durable,
        still_ours: impl FnOnce() -> Result<bool>,
    ) -> Result<bool> {
        // What happened is not known when this fails: then everything is read again.
        let seen = std::mem::replace(&mut self.seen, Seen::Nothing);
        match seen {
            Seen::Journal(journal) => {
                self.append(store, name, journal, changes, durable, still_ours)
            }
            Seen::Plain(_) | Seen::Missing(_) | Seen::Nothing => {
                let before = match &seen {
                    Seen::Plain(plain) => Some(plain),
                    _ => None,
                };
                if has_journal(store, name)? {
                    // A left-over, which would be taken for the queue's as soon as the file is another one.
                    Journal::remove(store, name)?;
                }
                let image = self.index.image(&changes);
                let Some(after) = Plain::commit(before, store, name, &image, durable, still_ours)?
                else {
                    self.seen = seen;
                    return Ok(false);
                };
                self.index.apply(changes);
                self.seen = Seen::Plain(after);
                Ok(true)
            }
        }
    }

    fn append(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        mut journal: Box<Journal>,
        changes: Vec<Change>,
        durable: Durable,
        still_ours: impl FnOnce() -> Result<bool>,
    ) -> Result<bool> {
        let whole = changes
            .iter()
            .any(|change| matches!(change, Change::Reset(_)));
        let done = if whole || journal.has_ended() || journal.is_long(&self.index) {
            journal.checkpoint(store, name, &mut self.index, changes, still_ours)?
        } else {
            let sync = durable == Durable::Yes;
            let done = journal.append(store, name, &self.index, &changes, sync, still_ours)?;
            if done {
                self.index.apply(changes);
            }
            done
        };
        self.seen = Seen::Journal(journal);
        Ok(done)
    }

    /// Folds the journal into the snapshot; nothing to do for a plain queue. False: the lock is no longer ours.
    pub(crate) fn checkpoint(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        still_ours: impl FnOnce() -> Result<bool>,
    ) -> Result<bool> {
        self.refresh(store, name)?;
        let Seen::Journal(mut journal) = std::mem::replace(&mut self.seen, Seen::Nothing) else {
            return Ok(true);
        };
        let done = journal.is_folded()
            || journal.checkpoint(store, name, &mut self.index, Vec::new(), still_ours)?;
        self.seen = Seen::Journal(journal);
        Ok(done)
    }

    /// Whether the next commit appends: no file is replaced, so no guard is needed.
    pub(crate) fn is_appended_to(&self) -> bool {
        match &self.seen {
            Seen::Journal(journal) => {
                !self.unrecorded && !journal.has_ended() && !journal.is_long(&self.index)
            }
            _ => false,
        }
    }

    /// Whether committing these changes replaces a file.
    pub(crate) fn replaces(&self, changes: &[Change]) -> bool {
        let whole = |change: &Change| matches!(change, Change::Reset(_));
        !self.is_appended_to() || changes.iter().any(whole)
    }

    /// How the queue commits.
    pub(crate) fn mode(&self) -> Mode {
        match &self.seen {
            Seen::Journal(_) | Seen::Missing(Mode::Journal) => Mode::Journal,
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
        still_ours: impl Fn() -> Result<bool>,
    ) -> Result<bool> {
        self.refresh(store, name)?;
        if self.mode() == mode && !self.unrecorded {
            return Ok(true);
        }
        match mode {
            Mode::Journal => {
                if !still_ours()? {
                    return Ok(false);
                }
                if let Seen::Plain(_) = self.seen {
                    self.seen = Seen::Nothing;
                    let journal = Journal::adopt(store, name)?;
                    self.seen = Seen::Journal(Box::new(journal));
                }
                self.make(store, name)?;
                record()?;
            }
            Mode::Plain => {
                if !self.checkpoint(store, name, &still_ours)? {
                    return Ok(false);
                }
                // From here on a journal without commits is a left-over.
                record()?;
                self.seen = Seen::Nothing;
                Journal::remove(store, name)?;
            }
        }
        self.unrecorded = false;
        Ok(true)
    }

    /// Whether folding now costs next to nothing, and shows the queue to whoever reads the snapshot alone.
    pub(crate) fn is_small_and_unfolded(&self) -> bool {
        let Seen::Journal(journal) = &self.seen else {
            return false;
        };
        !journal.is_folded() && journal.size() + self.index.totals().bytes <= SMALL
    }

    /// Makes what is there durable.
    pub(crate) fn sync(&mut self, store: &dyn Store, name: &QueueName) -> Result<()> {
        match &mut self.seen {
            Seen::Journal(journal) => journal.sync(store, name)?,
            Seen::Plain(plain) => plain.sync(store, name)?,
            Seen::Missing(_) | Seen::Nothing => {}
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

fn look(store: &dyn Store, file: &str) -> Result<Option<Stat>> {
    let looked = store.stat(file);
    looked.map_err(|error| Error::io("look at", store.root().join(file), error))
}

/// Whether somebody has given the queue a journal.
fn has_journal(store: &dyn Store, name: &QueueName) -> Result<bool> {
    Ok(look(store, &name.journal())?.is_some())
}

/// Finds out what there is and reads it.
fn open(store: &dyn Store, name: &QueueName) -> Result<(Seen, Index, Config)> {
    let config = Config::load(store)?;
    if has_journal(store, name)? {
        let (journal, index) = Journal::open(store, name)?;
        // A conversion to plain was cut short before it removed the journal, in which there is nothing any more.
        let is_left_over = config.mode(name.as_str()) == Some(Mode::Plain) && journal.is_folded();
        if !is_left_over {
            return Ok((Seen::Journal(Box::new(journal)), index, config));
        }
    }
    if config.mode(name.as_str()) == Some(Mode::Journal) {
        let rule = "it is not there, but flockq.json says that the queue has one: what was committed since the snapshot is missing";
        return Err(Error::corrupt(store.root().join(name.journal()), 0, rule));
    }
    match look(store, &name.snapshot())? {
        None => {
            let seen = Seen::Missing(config.mode_of_new());
            Ok((seen, Index::empty(), config))
        }
        Some(stat) if stat.kind != Kind::Regular => Err(Error::io(
            "read",
            store.root().join(name.snapshot()),
            super::real::not_regular(stat.kind),
        )),
        Some(_) => {
            let (plain, index) = Plain::open(store, name)?;
            Ok((Seen::Plain(plain), index, config))
        }
    }
}

/// Removes what a process that died in a commit left behind. Under the queue's lock and guard:
/// nobody else is writing this queue's temporary files then.
pub(crate) fn remove_left_over(store: &dyn Store, name: &QueueName) {
    let prefix = name.temp_prefix();
    for found in store.list("").unwrap_or_default() {
        // Behind the prefix of `a` may stand a temporary file of the queue `a.json.b`; a random part has no dot.
        let random = found
            .strip_prefix(&prefix)
            .and_then(|rest| rest.strip_suffix(TEMPORARY_SUFFIX));
        if random.is_some_and(|random| !random.contains('.')) {
            let _ = store.remove(&found);
        }
    }
}
