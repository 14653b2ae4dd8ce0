//! What is behind a [`Queue`](super::Queue): the way every operation goes to the lock and to the file.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::config::{Config, Mode, Policy, Sync};
use crate::error::{Error, ErrorKind, Result};
use crate::format::journal::Totals;
use crate::format::name::{LockNames, QueueName, TEMPORARY_SUFFIX};
use crate::format::receipt::Receipt;
use crate::format::time::Timestamp;
use crate::index::{Change, Index, Now, Plan, plan};
use crate::spool::Shared;
use crate::store::consumer;
use crate::store::counters::LockCounts;
use crate::store::files::{Committed, Files, Need, remove_left_over};
use crate::store::journal::{self, Unsynced};
use crate::store::lock::Hold;
use crate::store::patience::{LockWait, Patience};
use crate::store::plain::Durable;
use crate::store::real::generation;
use crate::store::registry::State;
use crate::wait::HEARTBEAT;

use super::attached::Attached;
use super::moves::Begun;

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
/// After this long (in milliseconds) the consumers are looked at again even when something is ready.
const PROBE_EVERY_MS: u64 = 1000;

/// So often a checkpoint tries to have little to do under the lock,
const CATCH_UPS: u32 = 8;
/// and so many bytes of the journal are little.
const LITTLE: u64 = 512 * 1024;

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

/// Which consumers an operation has to know the death of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// None: it looks at no lease.
    None,
    /// All, if that was not asked lately.
    Sometimes,
    /// All, now.
    Now,
}

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
    fn go_on_with_moves(&self, attached: &Attached) -> bool {
        let now = self.spool.store.system().boot_ms();
        let is_stuck = |since: u64| now.abs_diff(since) < PROBE_EVERY_MS;
        {
            let mut state = attached.entry.state();
            if !state.files.index().has_in_transit() || state.stuck_ms.is_some_and(is_stuck) {
                return false;
            }
        }
        let ended = self.finish_moves(&Begun::default(), self.briefly());
        attached.entry.state().stuck_ms = ended.is_err().then_some(now);
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
                let is_there = files.totals().messages > 0;
                if durable == Durable::Yes && is_there && !files.is_appended_to() {
                    // What is there already, of a send that is repeated for instance, may have been left without a sync.
                    if !hold.is_guarded() {
                        drop(state);
                        hold.guard(&self.patience())?;
                        continue;
                    }
                    self.sync_files(files, hold)?;
                }
                return Ok((plan.result, unsynced(files)));
            }
            if !hold.is_guarded() && files.replaces(&plan.changes, hold.lock_file()?) {
                // The queue has been converted, or the commit is a checkpoint.
                drop(state);
                hold.guard(&self.patience())?;
                continue;
            }
            if files.is_unrecorded() {
                files.make(store, &self.name, hold)?;
                self.record(Mode::Journal)?;
                files.recorded();
            }
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
    fn count(&self, attached: &Attached, files: &mut Files, now_ms: u64) {
        let lock = &attached.entry.lock;
        let counts = lock.take_counts(now_ms);
        let done = files.count(&*self.spool.store, &self.name, counts);
        if let Some(counts) = counts.filter(|_| !done) {
            lock.put_counts_back(&counts);
        }
    }

    /// A commit of what was decided under the locks of two queues. As durable as the queue's configuration says that what is
    /// to be kept is. False: the lock is no longer ours, and nothing was changed.
    pub(crate) fn commit_held(
        &self,
        attached: &Attached,
        hold: &Hold,
        changes: &[Change],
    ) -> Result<bool> {
        let store = &*self.spool.store;
        let mut state = attached.entry.state();
        let files = &mut state.files;
        if files.is_unrecorded() {
            files.make(store, &self.name, hold)?;
            self.record(Mode::Journal)?;
            files.recorded();
        }
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

    /// Makes durable what a queue under its lock holds, where anything is to be.
    pub(crate) fn sync_held(&self, attached: &Attached, hold: &Hold) -> Result<()> {
        let files = &mut attached.entry.state().files;
        if self.durable(Wish::Keep(None), files.config()) == Durable::No {
            return Ok(());
        }
        self.sync_files(files, hold)
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

    /// Reads what is new without the lock, so that little is left to be read under it: nobody waits while a long queue is
    /// read for the first time. What comes of it is looked at again under the lock.
    pub(super) fn catch_up(&self, attached: &Attached, need: Need) {
        let files = &mut attached.entry.state().files;
        let _ = files.look_ahead(&*self.spool.store, &self.name, need);
    }

    /// The lock, at a moment when little is left to be read under it: whoever commits all the time is ahead after each
    /// look without it. `also` is done before each try.
    pub(super) fn hold_caught_up(
        &self,
        attached: &Attached,
        hold: impl Fn() -> Result<Hold>,
        mut also: impl FnMut() -> Result<()>,
    ) -> Result<Hold> {
        for _ in 0..CATCH_UPS {
            also()?;
            self.catch_up(attached, Need::Index);
            let hold = hold()?;
            let files = &attached.entry.state().files;
            if files.lag(&*self.spool.store, &self.name) <= LITTLE {
                return Ok(hold);
            }
        }
        hold()
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

    /// Does `job`, which takes the lock itself; when another program has replaced the snapshot of a journalled queue, mends
    /// that and does it again.
    pub(crate) fn mending<T>(
        &self,
        attached: &Attached,
        mut job: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        // Another thread may have mended it meanwhile: then it is done again, once, as damage looks the same.
        let mut is_again = false;
        loop {
            let done = job();
            let Err(error) = &done else { return done };
            if attached.entry.state().files.is_replaced() {
                let hold = attached.hold(&self.patience())?;
                self.mend(attached, &hold)?;
            } else if is_again || error.kind() != ErrorKind::Corrupt {
                return done;
            } else {
                is_again = true;
            }
        }
    }

    fn mend(&self, attached: &Attached, hold: &Hold) -> Result<()> {
        if !hold.is_guarded() {
            hold.guard(&self.patience())?;
        }
        let store = &*self.spool.store;
        while !{
            let files = &mut attached.entry.state().files;
            // Somebody else may have mended it meanwhile.
            files.refresh(store, &self.name, Need::Index).is_ok()
                || !files.is_replaced()
                || files.mend(store, &self.name, hold)?
        } {
            hold.renew(&self.patience())?;
        }
        Ok(())
    }

    /// One look, under the shared lock: programs without the library may be writing.
    pub(crate) fn look<T>(
        &self,
        probe: Probe,
        mut look: impl FnMut(&mut Index, &Now) -> Result<T>,
    ) -> Result<T> {
        self.look_at_files(probe, |files, now| look(files.index(), now))
    }

    /// The same, at all that is known of the queue.
    pub(crate) fn look_at_files<T>(
        &self,
        probe: Probe,
        look: impl FnMut(&mut Files, &Now) -> Result<T>,
    ) -> Result<T> {
        self.look_within(self.spool.lock_wait, probe, look)
    }

    /// The same, for which the lock is waited for so long.
    pub(super) fn look_within<T>(
        &self,
        wait: LockWait,
        probe: Probe,
        mut look: impl FnMut(&mut Files, &Now) -> Result<T>,
    ) -> Result<T> {
        let attached = self.attached()?;
        let mut once = || {
            self.mending(&attached, || {
                let _hold = attached.hold_shared(&self.patience_of(wait))?;
                let mut state = attached.entry.state();
                let State {
                    files, probed_ms, ..
                } = &mut *state;
                let index = files.refresh(&*self.spool.store, &self.name, Need::Index)?;
                let now = self.now(index, probe, probed_ms);
                look(files, &now)
            })
        };
        let seen = once()?;
        if self.go_on_with_moves(&attached) {
            return once();
        }
        Ok(seen)
    }

    /// The time, and who is known to be dead.
    pub(crate) fn now(&self, index: &mut Index, probe: Probe, probed_ms: &mut u64) -> Now {
        let store = &*self.spool.store;
        let system = store.system();
        let mut now = Now {
            wall: system.wall(),
            boot_ms: system.boot_ms(),
            boot_id: system.boot_id(),
            dead: HashSet::new(),
        };
        let due = match probe {
            Probe::None => false,
            Probe::Sometimes => now.boot_ms.abs_diff(*probed_ms) >= PROBE_EVERY_MS,
            Probe::Now => true,
        };
        if due {
            *probed_ms = now.boot_ms;
            now.dead = index
                .consumers(&now)
                .into_iter()
                .filter(|name| consumer::is_dead(store, name))
                .collect();
        }
        now
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
        self.with_lock(|attached, hold| {
            let store = &*self.spool.store;
            let files = &mut attached.entry.state().files;
            let announced = files.announce(store, &self.name, hold);
            match announced {
                Err(error) if error.kind() == ErrorKind::Corrupt => Ok(()),
                other => other,
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
    let index = files.index();
    let soon = |due| due <= HEARTBEAT;
    usize::from(index.has_ready(now) || index.next_due(now).is_some_and(soon))
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
