//! Moving messages between queues: marked in one commit, and then brought to an end under both queues' locks by whoever
//! comes first. `docs/format.md`, section 18.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::LockWait;
use crate::config::{Config, Policy};
use crate::error::{Error, ErrorKind, Result};
use crate::format::envelope::{Edit, Element};
use crate::format::name::QueueName;
use crate::index::plan::{self, Finish, Meant, Mover, Which};
use crate::index::state::State;
use crate::index::{Change, Index, Now, Plan};
use crate::store::files::{Files, Need};
use crate::store::lock::Hold;
use crate::wait::HEARTBEAT;

use super::Queue;
use super::attached::Attached;
use super::change::{Told, Wish};
use super::handle::Handle;
use super::look::Probe;

/// A move is begun anew so often when programs without the library take the locks away under way.
const TRIES: u32 = 10;
/// So many bytes are copied at a time of what somebody else has begun to move: he may have had more memory, or more disk.
const AT_ONCE: u64 = 256 << 20;

/// The moves that one call has begun, by their ids, and what gives each message back what it has lost by that. Only that call takes
/// them back when they cannot be brought to their end: it is the one that says so.
#[derive(Debug, Default)]
pub(super) struct Begun(RefCell<HashMap<String, Vec<Edit<'static>>>>);

impl Begun {
    /// Notes a move; of those that were decided anew, more than there are.
    pub(super) fn note(&self, id: String, back: Vec<Edit<'static>>) -> String {
        self.0.borrow_mut().insert(id.clone(), back);
        id
    }

    fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    fn has(&self, id: &str) -> bool {
        self.0.borrow().contains_key(id)
    }

    fn back(&self, id: &str) -> Option<Vec<Edit<'static>>> {
        self.0.borrow().get(id).cloned()
    }
}

/// Which messages to move. A message under a lease is never moved by hand: somebody works on it.
#[derive(Debug, Clone, Default)]
#[must_use = "it does nothing until it is given to `move_to` or `redrive`"]
pub struct Filter {
    which: Which,
}

impl Filter {
    /// All that nobody has under a lease.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those with one of these ids: none, when there are none.
    pub fn ids<I: Into<String>>(mut self, ids: impl IntoIterator<Item = I>) -> Self {
        let named = self.which.ids.get_or_insert_default();
        named.extend(ids.into_iter().map(Into::into));
        self
    }

    /// Those in this state.
    pub fn state(mut self, state: State) -> Self {
        self.which.state = Some(state);
        self
    }

    /// Those whose error has this in it.
    pub fn error(mut self, part: impl Into<String>) -> Self {
        self.which.error = Some(part.into());
        self
    }

    /// At most so many, the first ones of the file.
    pub fn limit(mut self, limit: usize) -> Self {
        self.which.limit = Some(limit);
        self
    }
}

/// A message that a redrive moves, and the queue it goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redriven {
    /// The message's id.
    pub id: String,
    /// The queue.
    pub to: String,
}

impl Queue {
    /// Moves messages to another queue, each exactly once wherever a process dies; says their ids. Leased ones are left.
    ///
    /// When the other queue cannot be written, the messages stay, and the error is the other queue's.
    pub fn move_to(&self, target: &str, filter: &Filter) -> Result<Vec<String>> {
        let target = QueueName::parse(target)?;
        let handle = &self.handle;
        if target == handle.name {
            let text = format!("messages of queue {target} cannot be moved to itself");
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        handle.require_usable(&target, handle.spool.lock_wait)?;
        let (moved, begun) = handle.mark(handle.spool.lock_wait, |index, now, _, mover| {
            plan::move_to(index, now, &filter.which, &target, mover)
        })?;
        handle.finish_begun(&begun)?;
        Ok(moved)
    }

    /// Sends messages back to the queues that they came from, ready at once and with all attempts before them; their
    /// history of errors stays. With `dry_run` it only says what it would do.
    ///
    /// A message that does not say where it came from goes to the queue whose policy names this one; `NotFound` when that
    /// is none or several.
    pub fn redrive(&self, filter: &Filter, dry_run: bool) -> Result<Vec<Redriven>> {
        let handle = &self.handle;
        let there = handle.spool.queues()?;
        let decide = |index: &mut Index, now: &Now, told: &mut Told, mover: &Mover<'_>| {
            let sources = told.config.given_up_to(&handle.name, there.clone());
            let home = |element: &Element| self.home(element, &sources);
            let plan = plan::redrive(index, now, &filter.which, &home, mover)?;
            Ok(plan)
        };
        let wait = handle.spool.lock_wait;
        let dry = handle.mark(wait, |index, now, told, mover| {
            let plan = decide(index, now, told, mover)?;
            let changes = Vec::new();
            Ok(Plan { changes, ..plan })
        });
        let mut redriven = dry?.0;
        if !dry_run {
            let homes: BTreeSet<&QueueName> = redriven.iter().map(|(_, to)| to).collect();
            for home in homes {
                handle.require_usable(home, wait)?;
            }
            let (moved, begun) = handle.mark(wait, decide)?;
            handle.finish_begun(&begun)?;
            redriven = moved;
        }
        let told = redriven.into_iter().map(|(id, to)| Redriven {
            id,
            to: to.to_string(),
        });
        Ok(told.collect())
    }

    /// The queue that a message came from.
    fn home(&self, element: &Element, sources: &BTreeSet<QueueName>) -> Result<QueueName> {
        let from = element.texts().from;
        let from = from.and_then(|from| QueueName::parse(&from).ok());
        // One whose array somebody has put into the queue that it names is at home.
        if let Some(from) = from.filter(|from| *from != self.handle.name) {
            return Ok(from);
        }
        if let (Some(home), 1) = (sources.first(), sources.len()) {
            return Ok(home.clone());
        }
        let id: String = element
            .id()
            .map(|id| id.chars().take(100).collect())
            .unwrap_or_default();
        let text = format!(
            "message {id:?} of queue {} does not say where it came from, and {} queues have this one as their dead_letter_queue; nothing was changed, move it by name (move_to)",
            self.name(),
            sources.len()
        );
        Err(Error::new(ErrorKind::NotFound, text))
    }
}

impl Handle {
    /// Another queue of the same spool; kept, so that what is known of it need not be read again.
    fn partner(&self, name: &QueueName) -> Result<Arc<Self>> {
        let attached = self.attached()?;
        let mut partners = attached.partners();
        let partner = partners
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Self::beside(&self.spool, name.clone())));
        Ok(Arc::clone(partner))
    }

    /// Fails when messages cannot be moved there, before anything is changed.
    pub(super) fn require_usable(&self, name: &QueueName, wait: LockWait) -> Result<()> {
        let look = |_: &mut Files, _: &Now| Ok(());
        self.partner(name)?.look_within(wait, Probe::None, look)
    }

    /// The first step of moves: a commit in the queue that they leave.
    pub(super) fn mark<T>(
        &self,
        wait: LockWait,
        mut decide: impl FnMut(&mut Index, &Now, &mut Told, &Mover<'_>) -> Result<Plan<T>>,
    ) -> Result<(T, Begun)> {
        let system = self.spool.store.system();
        let begun = Begun::default();
        let begin = |back| begun.note(system.fresh_id(), back);
        let mover = Mover {
            own: &self.name,
            begin: &begin,
        };
        let result = self.change_within(
            wait,
            Wish::Keep(None),
            Need::Index,
            Probe::Now,
            |index, now, told| decide(index, now, told, &mover),
        )?;
        Ok((result, begun))
    }

    /// Gives up what is delivered no more, as the policy says. What goes wrong in the other queue does not concern this one.
    pub(crate) fn give_up(&self) -> Result<u64> {
        let target = self.policy()?.dead_letter_queue.clone();
        let usable = target.map(|target| self.require_usable(&target, self.briefly()));
        let mut unusable = usable.is_some_and(|usable| usable.is_err());
        let mut count = 0;
        loop {
            let (more, begun) = self.mark(self.spool.lock_wait, |index, now, told, mover| {
                plan::give_up(index, now, &told.policy, mover, unusable)
            })?;
            count += more;
            if self.finish_own(&begun, self.briefly()).is_ok() || unusable {
                return Ok(count);
            }
            // With those that are on their way whoever comes next goes on; those that stay are put off, or they would be in the way.
            unusable = true;
        }
    }

    /// Gets back what waits in the retry queue and is due. What goes wrong there does not concern this queue.
    pub(crate) fn bring_back(&self) {
        let Some(retry) = self.retry_queue() else {
            return;
        };
        let Ok(partner) = self.partner(&retry) else {
            return;
        };
        let is_due = partner
            .attached()
            .is_ok_and(|attached| partner.peek_ready(&attached).0);
        if !is_due || !self.is_readable() {
            return;
        }
        let marked = partner.mark(self.briefly(), |index, now, _, mover| {
            plan::bring_back(index, now, &self.name, mover)
        });
        if let Ok((_, begun)) = marked {
            let _ = partner.finish_own(&begun, self.briefly());
        }
    }

    /// Whether messages can be moved here, as far as can be seen without the lock.
    fn is_readable(&self) -> bool {
        let store = &*self.spool.store;
        self.attached().is_ok_and(|attached| {
            let files = &mut attached.entry.state().files;
            files.refresh(store, &self.name, Need::Index).is_ok()
        })
    }

    /// The queue in which this one's messages wait until they are tried again, as of the last look.
    pub(crate) fn retry_queue(&self) -> Option<QueueName> {
        self.policy().ok()?.retry_queue.clone()
    }

    /// The policy as of the last look; looks when there was none.
    pub(crate) fn policy(&self) -> Result<Arc<Policy>> {
        let attached = self.attached()?;
        if !attached.entry.state().files.is_known() {
            self.catch_up(&attached, Need::Index);
        }
        let state = attached.entry.state();
        Ok(Arc::clone(state.files.policy()))
    }

    /// The configuration as of the last look.
    pub(crate) fn config(&self) -> Result<Arc<Config>> {
        Ok(Arc::clone(self.attached()?.entry.state().files.config()))
    }

    /// How long until the retry queue may have something for this one. What is ready there now, and was not brought back, is
    /// for another queue.
    pub(crate) fn retry_due(&self) -> Option<std::time::Duration> {
        let partner = self.partner(&self.retry_queue()?).ok()?;
        let attached = partner.attached().ok()?;
        let (is_ready, due) = partner.peek_ready(&attached);
        due.filter(|_| !is_ready)
    }

    /// Ends moves that this call has begun. If that fails they have begun all the same, and the error says so; unless the
    /// messages stay.
    pub(super) fn finish_begun(&self, begun: &Begun) -> Result<()> {
        self.finish_own(begun, self.spool.lock_wait)
            .map_err(|error| {
                if error.is_taken_back() {
                    return error;
                }
                error.saying(|error| {
                    format!(
                        "{error}; the messages are on their way, whoever uses one of the queues next goes on with it"
                    )
                })
            })?;
        self.go_on();
        Ok(())
    }

    /// Brings the moves to their end that this call has begun, and no others: those may be stuck. What cannot be moved is taken back,
    /// and that fails then.
    pub(super) fn finish_own(&self, begun: &Begun, wait: LockWait) -> Result<()> {
        if begun.is_empty() {
            return Ok(());
        }
        // All are tried, whatever becomes of the first.
        let mut ended = Ok(());
        for partner in self.partners_in(wait, &|id| begun.has(id))? {
            ended = ended.and(self.under_both(&partner, wait, |own, other| {
                Self::bring(own, other, Some(begun))
            }));
        }
        ended
    }

    /// Brings every move to its end that begins or ends in this queue, whoever has begun it.
    pub(super) fn finish_all(&self, wait: LockWait) -> Result<()> {
        let mut ended = Ok(());
        for partner in self.partners_in(wait, &|_| true)? {
            ended = ended.and(self.under_both(&partner, wait, |own, other| {
                let (forth, back) = (Self::bring(own, other, None), Self::bring(other, own, None));
                Ok(forth? && back?)
            }));
        }
        ended
    }

    /// The queues with which such moves have not ended.
    fn partners_in(
        &self,
        wait: LockWait,
        is_meant: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Arc<Self>>> {
        let (wish, need, probe) = (Wish::MayForget, Need::Index, Probe::None);
        let names = self.change_within(wait, wish, need, probe, |index, _, _| {
            plan::partners(index, &self.name, is_meant)
        })?;
        names.iter().map(|name| self.partner(name)).collect()
    }

    /// Does something under both locks, in the order of the names, which is the same for everybody. It says false when a lock is
    /// no longer ours, and is done again.
    fn under_both(
        &self,
        other: &Self,
        wait: LockWait,
        job: impl Fn(&Held<'_>, &Held<'_>) -> Result<bool>,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let (own_attached, other_attached) = (self.attached()?, other.attached()?);
            let hold_own = || self.hold_read(&own_attached, wait);
            let hold_other = || other.hold_read(&other_attached, wait);
            let (own_held, other_held);
            if self.name < other.name {
                own_held = hold_own()?;
                other_held = hold_other()?;
            } else {
                other_held = hold_other()?;
                own_held = hold_own()?;
            }
            if job(&own_held, &other_held)? {
                return Ok(());
            }
        }
        let text = "other programs keep removing the lock files; the move has not ended and will be gone on with";
        Err(Error::new(ErrorKind::LockTimeout, text))
    }

    /// The queue, locked and read.
    fn hold_read<'a>(&'a self, attached: &Arc<Attached>, wait: LockWait) -> Result<Held<'a>> {
        let hold = self.mending(attached, || {
            let hold = attached.hold(&self.patience_of(wait))?;
            let mut state = attached.entry.state();
            self.sweep(&mut state, &hold);
            let files = &mut state.files;
            files.refresh(&*self.spool.store, &self.name, Need::Index)?;
            Ok((hold, files.reading()))
        })?;
        let (hold, reading) = hold;
        Ok(Held {
            handle: self,
            attached: Arc::clone(attached),
            hold,
            reading: Cell::new(reading),
        })
    }

    fn what_is_left(
        source: &Held<'_>,
        target: &Held<'_>,
        begun: Option<&Begun>,
    ) -> Result<Option<Finish>> {
        let (mut from, mut to) = (source.attached.entry.state(), target.attached.entry.state());
        let is_as_read = source.is_as_read(&from.files) && target.is_as_read(&to.files);
        if !is_as_read {
            return Ok(None);
        }
        let policy = Arc::clone(from.files.policy());
        let now = source.handle.now(from.files.index(), Probe::None, &mut 0);
        let meant = Meant {
            is: &|id| begun.is_none_or(|begun| begun.has(id)),
            // What one call has begun stays or is moved as a whole.
            bytes: begun.map_or(AT_ONCE, |_| u64::MAX),
            back: &|id| begun?.back(id),
        };
        let finish = plan::finish(
            (from.files.index(), &source.handle.name),
            (to.files.index(), &target.handle.name),
            (&policy, &now),
            &meant,
        );
        finish.map(Some)
    }

    /// Ends moves from one queue to the other, under both locks: those that were begun by this call, or all. False: a lock is no
    /// longer ours, or what is there has to be read again.
    fn bring(source: &Held<'_>, target: &Held<'_>, begun: Option<&Begun>) -> Result<bool> {
        loop {
            let Some(finish) = Self::what_is_left(source, target, begun)? else {
                return Ok(false);
            };
            if !Self::bring_part(source, target, begun, &finish)? {
                return Ok(false);
            }
            if !finish.more {
                return Ok(true);
            }
        }
    }

    fn bring_part(
        source: &Held<'_>,
        target: &Held<'_>,
        begun: Option<&Begun>,
        finish: &Finish,
    ) -> Result<bool> {
        let later;
        let mut arrived = &finish.arrived;
        if !finish.leave.is_empty() {
            // Whether the marks are durable is not known: the copies must not be before them.
            if !source.sync()? {
                return Ok(false);
            }
            match target.commit(&finish.arrive) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) => return Self::take_back(source, target, begun, finish, error),
            }
            // Copies that somebody left, who died before they were durable.
            if !target.sync()? || !source.commit(&finish.leave)? {
                return Ok(false);
            }
            let Some(left) = Self::what_is_left(source, target, begun)? else {
                return Ok(false);
            };
            later = left.arrived;
            arrived = &later;
        }
        if arrived.is_empty() {
            return Ok(true);
        }
        // That the messages are gone from the source, which somebody may have seen to who died before it was durable.
        if !source.sync()? {
            return Ok(false);
        }
        let done = target.commit(arrived)?;
        let is_message = |change: &&Change| matches!(change, Change::Envelope(..));
        target
            .hold
            .brought(arrived.iter().filter(is_message).count());
        if source.waits_for(target) {
            source.hold.brought(1);
        }
        Ok(done)
    }

    /// The copies could not be written: the messages stay, as far as this call has begun to move them.
    fn take_back(
        source: &Held<'_>,
        target: &Held<'_>,
        begun: Option<&Begun>,
        finish: &Finish,
        error: Error,
    ) -> Result<bool> {
        target.refresh()?;
        let Some(left) = Self::what_is_left(source, target, begun)? else {
            return Ok(false);
        };
        if left.arrive.len() < finish.arrive.len() {
            // The copies are there, and may or may not outlive a power cut: whoever comes next goes on.
            return Err(error);
        }
        let stay = &finish.stay;
        if stay.is_empty() {
            // Who has begun them takes them back; if he is dead, they wait until they can arrive.
            return Err(error);
        }
        let stays = source.commit(stay);
        source.hold.brought(stay.len());
        source.refresh()?;
        let Some(left) = Self::what_is_left(source, target, begun)? else {
            return Ok(false);
        };
        if !left.stay.is_empty() {
            // They could not even be told to stay.
            return stays.and(Err(error));
        }
        let queue = &source.handle.name;
        let told = error.saying(|error| format!("the messages stay in queue {queue}: {error}"));
        Err(told.taken_back())
    }
}

/// A queue under its lock and guard.
struct Held<'a> {
    handle: &'a Handle,
    attached: Arc<Attached>,
    hold: Hold,
    /// The reading of the files that is decided on. Other threads look at them too, and may find that they have been replaced.
    reading: Cell<Option<u64>>,
}

impl Held<'_> {
    fn is_as_read(&self, files: &Files) -> bool {
        files.reading() == self.reading.get()
    }

    /// One commit, durable if anything is. False: the lock is no longer ours, or what is there was read again; nothing was changed.
    fn commit(&self, changes: &[Change]) -> Result<bool> {
        let (attached, reading) = (&self.attached, self.reading.get());
        let done = changes.is_empty()
            || self
                .handle
                .commit_held(attached, &self.hold, reading, changes)?;
        Ok(done)
    }

    /// Reads what is there, after a failure.
    fn refresh(&self) -> Result<()> {
        let (handle, files) = (self.handle, &mut self.attached.entry.state().files);
        files.refresh(&*handle.spool.store, &handle.name, Need::Index)?;
        self.reading.set(files.reading());
        Ok(())
    }

    /// Whether the other one is this one's retry queue, and has something soon: who sleeps on this one has to know until when.
    fn waits_for(&self, other: &Self) -> bool {
        let policy = Arc::clone(self.attached.entry.state().files.policy());
        if policy.retry_queue.as_ref() != Some(&other.handle.name) {
            return false;
        }
        let mut state = other.attached.entry.state();
        let index = state.files.index();
        let now = other.handle.now(index, Probe::None, &mut 0);
        index.has_soon(HEARTBEAT, &now)
    }

    fn sync(&self) -> Result<bool> {
        let reading = self.reading.get();
        self.handle.sync_held(&self.attached, &self.hold, reading)
    }
}
