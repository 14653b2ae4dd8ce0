//! Sending.

use crate::config::Sync;
use crate::error::{Error, ErrorKind, Result};
use crate::format::MAX_ID_BYTES;
use crate::format::time::{Timestamp, after};
use crate::index::plan::{self, Outgoing};
use crate::message::{IntoMessage, Message};
use crate::store::files::Need;

use super::Queue;
use super::handle::{Probe, Wish};

impl Queue {
    /// Sends a message and returns its id. When it returns, the message is in the queue and, at the default
    /// durability, on stable storage.
    ///
    /// Fails with `InvalidJson` or `TooLarge` for the payload, `InvalidArgument` for an id that cannot be one,
    /// `AlreadyExists` for an id option that is already in the queue. `OutcomeUnknown`: it may have been sent.
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
        let mut sync: Option<Sync> = None;
        let system = self.handle.spool.store.system();
        let wall = system.wall();
        let mut outgoing = Vec::with_capacity(messages.len());
        for mut message in messages {
            sync = strictest(sync, message.sync);
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
        let asks = |message: &Outgoing| message.id.is_some() || message.dedup;
        let need = if outgoing.iter().any(asks) {
            Need::Index
        } else {
            Need::Tail
        };
        self.handle
            .change(wish, need, Probe::None, |index, now, told| {
                let limits = (&*told.policy, told.totals);
                let queued_at = next_queued(now.wall, told.queued);
                let plan = plan::send(index, &outgoing, queued_at, &|| system.fresh_id(), limits)?;
                told.queued = Some(after(
                    queued_at,
                    std::time::Duration::from_nanos(count as u64 - 1),
                ));
                Ok(plan)
            })
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
    if id.is_empty() || id.len() > MAX_ID_BYTES {
        let text = format!(
            "an id has 1 to {MAX_ID_BYTES} bytes, this one has {}",
            id.len()
        );
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    Ok(id)
}
