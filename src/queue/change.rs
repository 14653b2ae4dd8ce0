//! The way of every change: lock, read what is new, decide, commit, make durable.

use std::sync::Arc;

use crate::config::{Config, Mode, Policy, Sync};
use crate::error::{Error, ErrorKind, Result};
use crate::format::journal::Totals;
use crate::format::name::TEMPORARY_SUFFIX;
use crate::format::time::Timestamp;
use crate::index::{Change, Index, Now, Plan};
use crate::store::files::{Committed, Files, Need, remove_left_over};
use crate::store::journal::{self, Unsynced};
use crate::store::lock::Hold;
use crate::store::patience::LockWait;
use crate::store::plain::Durable;
use crate::store::registry::State;
use crate::wait::HEARTBEAT;

use super::Handle;
use super::attached::Attached;
use super::look::{PROBE_EVERY_MS, Probe};

/// How durable a commit is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// As it was asked for, else as it is configured.
    Keep(Option<Sync>),
    /// A power cut may forget it, unless everything is to be kept.
    MayForget,
}

/// What a decision is told besides the index and the time.
#[derive(Debug)]
pub(crate) struct Told {
    /// The latest `queued_at` that this process has written.
    pub(crate) queued: Option<Timestamp>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) config: Arc<Config>,
    /// What the queue holds.
    pub(crate) totals: Totals,
}

impl Handle {
    /// The durability of a commit.
    fn durable(&self, wish: Wish, config: &Config) -> Durable {
        let (asked, forgettable) = match wish {
            Wish::Keep(asked) => (asked, false),
            Wish::MayForget => (None, true),
        };
        let sync = asked.or(self.spool.sync);
        match sync.unwrap_or_else(|| config.sync(self.name.as_str())) {
            Sync::Normal if forgettable => Durable::Whole,
            Sync::Full | Sync::Normal => Durable::Yes,
            Sync::Off => Durable::No,
        }
    }

    /// Runs `job` under the queue's exclusive lock and guard.
    pub(crate) fn with_lock<T>(
        &self,
        job: impl FnOnce(&Attached, &Hold) -> Result<T>,
    ) -> Result<T> {
        let attached = self.attached()?;
        let hold = attached.hold(&self.patience())?;
        job(&attached, &hold)
    }

    /// One change, and moves that somebody did not bring to their end.
    pub(crate) fn change<T>(
        &self,
        wish: Wish,
        need: Need,
        probe: Probe,
        decide: impl FnMut(&mut Index, &Now, &mut Told) -> Result<Plan<T>>,
    ) -> Result<T> {
        let result = self.change_once(wish, need, probe, decide)?;
        if need == Need::Index {
            self.go_on();
        }
        Ok(result)
    }

    /// Goes on with moves that somebody did not bring to their end. What was asked for is done, whatever becomes of them.
    pub(super) fn go_on(&self) {
        if let Ok(attached) = self.attached() {
            self.go_on_with_moves(&attached);
        }
    }

    /// Whoever finds a move that has not ended goes on with it; whether there was one. That it cannot be ended does not concern
    /// what was asked for.
    pub(super) fn go_on_with_moves(&self, attached: &Attached) -> bool {
        let now = self.spool.store.system().boot_ms();
        let is_stuck = |since: u64| now.abs_diff(since) < PROBE_EVERY_MS;
        {
            let mut state = attached.entry.state();
            if !state.files.index().has_in_transit() || state.stuck_ms.is_some_and(is_stuck) {
                return false;
            }
        }
        let is_stuck = self.finish_all(self.briefly()).is_err();
        attached.entry.state().stuck_ms = is_stuck.then_some(now);
        true
    }

    /// One change: lock, read what is new, decide, commit. Decides again when the lock was taken away meanwhile. A journal
    /// is synced, and folded when it has become long, behind the lock: others can go on meanwhile.
    pub(crate) fn change_once<T>(
        &self,
        wish: Wish,
        need: Need,
        probe: Probe,
        decide: impl FnMut(&mut Index, &Now, &mut Told) -> Result<Plan<T>>,
    ) -> Result<T> {
        self.change_within(self.spool.lock_wait, wish, need, probe, decide)
    }

    /// The same, for which the lock is waited for so long.
    pub(super) fn change_within<T>(
        &self,
        wait: LockWait,
        wish: Wish,
        need: Need,
        probe: Probe,
        decide: impl FnMut(&mut Index, &Now, &mut Told) -> Result<Plan<T>>,
    ) -> Result<T> {
        let attached = self.attached()?;
        if need == Need::Index && !attached.entry.state().files.is_known() {
            self.catch_up(&attached, need);
        }
        // Who has to wait for the lock has time to read what its holders write.
        let mut meanwhile = || self.catch_up(&attached, need);
        let hold = attached.hold_for_change(&self.patience_of(wait), &mut meanwhile)?;
        let (result, unsynced) = self.change_held(&attached, &hold, wish, need, probe, decide)?;
        self.finish(&attached, hold, unsynced.as_ref())?;
        Ok(result)
    }

    /// The change under the lock; says what has to be synced for it to be as durable as it is to be. That is known only now: other
    /// threads may look at the files as soon as the state is free.
    pub(crate) fn change_held<T>(
        &self,
        attached: &Attached,
        hold: &Hold,
        wish: Wish,
        need: Need,
        probe: Probe,
        mut decide: impl FnMut(&mut Index, &Now, &mut Told) -> Result<Plan<T>>,
    ) -> Result<(T, Option<Unsynced>)> {
        let store = &*self.spool.store;
        loop {
            let mut state = attached.entry.state();
            self.sweep(&mut state, hold);
            let State {
                files,
                last_queued,
                probed_ms,
                ..
            } = &mut *state;
            if let Err(error) = files.refresh(store, &self.name, need) {
                if !files.is_replaced() {
                    return Err(error);
                }
                drop(state);
                self.mend(attached, hold)?;
                continue;
            }
            let durable = self.durable(wish, files.config());
            let mut told = Told {
                queued: *last_queued,
                policy: Arc::clone(files.policy()),
                config: Arc::clone(files.config()),
                totals: files.totals(),
            };
            let index = files.index();
            let now = self.now(index, probe, probed_ms);
            let plan = decide(index, &now, &mut told)?;
            let unsynced = |files: &Files| {
                let wanted = durable == Durable::Yes;
                wanted.then(|| files.unsynced()).flatten()
            };
            if plan.changes.is_empty() {
                // What is there already, of a send that is repeated for instance, may have been left without a sync. Who finds
                // nothing to take has nothing to be told of.
                if wish == Wish::MayForget {
                    return Ok((plan.result, None));
                }
                if durable == Durable::Yes && files.holds_anything() {
                    if !files.replaces(&[], hold.lock_file()?) {
                        files.vouch(store, &self.name)?;
                    } else if hold.is_guarded() {
                        self.sync_files(files, hold)?;
                    } else {
                        drop(state);
                        hold.guard(&self.patience())?;
                        continue;
                    }
                }
                return Ok((plan.result, unsynced(files)));
            }
            if !hold.is_guarded() && files.replaces(&plan.changes, hold.lock_file()?) {
                // The queue has been converted, or the commit is a checkpoint.
                drop(state);
                hold.guard(&self.patience())?;
                continue;
            }
            self.put_on_record(files, hold)?;
            let committed = match files.commit(store, &self.name, &plan.changes, durable, hold) {
                Err(_) if files.is_replaced() => {
                    // Seen only now, when more had to be read; nothing was written.
                    drop(state);
                    self.mend(attached, hold)?;
                    continue;
                }
                other => other?,
            };
            if let Committed::Yes = committed {
                *last_queued = told.queued;
                hold.brought(stirs(files, &plan.changes, need, &now));
                self.count(attached, files, now.boot_ms);
                return Ok((plan.result, unsynced(files)));
            }
            drop(state);
            if let Committed::Doubtful(doubtful) = committed {
                // Who is just beginning the next generation must be through with it.
                let guarded = hold.guard(&self.patience());
                let found = guarded.and_then(|()| doubtful.is_in(store, &self.name));
                if found.map_err(|error| self.unknown(&error))? {
                    if durable == Durable::Yes {
                        let synced = doubtful.sync();
                        synced.map_err(|error| journal::unknown(store, &self.name, error))?;
                    }
                    attached.entry.state().last_queued = told.queued;
                    // What is ready is not known before everything is read again: rather too many are woken.
                    hold.brought(plan.changes.len());
                    return Ok((plan.result, None));
                }
            }
            hold.renew(&self.patience())?;
        }
    }

    /// The error of a commit of which nobody can say whether it happened.
    fn unknown(&self, why: &Error) -> Error {
        let text = format!(
            "the lock file of queue {} was removed during a change, and whether that was made is not known: {why}; leave the files in its lock directory alone",
            self.name
        );
        Error::new(ErrorKind::OutcomeUnknown, text).at(self.path())
    }

    /// Removes what a process that died left behind, once, under lock and guard.
    pub(super) fn sweep(&self, state: &mut State, hold: &Hold) {
        if !state.swept && hold.is_guarded() {
            remove_left_over(&*self.spool.store, &self.name, TEMPORARY_SUFFIX);
            state.swept = true;
        }
    }

    /// Writes down what is to be counted, under the exclusive lock; how the lock was used, now and then.
    pub(super) fn count(&self, attached: &Attached, files: &mut Files, now_ms: u64) {
        let lock = &attached.entry.lock;
        let counts = lock.take_counts(now_ms);
        let done = files.count(&*self.spool.store, &self.name, counts);
        if let Some(counts) = counts.filter(|_| !done) {
            lock.put_counts_back(&counts);
        }
    }

    /// Makes a journal that the configuration does not know of yet, and tells it.
    fn put_on_record(&self, files: &mut Files, hold: &Hold) -> Result<()> {
        if files.is_unrecorded() {
            files.make(&*self.spool.store, &self.name, hold)?;
            // That may be made, and this change is not.
            let text = "nothing was changed, because it could not be put on record that the queue has a journal: ";
            let recorded = self.record(Mode::Journal);
            recorded.map_err(|error| error.before_the_change(text))?;
            files.recorded();
        }
        Ok(())
    }

    /// A commit of what was decided under the locks of two queues. As durable as the queue's configuration says that what is
    /// to be kept is. False: the lock is no longer ours, or what was decided on was read anew since; nothing was changed.
    pub(crate) fn commit_held(
        &self,
        attached: &Attached,
        hold: &Hold,
        reading: Option<u64>,
        changes: &[Change],
    ) -> Result<bool> {
        let store = &*self.spool.store;
        let mut state = attached.entry.state();
        let files = &mut state.files;
        if files.reading() != reading {
            return Ok(false);
        }
        self.put_on_record(files, hold)?;
        let durable = self.durable(Wish::Keep(None), files.config());
        let done = match files.commit(store, &self.name, changes, durable, hold)? {
            Committed::Yes => true,
            // Whoever begins again sees what has become of it: a move may be cut short anywhere.
            Committed::No | Committed::Doubtful(_) => false,
        };
        if done && durable != Durable::No {
            files.sync(store, &self.name)?;
        }
        self.count(attached, files, store.system().boot_ms());
        Ok(done)
    }

    /// Makes durable what a queue under its lock holds, where anything is to be. False as for a commit.
    pub(crate) fn sync_held(
        &self,
        attached: &Attached,
        hold: &Hold,
        reading: Option<u64>,
    ) -> Result<bool> {
        let files = &mut attached.entry.state().files;
        if files.reading() != reading {
            return Ok(false);
        }
        if self.durable(Wish::Keep(None), files.config()) != Durable::No {
            self.sync_files(files, hold)?;
        }
        Ok(true)
    }

    /// Makes durable what was read.
    pub(super) fn sync_files(&self, files: &mut Files, hold: &Hold) -> Result<()> {
        let store = &*self.spool.store;
        if !files.is_sound() {
            // After a sync that failed the system may not fail again: what is there is written anew.
            if !files.write_anew(store, &self.name, hold)? {
                let text = "another program removed the lock file meanwhile; nothing was made durable, call again";
                return Err(Error::new(ErrorKind::LockTimeout, text));
            }
        }
        files.sync(store, &self.name)
    }

    /// What comes behind the lock when a change was committed.
    pub(super) fn finish(
        &self,
        attached: &Attached,
        hold: Hold,
        unsynced: Option<&Unsynced>,
    ) -> Result<()> {
        let is_long = attached.entry.state().files.is_long();
        drop(hold);
        if let Some(unsynced) = unsynced {
            self.make_durable(attached, unsynced)?;
        }
        if is_long {
            self.fold_on_the_side(attached);
        }
        Ok(())
    }

    /// Syncs a journal, unless another thread has done it meanwhile.
    fn make_durable(&self, attached: &Attached, unsynced: &Unsynced) -> Result<()> {
        let is_done = |files: &Files| {
            let journal = files.journal();
            journal.is_some_and(|journal| journal.is_durable(unsynced))
        };
        if is_done(&attached.entry.state().files) {
            return Ok(());
        }
        let store = &*self.spool.store;
        // Makes the commit durable, and every one before it.
        let Err(error) = unsynced.sync() else {
            if let Some(journal) = attached.entry.state().files.journal_mut() {
                journal.synced(unsynced);
            }
            return Ok(());
        };
        // Whoever comes next must know, in whatever process.
        if let Ok(hold) = attached.hold(&self.patience()) {
            let mut state = attached.entry.state();
            let known = state.files.refresh(store, &self.name, Need::Tail).is_ok();
            let lock = hold.lock_file().unwrap_or_default();
            // Nobody appends to one that belongs to another lock file either.
            if let Some(journal) = state.files.journal_mut().filter(|_| known)
                && journal.lacks(unsynced)
                && !journal.has_ended(lock)
            {
                journal.poison(store, &self.name);
            }
        }
        Err(journal::unknown(store, &self.name, error))
    }
}

/// How many sleeping receivers have something to do after these changes. Those of a plain queue see that its file was replaced.
fn stirs(files: &mut Files, changes: &[Change], need: Need, now: &Now) -> usize {
    if !files.is_appended_to() {
        return 0;
    }
    let is_new = |change: &&Change| matches!(change, Change::Append(_));
    let sent = changes.iter().filter(is_new).count();
    if sent > 0 || need == Need::Tail {
        return sent;
    }
    // One is enough: it wakes the next one when it leaves something, and knows until when to sleep when it does not.
    usize::from(files.index().has_soon(HEARTBEAT, now))
}
