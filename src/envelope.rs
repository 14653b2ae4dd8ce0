//! What is seen of a message without taking it.

use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};
use crate::format::envelope::Texts;
use crate::format::lease::Held;
use crate::format::priority::Priority;
use crate::index::View;
use crate::index::state::State;

/// A message as it stood in the queue. Times are texts as the file has them.
#[derive(Debug, Clone)]
pub struct Envelope {
    view: View,
    texts: Texts,
    lease_until: Option<String>,
    expires: Option<String>,
}

impl From<View> for Envelope {
    fn from(view: View) -> Self {
        let texts = view.element.texts();
        let mut envelope = Self {
            view,
            texts,
            lease_until: None,
            expires: None,
        };
        let expires = envelope.view.element.expires();
        envelope.expires = expires.map(|expires| expires.to_string());
        envelope.lease_until = envelope.lease().map(|lease| lease.until.to_string());
        envelope
    }
}

impl Envelope {
    /// The id; a message that another program wrote may have none until it is received.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.view.element.id().map(|id| &**id)
    }

    /// Ready, delayed or leased.
    #[must_use]
    pub fn state(&self) -> State {
        self.view.state
    }

    /// The priority; an unknown one ranks as normal.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.view.element.priority()
    }

    /// How often it has been delivered.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.view.element.attempts()
    }

    /// Why it was given back last.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.texts.error.as_deref()
    }

    /// The errors so far with their times, the last ten at most: a JSON array of objects with `at` and `error`.
    #[must_use]
    pub fn errors(&self) -> Option<&str> {
        self.texts.errors.as_deref()
    }

    /// The queue that it came from, while it waits to be tried again or was given up.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.texts.from.as_deref()
    }

    /// When it is delivered no more.
    #[must_use]
    pub fn expires(&self) -> Option<&str> {
        self.expires.as_deref()
    }

    /// When it was sent.
    #[must_use]
    pub fn queued_at(&self) -> Option<&str> {
        self.texts.queued_at.as_deref()
    }

    /// When it was delivered last; `None` for never.
    #[must_use]
    pub fn last_attempt(&self) -> Option<&str> {
        self.texts.last_attempt.as_deref()
    }

    /// When it may be received.
    #[must_use]
    pub fn not_before(&self) -> Option<&str> {
        self.texts.not_before.as_deref()
    }

    /// When its lease ends, while it is leased.
    #[must_use]
    pub fn lease_until(&self) -> Option<&str> {
        self.lease_until.as_deref()
    }

    /// The consumer whose death ends its lease, while it is leased; `None` for a detached lease.
    #[must_use]
    pub fn consumer(&self) -> Option<&str> {
        self.lease().and_then(|lease| lease.consumer.as_deref())
    }

    /// The payload: JSON text, byte for byte as it is in the file.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.view.element.payload()
    }

    /// The payload, decoded. `InvalidJson` when it does not fit the type.
    pub fn message<T: DeserializeOwned>(&self) -> Result<T> {
        decode(self.payload())
    }

    /// The whole element of the array.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        self.view.element.text()
    }

    fn lease(&self) -> Option<&Held> {
        let held = self.view.element.lease()?.held.as_ref();
        held.filter(|_| self.view.state == State::Leased)
    }
}

/// Decodes a payload.
pub(crate) fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T> {
    serde_json::from_slice(payload).map_err(|error| {
        Error::new(
            ErrorKind::InvalidJson,
            format!("the payload does not fit the type: {error}"),
        )
    })
}
