//! Changing messages where they are.

use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::format::envelope::{Edit, Rewrite};
use crate::format::json::check_payload;
use crate::format::priority::Priority;
use crate::format::time::after;
use crate::index::plan;
use crate::message::encode;
use crate::store::files::Need;

use super::Queue;
use super::change::Wish;
use super::look::Probe;

/// What of a message is to be different; what is not named stays.
///
/// ```
/// use flockq::{MessageUpdate, Priority};
/// let update = MessageUpdate::new().priority(Priority::Urgent).delay(std::time::Duration::ZERO);
/// ```
#[derive(Debug, Default)]
#[must_use = "it does nothing until it is given to `update_message`"]
pub struct MessageUpdate {
    /// What went wrong in making the payload is told by the update.
    payload: Option<Result<Vec<u8>>>,
    priority: Option<Priority>,
    delay: Option<Duration>,
    ttl: Option<Duration>,
    no_ttl: bool,
}

impl MessageUpdate {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another payload: `payload` as JSON. The message keeps its id, whatever the payload says of itself.
    pub fn payload<T: Serialize + ?Sized>(mut self, payload: &T) -> Self {
        self.payload = Some(encode(payload));
        self
    }

    /// Another payload: this JSON text, whose bytes are kept as they are.
    pub fn payload_from_json(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.payload = Some(Ok(text.into()));
        self
    }

    /// Another priority. Without it the message keeps the one that it was given; one that it has from its payload it has from
    /// the other payload then.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Not to be received before this time has passed from now; zero: at once.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Not to be delivered any more when this time has passed from now.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self.no_ttl = false;
        self
    }

    /// To be delivered however old it is.
    pub fn no_ttl(mut self) -> Self {
        self.ttl = None;
        self.no_ttl = true;
        self
    }
}

impl Queue {
    /// Changes every message with this id where it is, in one commit, and says how many there are. Their age, attempts and
    /// leases stay: whoever works on one has what it was when he took it, and settles it all the same. A message on its way
    /// to another queue is left.
    ///
    /// `InvalidArgument` for an update that names nothing; `InvalidJson` or `TooLarge` for the payload.
    pub fn update_message(&self, id: &str, update: MessageUpdate) -> Result<u64> {
        let payload = update.payload.transpose()?;
        if let Some(payload) = &payload {
            check_payload(payload)?;
        }
        let wall = self.handle.spool.store.system().wall();
        let mut times = Vec::new();
        if let Some(delay) = update.delay {
            let due = (!delay.is_zero()).then(|| after(wall, delay));
            times.push(Edit::NotBefore(due));
        }
        if update.ttl.is_some() || update.no_ttl {
            let end = update.ttl.map(|ttl| after(wall, ttl));
            times.push(Edit::Expires(end));
        }
        let rewrite = Rewrite {
            payload: payload.as_deref(),
            priority: update.priority,
            times,
        };
        if rewrite.is_nothing() {
            let text = "the update names nothing that is to change; give a payload, a priority, a delay or a time to live";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let change = |left| {
            let (wish, need, probe) = (Wish::Keep(None), Need::Index, Probe::Sometimes);
            self.handle.change(wish, need, probe, |index, _, told| {
                plan::update(index, id, &rewrite, &told.policy, left)
            })
        };
        // A move that is found is ended first, where it can be.
        let updated = match change(false)? {
            Some(updated) => Some(updated),
            None => change(true)?,
        };
        Ok(updated.unwrap_or_default())
    }
}
