//! Sending.

use crate::LockWait;
use crate::config::Sync;
use crate::error::{Error, ErrorKind, Result};
use crate::format::time::{Timestamp, after};
use crate::format::wrong_id;
use crate::index::plan::{self, Outgoing};
use crate::message::{IntoMessage, Message};
use crate::store::files::Need;
use crate::store::patience::Patience;
use crate::wait::{Slept, Waiting};

use super::attached::Attached;
use super::change::Wish;
use super::look::Probe;
use super::{Handle, Queue};

impl Queue {
    /// Sends a message and returns its id. When it returns, the message is in the queue and, at the default
    /// durability, on stable storage.
    ///
    /// Fails with `InvalidJson` or `TooLarge` for the payload (`TooLarge` also when the queue's limits have no room for it even
    /// when it is empty), `InvalidArgument` for an id that cannot be one,
    /// `AlreadyExists` for an id option that is already in the queue, `Full` when a limit of the queue is reached.
    /// `OutcomeUnknown`: it may have been sent.
    pub fn send(&self, message: impl IntoMessage) -> Result<String> {
        let mut ids = self.send_all(vec![message.into_message()])?;
        ids.pop()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a send returned no id"))
    }

    /// Sends all of the messages or none, in one commit, and returns their ids in order.
    pub fn send_many<M: IntoMessage>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<Vec<String>> {
        self.send_all(
            messages
                .into_iter()
                .map(IntoMessage::into_message)
                .collect(),
        )
    }

    fn send_all(&self, messages: Vec<Message>) -> Result<Vec<String>> {
        let (mut sync, mut wait): (Option<Sync>, Option<LockWait>) = (None, None);
        let system = self.handle.spool.store.system();
        let wall = system.wall();
        let mut outgoing = Vec::with_capacity(messages.len());
        for mut message in messages {
            sync = strictest(sync, message.sync);
            wait = longest(wait, message.wait);
            outgoing.push(Outgoing {
                payload: message.take_payload()?,
                id: message.id.map(check_id).transpose()?,
                priority: message.priority,
                not_before: message.delay.map(|delay| after(wall, delay)),
                expires: message.ttl.map(|ttl| after(wall, ttl)),
                dedup: message.dedup,
            });
        }
        if outgoing.is_empty() {
            return Ok(Vec::new());
        }
        let wish = Wish::Keep(sync);
        let count = outgoing.len();
        // Only who asks for an id has to know those that are there.
        let need = if outgoing.iter().any(Outgoing::asks_for_its_id) {
            Need::Index
        } else {
            Need::Tail
        };
        let send = || {
            self.handle
                .change(wish, need, Probe::None, |index, now, told| {
                    let limits = (&*told.policy, told.totals);
                    let queued_at = next_queued(now.wall, told.queued);
                    let times = (now.wall, queued_at);
                    let plan = plan::send(index, &outgoing, times, &|| system.fresh_id(), limits)?;
                    let last = std::time::Duration::from_nanos(count as u64 - 1);
                    told.queued = Some(after(queued_at, last));
                    Ok(plan)
                })
        };
        match (send(), wait) {
            (Err(error), Some(wait)) if error.kind() == ErrorKind::Full => {
                self.handle.send_when_there_is_room(error, wait, send)
            }
            (sent, _) => sent,
        }
    }
}

impl Handle {
    /// Waits for what may make room, and tries again.
    fn send_when_there_is_room<T>(
        &self,
        mut full: Error,
        wait: LockWait,
        send: impl Fn() -> Result<T>,
    ) -> Result<T> {
        let patience = Patience::new(wait, self.spool.check.clone());
        let attached = self.attached()?;
        // Closed since it was asked: that interrupted the waits there were then.
        let mut waiting = self.unless_closed(self.listen_for_room(&attached))?;
        loop {
            if !self.is_full(&attached) {
                match send() {
                    Err(error) if error.kind() == ErrorKind::Full => full = error,
                    other => return other,
                }
            }
            if self.unless_closed(waiting.sleep(None, &patience))? == Slept::Over {
                return Err(full);
            }
        }
    }

    /// Whether not even a small message has room, as far as can be seen without the lock.
    fn is_full(&self, attached: &Attached) -> bool {
        self.catch_up(attached, Need::Tail);
        let state = attached.entry.state();
        let (totals, policy) = (state.files.totals(), state.files.policy());
        let is_reached = |count: u64, limit: Option<u64>| limit.is_some_and(|limit| count >= limit);
        state.files.is_known()
            && (is_reached(totals.messages, policy.max_messages)
                || is_reached(totals.bytes, policy.max_bytes))
    }

    /// Begins to listen for changes that may make room.
    fn listen_for_room<'a>(&self, attached: &'a Attached) -> Result<Waiting<'a>> {
        let store = &*self.spool.store;
        self.make_consumers_directory();
        let Attached {
            interrupts, beds, ..
        } = attached;
        Waiting::begin(interrupts, beds, store, &self.name, None)
    }
}

/// One send waits as long as the most patient of its messages.
fn longest(one: Option<LockWait>, other: Option<LockWait>) -> Option<LockWait> {
    match (one, other) {
        (Some(LockWait::For(one)), Some(LockWait::For(other))) => {
            Some(LockWait::For(one.max(other)))
        }
        (Some(LockWait::Forever), _) | (_, Some(LockWait::Forever)) => Some(LockWait::Forever),
        (one, other) => one.or(other),
    }
}

/// A clock that jumps back, or stands still, must not reorder what one process sends.
fn next_queued(wall: Timestamp, last: Option<Timestamp>) -> Timestamp {
    match last {
        Some(last) if last >= wall => after(last, std::time::Duration::from_nanos(1)),
        _ => wall,
    }
}

/// One commit has one durability: the strictest that one of its messages asks for.
fn strictest(one: Option<Sync>, other: Option<Sync>) -> Option<Sync> {
    let rank = |sync: &Sync| match sync {
        Sync::Full => 2,
        Sync::Normal => 1,
        Sync::Off => 0,
    };
    one.into_iter().chain(other).max_by_key(rank)
}

fn check_id(id: String) -> Result<String> {
    match wrong_id(&id) {
        Some(wrong) => Err(Error::new(ErrorKind::InvalidArgument, wrong)),
        None => Ok(id),
    }
}
