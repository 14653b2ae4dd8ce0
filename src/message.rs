//! What is sent: a payload and its options.

use std::time::Duration;

use serde::Serialize;

use crate::LockWait;
use crate::config::Sync;
use crate::error::{Error, ErrorKind, Result};
use crate::format::json::check_payload;
use crate::format::priority::Priority;

/// A message to send: a JSON payload and options.
///
/// ```
/// use flockq::{Message, Priority};
/// let message = Message::new(&serde_json::json!({"to": "deacon/"})).priority(Priority::High);
/// ```
#[derive(Debug)]
#[must_use = "a message does nothing until it is sent"]
pub struct Message {
    /// What went wrong in making the payload is told by the send.
    payload: Result<Vec<u8>>,
    pub(crate) id: Option<String>,
    pub(crate) priority: Option<Priority>,
    pub(crate) delay: Option<Duration>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) dedup: bool,
    pub(crate) sync: Option<Sync>,
    pub(crate) wait: Option<LockWait>,
}

impl Message {
    /// A message whose payload is `payload` as JSON.
    pub fn new<T: Serialize + ?Sized>(payload: &T) -> Self {
        Self::from_result(encode(payload))
    }

    /// A message whose payload is this JSON text; its bytes are kept as they are.
    pub fn from_json(text: impl Into<Vec<u8>>) -> Self {
        Self::from_result(Ok(text.into()))
    }

    fn from_result(payload: Result<Vec<u8>>) -> Self {
        Self {
            payload,
            id: None,
            priority: None,
            delay: None,
            ttl: None,
            dedup: false,
            sync: None,
            wait: None,
        }
    }

    /// The message's id: 1 to 512 bytes without control characters. Without it, the payload's own string `id` serves, else a
    /// new UUIDv7.
    /// One that is already in the queue is `AlreadyExists`.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The priority. Without it, the payload's own `priority` serves, else normal.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Not to be received before this time has passed.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Not to be delivered any more when this time has passed: then it is given up as the queue's policy says.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// With an id that is already in the queue, or left it within the queue's `dedup_window`, send nothing and return that
    /// id. A plain queue does not know what has left it.
    pub fn dedup(mut self, dedup: bool) -> Self {
        self.dedup = dedup;
        self
    }

    /// The durability of this send alone.
    pub fn sync(mut self, sync: Sync) -> Self {
        self.sync = Some(sync);
        self
    }

    /// When the queue is full, wait this long for room.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = (!wait.is_zero()).then_some(LockWait::For(wait));
        self
    }

    /// When the queue is full, wait until there is room.
    pub fn wait_forever(mut self) -> Self {
        self.wait = Some(LockWait::Forever);
        self
    }

    /// The payload, when it is one that every language reads alike.
    pub(crate) fn take_payload(&mut self) -> Result<Vec<u8>> {
        let payload = std::mem::replace(&mut self.payload, Ok(Vec::new()))?;
        check_payload(&payload)?;
        Ok(payload)
    }
}

/// A payload as JSON.
pub(crate) fn encode<T: Serialize + ?Sized>(payload: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(payload).map_err(|error| {
        let text = format!("the payload cannot be written as JSON: {error}");
        Error::new(ErrorKind::InvalidJson, text)
    })
}

/// What can be sent: a reference to anything that serialises, or a [`Message`].
pub trait IntoMessage {
    /// The message to send.
    fn into_message(self) -> Message;
}

impl<T: Serialize + ?Sized> IntoMessage for &T {
    fn into_message(self) -> Message {
        Message::new(self)
    }
}

impl IntoMessage for Message {
    fn into_message(self) -> Message {
        self
    }
}
