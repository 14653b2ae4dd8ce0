//! Changes of an envelope: what is written, and what is known of the message afterwards without reading it again.

use std::borrow::Cow;

use super::lease::Lease;
use super::object::quoted;
use super::time::Timestamp;
use super::transit::Transit;

/// A new value of one key; without a value the key is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit<'a> {
    Attempts(u64),
    LastAttempt(Timestamp),
    NotBefore(Option<Timestamp>),
    Expires(Option<Timestamp>),
    Lease(Option<Lease>),
    /// For a message that has none, or whose payload says another.
    Id(&'a str),
    Error(&'a str),
    /// The history of errors, as JSON.
    Errors(String),
    From(Option<Cow<'a, str>>),
    Move(Option<Transit>),
}

impl Edit<'_> {
    pub(super) fn key(&self) -> &'static str {
        match self {
            Edit::Attempts(_) => "attempts",
            Edit::LastAttempt(_) => "last_attempt",
            Edit::NotBefore(_) => "not_before",
            Edit::Expires(_) => "expires",
            Edit::Lease(_) => "lease",
            Edit::Id(_) => "id",
            Edit::Error(_) => "error",
            Edit::Errors(_) => "errors",
            Edit::From(_) => "from",
            Edit::Move(_) => "move",
        }
    }

    /// The value as JSON text.
    pub(super) fn value(&self) -> Option<String> {
        let time = |time: &Timestamp| ["\"", &time.to_string(), "\""].concat();
        match self {
            Edit::Attempts(attempts) => Some(attempts.to_string()),
            Edit::LastAttempt(at) => Some(time(at)),
            Edit::NotBefore(at) | Edit::Expires(at) => at.as_ref().map(time),
            Edit::Lease(lease) => lease.as_ref().map(Lease::text),
            Edit::Id(text) | Edit::Error(text) => Some(quoted(text)),
            Edit::Errors(json) => Some(json.clone()),
            Edit::From(queue) => queue.as_deref().map(quoted),
            Edit::Move(transit) => transit.as_ref().map(Transit::text),
        }
    }
}
