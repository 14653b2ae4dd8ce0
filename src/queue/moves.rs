//! Moving messages between queues: marked in one commit, and then brought to an end under both queues' locks by whoever
//! comes first. `docs/format.md`, section 18.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::LockWait;
use crate::config::Policy;
use crate::error::{Error, ErrorKind, Result};
use crate::format::envelope::{Edit, Element};
use crate::format::name::QueueName;
use crate::index::plan::{self, Finish, Mover, Which};
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
        let decide = |index: &mut Index, now: &Now, told: &mut Told, mover: &Mover<'_>| {
            let sources = told
                .config
                .sources(self.name(), |policy| &policy.dead_letter_queue);
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
    fn home(&self, element: &Element, sources: &[QueueName]) -> Result<QueueName> {
        let from = element.texts().from;
        let from = from.and_then(|from| QueueName::parse(&from).ok());
        // One whose array somebody has put into the queue that it names is at home.
        if let Some(from) = from.filter(|from| *from != self.handle.name) {
            return Ok(from);
        }
        if let [home] = sources {
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
            if self.finish_moves(&begun, self.briefly()).is_ok() || unusable {
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
            let _ = partner.finish_moves(&begun, self.briefly());
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

    /// The queues whose messages come here when they are given up.
    pub(crate) fn sources_of_given_up(&self) -> Result<Vec<QueueName>> {
        let attached = self.attached()?;
        let config = Arc::clone(attached.entry.state().files.config());
        Ok(config.sources(self.name.as_str(), |policy| &policy.dead_letter_queue))
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
        let wait = self.spool.lock_wait;
        self.finish_moves(begun, wait).map(drop).map_err(|error| {
            if error.is_taken_back() {
                return error;
            }
            error.saying(|error| {
                format!(
                    "{error}; the messages are on their way, whoever uses one of the queues next goes on with it"
                )
            })
        })
    }

    /// Brings every move to its end that begins or ends in this queue. Those that this call has begun are taken back if that cannot be
    /// done, and fail then; for others nobody waits long, and whether they have ended is all that is told of them.
    pub(super) fn finish_moves(&self, begun: &Begun, wait: LockWait) -> Result<bool> {
        let (wish, need, probe) = (Wish::MayForget, Need::Index, Probe::None);
        let partners = self.change_within(wait, wish, need, probe, |index, _, _| {
            plan::partners(index, &self.name, &|id| begun.has(id))
        })?;
        // All are tried, whatever becomes of the first.
        let (mut own, mut others_have_ended) = (Ok(()), true);
        for (partner, is_own) in &partners {
            let wait = if *is_own { wait } else { self.briefly() };
            let partner = self.partner(partner)?;
            let ended = self.finish_with(&partner, begun, wait);
            if *is_own {
                own = own.and(ended);
            } else {
                others_have_ended &= ended.is_ok();
            }
        }
        own.map(|()| others_have_ended)
    }

    /// Both locks in the order of the names, which is the same for everybody.
    fn finish_with(&self, other: &Self, begun: &Begun, wait: LockWait) -> Result<()> {
        let (first, second) = if self.name < other.name {
            (self, other)
        } else {
            (other, self)
        };
        for _ in 0..TRIES {
            let (one, two) = (first.attached()?, second.attached()?);
            let one = first.hold_read(&one, wait)?;
            let two = second.hold_read(&two, wait)?;
            if Self::finish_held(&one, &two, begun)? && Self::finish_held(&two, &one, begun)? {
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
            drop(state);
            Ok(hold)
        })?;
        Ok(Held {
            handle: self,
            attached: Arc::clone(attached),
            hold,
        })
    }

    fn what_is_left(source: &Held<'_>, target: &Held<'_>, begun: &Begun) -> Result<Finish> {
        let (mut from, mut to) = (source.attached.entry.state(), target.attached.entry.state());
        let policy = Arc::clone(from.files.policy());
        let now = source.handle.now(from.files.index(), Probe::None, &mut 0);
        plan::finish(
            (from.files.index(), &source.handle.name),
            (to.files.index(), &target.handle.name),
            (&policy, &now),
            &|id| begun.back(id),
        )
    }

    /// Ends the moves from one queue to the other, under both locks. False: a lock is no longer ours.
    fn finish_held(source: &Held<'_>, target: &Held<'_>, begun: &Begun) -> Result<bool> {
        let finish = Self::what_is_left(source, target, begun)?;
        let mut arrived = finish.arrived;
        if !finish.leave.is_empty() {
            // Whether the marks are durable is not known: the copies must not be before them.
            source.sync()?;
            match target.commit(&finish.arrive) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) => {
                    target.refresh()?;
                    let left = Self::what_is_left(source, target, begun)?;
                    if left.arrive.len() < finish.arrive.len() {
                        // The copies are there, and may or may not outlive a power cut: whoever comes next goes on.
                        return Err(error);
                    }
                    let stay = finish.stay;
                    if stay.is_empty() {
                        // Who has begun them takes them back; if he is dead, they wait until they can arrive.
                        return Err(error);
                    }
                    let stays = source.commit(&stay);
                    source.hold.brought(stay.len());
                    source.refresh()?;
                    let left = Self::what_is_left(source, target, begun)?;
                    if !left.stay.is_empty() {
                        // They could not even be told to stay.
                        return stays.and(Err(error));
                    }
                    let queue = &source.handle.name;
                    let told = error
                        .saying(|error| format!("the messages stay in queue {queue}: {error}"));
                    return Err(told.taken_back());
                }
            }
            // Copies that somebody left, who died before they were durable.
            target.sync()?;
            if !source.commit(&finish.leave)? {
                return Ok(false);
            }
            arrived = Self::what_is_left(source, target, begun)?.arrived;
        }
        if arrived.is_empty() {
            return Ok(true);
        }
        // That the messages are gone from the source, which somebody may have seen to who died before it was durable.
        source.sync()?;
        let done = target.commit(&arrived)?;
        let is_message = |change: &&Change| matches!(change, Change::Envelope(..));
        target
            .hold
            .brought(arrived.iter().filter(is_message).count());
        if source.waits_for(target) {
            source.hold.brought(1);
        }
        Ok(done)
    }
}

/// A queue under its lock and guard.
struct Held<'a> {
    handle: &'a Handle,
    attached: Arc<Attached>,
    hold: Hold,
}

impl Held<'_> {
    /// One commit, durable if anything is. False: the lock is no longer ours, and nothing was changed.
    fn commit(&self, changes: &[Change]) -> Result<bool> {
        let done = changes.is_empty()
            || self
                .handle
                .commit_held(&self.attached, &self.hold, changes)?;
        Ok(done)
    }

    /// Reads what is there, after a failure.
    fn refresh(&self) -> Result<()> {
        let (handle, files) = (self.handle, &mut self.attached.entry.state().files);
        let refreshed = files.refresh(&*handle.spool.store, &handle.name, Need::Index);
        refreshed.map(drop)
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

    fn sync(&self) -> Result<()> {
        self.handle.sync_held(&self.attached, &self.hold)
    }
}
