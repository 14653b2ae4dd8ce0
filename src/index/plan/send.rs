//! Sending.

use std::collections::HashSet;
use std::time::Duration;

use super::internal;
use crate::error::{Error, ErrorKind, Result};
use crate::format::envelope::{Element, Fresh};
use crate::format::priority::Priority;
use crate::format::time::{Timestamp, after};
use crate::index::{Change, Index, Plan};

/// A message on its way in; the payload has been checked.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) payload: Vec<u8>,
    pub(crate) id: Option<String>,
    /// Used when neither the caller nor the payload has an id.
    pub(crate) fresh_id: String,
    pub(crate) priority: Option<Priority>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) dedup: bool,
}

/// All of them or none. An id option that is already there is refused, or with `dedup` sent no second time.
pub(crate) fn send(
    index: &Index,
    messages: &[Outgoing],
    queued_at: Timestamp,
) -> Result<Plan<Vec<String>>> {
    let mut changes = Vec::new();
    let mut ids = Vec::with_capacity(messages.len());
    let mut new: HashSet<String> = HashSet::new();
    for (place, message) in messages.iter().enumerate() {
        let fresh = Fresh {
            payload: &message.payload,
            id: message.id.as_deref(),
            spare_id: &message.fresh_id,
            priority: message.priority,
            queued_at: after(queued_at, Duration::from_nanos(place as u64)),
            not_before: message.not_before,
        };
        let element = Element::compose(&fresh).map_err(|damage| internal(&damage))?;
        let id = element.id().map(ToString::to_string).unwrap_or_default();
        let asked = message.id.is_some() || message.dedup;
        if asked && (index.has_id(&id) || new.contains(&id)) {
            if !message.dedup {
                return Err(exists(&id));
            }
        } else {
            changes.push(Change::Append(element));
        }
        new.insert(id.clone());
        ids.push(id);
    }
    Ok(Plan {
        changes,
        result: ids,
    })
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
