//! What is seen of messages without taking them.

use std::time::Duration;

use super::guard::{free, look};
use super::{flockq_bytes, flockq_priority, flockq_state};
use crate::{Counters, Envelope, LockStats, Stats};

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

/// What has been done with a queue's messages, by all processes together. Each count only grows, until the queue's files are
/// made anew.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct flockq_counters {
    /// Messages that were sent.
    pub sent: u64,
    /// Deliveries.
    pub received: u64,
    /// Messages that were acked or popped.
    pub acked: u64,
    /// Deliveries that were given back, with or without a reason.
    pub nacked: u64,
    /// Messages that went to the retry queue.
    pub retried: u64,
    /// Messages that were given up, to the dead-letter queue.
    pub dead_lettered: u64,
    /// Messages whose time to live had ended; those that were not dropped are dead-lettered too.
    pub expired: u64,
    /// Messages that were removed by hand.
    pub removed: u64,
    /// Messages that came from another queue.
    pub moved_in: u64,
    /// Messages that went to another queue, for whatever reason.
    pub moved_out: u64,
    /// Deliveries of messages that had been given back.
    pub redelivered_nacked: u64,
    /// Deliveries of messages whose lease had come to its deadline.
    pub redelivered_expired_lease: u64,
    /// Deliveries of messages whose consumer had died.
    pub redelivered_dead_consumer: u64,
    /// Deliveries of messages that were leased before a reboot.
    pub redelivered_reboot: u64,
    /// Deliveries of messages whose lease another program had erased.
    pub redelivered_erased_lease: u64,
}

/// How the lock of a queue was used. A process tells once a second, with what it does next, and when it closes the queue.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct flockq_lock_stats {
    /// How often it was taken to change something.
    pub acquired: u64,
    /// How often somebody had to wait for it.
    pub contended: u64,
    /// How often somebody waited in vain.
    pub timed_out: u64,
    /// How often its file had been removed or replaced by another program.
    pub replaced: u64,
    /// All waits together, in microseconds.
    pub wait_us: u64,
    /// The longest wait, in microseconds.
    pub wait_max_us: u64,
    /// How many waits were at most 100 us, 1 ms, 10 ms, 100 ms, 1 s, 10 s, 1 min, and longer.
    pub waits: [u64; 8],
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
    /// How often another program has written or replaced the file, as far as it was noticed.
    pub foreign_writes: u64,
    /// How often the journal was folded.
    pub checkpoints: u64,
    /// What has been done with messages.
    pub counters: flockq_counters,
    /// How the lock was used.
    pub lock: flockq_lock_stats,
}

impl From<Counters> for flockq_counters {
    fn from(counters: Counters) -> Self {
        Self {
            sent: counters.sent,
            received: counters.received,
            acked: counters.acked,
            nacked: counters.nacked,
            retried: counters.retried,
            dead_lettered: counters.dead_lettered,
            expired: counters.expired,
            removed: counters.removed,
            moved_in: counters.moved_in,
            moved_out: counters.moved_out,
            redelivered_nacked: counters.redelivered_nacked,
            redelivered_expired_lease: counters.redelivered_expired_lease,
            redelivered_dead_consumer: counters.redelivered_dead_consumer,
            redelivered_reboot: counters.redelivered_reboot,
            redelivered_erased_lease: counters.redelivered_erased_lease,
        }
    }
}

impl From<LockStats> for flockq_lock_stats {
    fn from(lock: LockStats) -> Self {
        let us = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self {
            acquired: lock.acquired,
            contended: lock.contended,
            timed_out: lock.timed_out,
            replaced: lock.replaced,
            wait_us: us(lock.wait),
            wait_max_us: us(lock.wait_max),
            waits: lock.waits,
        }
    }
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
            foreign_writes: stats.foreign_writes,
            checkpoints: stats.checkpoints,
            counters: stats.counters.into(),
            lock: stats.lock.into(),
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

/// The errors so far with their times, the last ten at most, or no bytes: a JSON array of objects with "at" and "error".
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelope_errors(envelope: *const flockq_envelope) -> flockq_bytes {
    text(envelope, Envelope::errors)
}

/// The queue that it came from, while it waits to be tried again or was given up, or no bytes.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelope_origin(envelope: *const flockq_envelope) -> flockq_bytes {
    text(envelope, Envelope::origin)
}

/// When it is delivered no more, or no bytes.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_envelope_expires(envelope: *const flockq_envelope) -> flockq_bytes {
    text(envelope, Envelope::expires)
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
