//! What is behind a [`Queue`](super::Queue), from its opening to its close.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::config::{Config, Mode};
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::{LockNames, QueueName};
use crate::format::receipt::Receipt;
use crate::index::plan;
use crate::spool::Shared;
use crate::store::counters::LockCounts;
use crate::store::files::Need;
use crate::store::patience::{LockWait, Patience};
use crate::store::real::generation;

use super::attached::Attached;
use super::change::Wish;
use super::look::Probe;

#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) spool: Arc<Shared>,
    pub(crate) name: QueueName,
    pub(super) names: LockNames,
    number: u64,
    closed: AtomicBool,
    generation: u64,
    first: Arc<Attached>,
    /// Whether the queue is shown in its file when this goes.
    shows: bool,
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// So long a lock is waited for in what is done on the side.
const BRIEF: Duration = Duration::from_millis(50);

impl Handle {
    pub(crate) fn new(spool: &Arc<Shared>, name: QueueName) -> Self {
        let names = LockNames::new(&spool.config.lock_directory, &name.snapshot());
        let generation = generation();
        let first = Arc::new(Attached::new(spool, &names));
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Self {
            spool: Arc::clone(spool),
            name,
            names,
            number,
            closed: AtomicBool::new(false),
            generation,
            first,
            shows: true,
        }
    }

    /// One that belongs to the handle of another queue.
    pub(crate) fn beside(spool: &Arc<Shared>, name: QueueName) -> Self {
        let mut handle = Self::new(spool, name);
        handle.shows = false;
        handle
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.spool.store.root().join(self.name.snapshot())
    }

    /// What the handle has in this process, when it is open.
    pub(crate) fn attached(&self) -> Result<Arc<Attached>> {
        self.spool.require_open()?;
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(
                ErrorKind::Closed,
                format!(
                    "the handle of queue {} was closed; open the queue again",
                    self.name
                ),
            ));
        }
        Ok(self.attach())
    }

    pub(super) fn attach(&self) -> Arc<Attached> {
        if generation() == self.generation {
            return Arc::clone(&self.first);
        }
        Attached::inherited(self.number, || Attached::new(&self.spool, &self.names))
    }

    /// The outcome of a wait. Closing the handle interrupts its waits: then that is what is to be told.
    pub(super) fn unless_closed<T>(&self, outcome: Result<T>) -> Result<T> {
        self.attached()?;
        outcome
    }

    pub(crate) fn patience(&self) -> Patience {
        self.patience_of(self.spool.lock_wait)
    }

    pub(super) fn patience_of(&self, wait: LockWait) -> Patience {
        Patience::new(wait, self.spool.check.clone())
    }

    /// How long a lock is waited for in what is done on the side: whoever keeps it is no reason not to do what was asked for.
    pub(super) fn briefly(&self) -> LockWait {
        self.at_most(BRIEF)
    }

    /// As long as a lock is waited for, but at most so long.
    pub(super) fn at_most(&self, limit: Duration) -> LockWait {
        match self.spool.lock_wait {
            LockWait::NoWait => LockWait::NoWait,
            LockWait::For(wait) => LockWait::For(wait.min(limit)),
            LockWait::Forever => LockWait::For(limit),
        }
    }

    /// Gives leases back, also when the handle is closed. What has been settled meanwhile stays so.
    pub(super) fn give_back(
        &self,
        attached: &Attached,
        receipts: impl IntoIterator<Item = String>,
    ) -> Result<()> {
        let receipts = receipts.into_iter();
        let receipts: Vec<Receipt> = receipts
            .filter_map(|text| Receipt::parse(&text).ok())
            .collect();
        if receipts.is_empty() {
            return Ok(());
        }
        let hold = attached.hold(&self.patience())?;
        let (wish, need, probe) = (Wish::MayForget, Need::Index, Probe::None);
        let (_, unsynced) =
            self.change_held(attached, &hold, wish, need, probe, |index, now, _| {
                plan::give_back(index, now, &receipts)
            })?;
        self.finish(attached, hold, unsynced.as_ref())
    }

    /// Closes the handle and gives back what was taken through it.
    pub(crate) fn close(&self) -> Result<()> {
        let attached = self.attach();
        let was_closed = self.closed.swap(true, Ordering::AcqRel);
        let receipts = std::mem::take(&mut attached.leases().receipts);
        if was_closed && receipts.is_empty() {
            return Ok(());
        }
        attached.interrupts.interrupt();
        attached.partners().clear();
        if let Err(error) = self.give_back(&attached, receipts.iter().cloned()) {
            // Whoever closes it once more tries again.
            attached.leases().receipts.extend(receipts);
            return Err(error);
        }
        if attached.entry.lock.counts() != LockCounts::default()
            && let Ok(_hold) = attached.hold(&Patience::new(LockWait::NoWait, None))
        {
            self.count(&attached, &mut attached.entry.state().files, u64::MAX);
        }
        self.show(&attached, &self.patience())
    }

    /// Tells the processes that use the queue that the configuration was changed. One that is damaged tells its users
    /// something else.
    pub(crate) fn announce(&self) -> Result<()> {
        let store = &*self.spool.store;
        self.with_lock(|attached, hold| {
            let announce = || {
                let files = &mut attached.entry.state().files;
                files.announce(store, &self.name, hold)
            };
            loop {
                match announce() {
                    Ok(true) => return Ok(()),
                    Ok(false) => hold.renew(&self.patience())?,
                    Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        })
    }

    /// Puts it on record how the queue commits.
    pub(crate) fn record(&self, mode: Mode) -> Result<()> {
        // Nobody is asked whether to go on: the queue's state is held, which whoever is asked may be waiting for.
        let patience = Patience::new(self.spool.lock_wait, None);
        let _config = self.spool.lock_config(&patience)?;
        Config::record(&*self.spool.store, self.name.as_str(), mode)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if generation() == self.generation {
            if self.shows && !self.closed.load(Ordering::Acquire) {
                // Best effort, and without waiting: a handle that was closed has done it.
                let _ = self.show(&self.first, &Patience::new(LockWait::NoWait, None));
            }
        } else {
            Attached::forget_inherited(self.number);
        }
    }
}
