//! What is seen of messages without taking them.

use super::guard::{free, look};
use super::{flockq_bytes, flockq_priority, flockq_state};
use crate::{Envelope, Stats};

/// A message as it stood in the queue. Its texts are borrowed from it; times are as the file has them.
#[derive(Debug)]
pub struct flockq_envelope(pub(super) Envelope);

/// A list of envelopes. Freed by flockq_envelopes_free(), which frees the envelopes in it.
#[derive(Debug)]
pub struct flockq_envelopes {
    all: Vec<flockq_envelope>,
    cursor: Option<String>,
}

impl flockq_envelopes {
    pub(super) fn new(all: Vec<Envelope>, cursor: Option<String>) -> Self {
        Self {
            all: all.into_iter().map(flockq_envelope).collect(),
            cursor,
        }
    }
}

/// How a queue stands. Written whole by the library; fields are only appended, with the SONAME.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct flockq_stats {
    /// All messages, in whatever state.
    pub messages: u64,
    /// Those that a receive would get now.
    pub ready: u64,
    /// Those whose time has not come.
    pub delayed: u64,
    /// Those that somebody has under a lease.
    pub leased: u64,
    /// The bytes of all envelopes.
    pub bytes: u64,
    /// The age of the oldest message in milliseconds; -1 when there is none or its age is unknown.
    pub oldest_age_ms: i64,
}

impl From<Stats> for flockq_stats {
    fn from(stats: Stats) -> Self {
        Self {
            messages: stats.messages,
            ready: stats.ready,
            delayed: stats.delayed,
            leased: stats.leased,
            bytes: stats.bytes,
            oldest_age_ms: stats
                .oldest_age
                .map_or(-1, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
        }
    }
}

fn text(
    envelope: *const flockq_envelope,
    read: impl FnOnce(&Envelope) -> Option<&str>,
) -> flockq_bytes {
    look(envelope, flockq_bytes::NONE, |envelope| {
        flockq_bytes::of_option(read(&envelope.0))
    })
}

/// The id, or no bytes: a message that another program wrote may have none until it is received.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelope_id(envelope: *const flockq_envelope) -> flockq_bytes {
    text(envelope, Envelope::id)
}

/// Ready, delayed or leased.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelope_state(envelope: *const flockq_envelope) -> flockq_state {
    look(envelope, flockq_state::Any, |envelope| {
        envelope.0.state().into()
    })
}

/// The priority; an unknown one ranks as normal.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelope_priority(envelope: *const flockq_envelope) -> flockq_priority {
    look(envelope, flockq_priority::Default, |envelope| {
        envelope.0.priority().into()
    })
}

/// How often it has been delivered.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelope_attempts(envelope: *const flockq_envelope) -> u64 {
    look(envelope, 0, |envelope| envelope.0.attempts())
}

/// Why it was given back last, or no bytes.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelope_reason(envelope: *const flockq_envelope) -> flockq_bytes {
    text(envelope, Envelope::error)
}

/// When it was sent, or no bytes.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelope_queued_at(envelope: *const flockq_envelope) -> flockq_bytes {
    text(envelope, Envelope::queued_at)
}

/// When it was delivered last, or no bytes for never.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelope_last_attempt(envelope: *const flockq_envelope) -> flockq_bytes {
    text(envelope, Envelope::last_attempt)
}

/// When it may be received, or no bytes.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelope_not_before(envelope: *const flockq_envelope) -> flockq_bytes {
    text(envelope, Envelope::not_before)
}

/// When its lease ends, or no bytes when it is not leased.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelope_lease_until(envelope: *const flockq_envelope) -> flockq_bytes {
    text(envelope, Envelope::lease_until)
}

/// The consumer whose death ends its lease, or no bytes: not leased, or a detached lease.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelope_consumer(envelope: *const flockq_envelope) -> flockq_bytes {
    text(envelope, Envelope::consumer)
}

/// The payload: JSON text, byte for byte as it is in the file.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelope_payload(envelope: *const flockq_envelope) -> flockq_bytes {
    look(envelope, flockq_bytes::NONE, |envelope| {
        flockq_bytes::of(envelope.0.payload())
    })
}

/// The whole element of the array.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelope_text(envelope: *const flockq_envelope) -> flockq_bytes {
    look(envelope, flockq_bytes::NONE, |envelope| {
        flockq_bytes::of(envelope.0.text())
    })
}

/// Frees the envelope; NULL does nothing. Not for one that was borrowed from a list.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelope_free(envelope: *mut flockq_envelope) {
    free(envelope);
}

/// How many envelopes there are.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelopes_size(envelopes: *const flockq_envelopes) -> usize {
    look(envelopes, 0, |envelopes| envelopes.all.len())
}

/// The envelope at `index`, counted from 0; NULL beyond the end. Borrowed from `envelopes`.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelopes_get(
    envelopes: *const flockq_envelopes,
    index: usize,
) -> *const flockq_envelope {
    look(envelopes, std::ptr::null(), |envelopes| {
        envelopes
            .all
            .get(index)
            .map_or(std::ptr::null(), std::ptr::from_ref)
    })
}

/// Where the next page of flockq_queue_list() begins; no bytes when this is the last. Borrowed from `envelopes`.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelopes_cursor(envelopes: *const flockq_envelopes) -> flockq_bytes {
    look(envelopes, flockq_bytes::NONE, |envelopes| {
        flockq_bytes::of_option(envelopes.cursor.as_deref())
    })
}

/// Frees the list and the envelopes in it; NULL does nothing.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelopes_free(envelopes: *mut flockq_envelopes) {
    free(envelopes);
}
