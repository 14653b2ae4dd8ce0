//! Sending.

use std::collections::HashSet;
use std::time::Duration;

use super::internal;
use crate::config::Policy;
use crate::error::{Error, ErrorKind, Result};
use crate::format::counters::Counters;
use crate::format::envelope::{Element, Fresh};
use crate::format::journal::Totals;
use crate::format::priority::Priority;
use crate::format::time::{Timestamp, after};
use crate::index::{Change, Index, Plan};

/// A message on its way in; the payload has been checked.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) payload: Vec<u8>,
    pub(crate) id: Option<String>,
    pub(crate) priority: Option<Priority>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) dedup: bool,
}

impl Outgoing {
    /// Whether what becomes of it depends on the ids that are there.
    pub(crate) fn asks_for_its_id(&self) -> bool {
        self.id.is_some() || self.dedup
    }
}

/// All of them or none. An id option that is already there is refused, or with `dedup` sent no second time.
pub(crate) fn send(
    index: &Index,
    messages: &[Outgoing],
    (wall, queued_at): (Timestamp, Timestamp),
    fresh_id: &dyn Fn() -> String,
    (policy, before): (&Policy, Totals),
) -> Result<Plan<Vec<String>>> {
    let mut changes = Vec::new();
    let mut ids = Vec::with_capacity(messages.len());
    // Only who asks for an id has to know those of the messages beside it.
    let somebody_asks = messages.iter().any(Outgoing::asks_for_its_id);
    let mut new: HashSet<String> = HashSet::new();
    for (place, message) in messages.iter().enumerate() {
        require_size(message.payload.len(), policy)?;
        let fresh = Fresh {
            payload: &message.payload,
            id: message.id.as_deref(),
            spare_id: fresh_id,
            priority: message.priority,
            queued_at: after(queued_at, Duration::from_nanos(place as u64)),
            not_before: message.not_before,
            expires: message.expires,
        };
        let element = Element::compose(&fresh).map_err(|damage| internal(&damage))?;
        let id = element.id().map(ToString::to_string).unwrap_or_default();
        let is_there = message.asks_for_its_id() && (new.contains(&id) || index.has_id(&id)?);
        if is_there && !message.dedup {
            return Err(exists(&id));
        }
        let was_there = message.dedup && index.past().remembers(&id, wall);
        if !is_there && !was_there {
            changes.push(Change::Append(element));
        }
        if somebody_asks {
            new.insert(id.clone());
        }
        ids.push(id);
    }
    require_room(&changes, policy, before)?;
    let counters = Counters {
        sent: changes.len() as u64,
        ..Counters::default()
    };
    Ok(Plan::counting(changes, ids, counters))
}

/// Limits bind sends and nothing else.
fn require_room(changes: &[Change], policy: &Policy, before: Totals) -> Result<()> {
    let bytes = changes.iter().map(|change| match change {
        Change::Append(element) => element.text().len() as u64,
        _ => 0,
    });
    let rooms = [
        (
            "messages",
            before.messages,
            changes.len() as u64,
            policy.max_messages,
        ),
        ("bytes", before.bytes, bytes.sum(), policy.max_bytes),
    ];
    for (what, before, more, limit) in rooms {
        // What a journal says of itself may be nonsense.
        let after = before.saturating_add(more);
        let Some(limit) = limit.filter(|limit| after > *limit) else {
            continue;
        };
        if more > limit {
            let text = format!(
                "what is sent has {more} {what}, and the queue holds at most {limit} (max_{what}); nothing was sent, send less at once"
            );
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        if !changes.is_empty() {
            let text = format!(
                "the queue would have {after} {what}, the limit (max_{what}) is {limit}; nothing was sent, try again when some are done"
            );
            return Err(Error::new(ErrorKind::Full, text));
        }
    }
    Ok(())
}

/// The limit on one payload.
pub(super) fn require_size(bytes: usize, policy: &Policy) -> Result<()> {
    let limit = policy.max_payload_bytes;
    if bytes as u64 <= limit {
        return Ok(());
    }
    let text = format!(
        "the payload has {bytes} bytes, the limit of the queue (max_payload_bytes) is {limit}; send a reference to the data instead"
    );
    Err(Error::new(ErrorKind::TooLarge, text))
}

fn exists(id: &str) -> Error {
    let shown: String = id.chars().take(100).collect();
    Error::new(
        ErrorKind::AlreadyExists,
        format!(
            "a message with the id {shown:?} is already in the queue; nothing was sent (with dedup it would be no error)"
        ),
    )
}
