//! Receiving.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::moves::is_over;
use super::{edited, remember};
use crate::config::Policy;
use crate::error::Result;
use crate::format::counters::Counters;
use crate::format::envelope::{Edit, Element};
use crate::format::lease::{End, Held, Lease};
use crate::format::receipt::Receipt;
use crate::index::state::State;
use crate::index::{Change, Index, Now, Plan, View};

/// What a receive gives out leases with.
pub(crate) struct Grant<'a> {
    pub(crate) lease: Option<Duration>,
    /// Whose death ends the leases; nobody's when they are detached.
    pub(crate) consumer: Option<Arc<str>>,
    pub(crate) random: &'a dyn Fn() -> u64,
    /// An id for a message that another program wrote without one.
    pub(crate) fresh_id: &'a dyn Fn() -> String,
}

/// A message that was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) element: Element,
    pub(crate) id: String,
    pub(crate) receipt: String,
    pub(crate) attempts: u64,
}

/// What a receive brought.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) taken: Vec<Taken>,
    /// Some of those before them, or all that are ready, are to be given up.
    pub(crate) over: bool,
}

/// Leases the next ready messages and counts the attempt (INV-11).
pub(crate) fn receive(
    index: &mut Index,
    now: &Now,
    max: usize,
    grant: &Grant<'_>,
    policy: &Policy,
) -> Result<Plan<Received>> {
    let mut changes = Vec::new();
    let mut result = Vec::new();
    let over = Cell::new(false);
    let mut counters = Counters::default();
    // Those that are over take nobody's place.
    let is_good = |element: &Element| {
        let is_good = is_over(element, policy, now).is_none();
        over.set(over.get() || !is_good);
        is_good
    };
    for (seq, element) in index.next_ready_where(max, now, is_good)? {
        counters.received += 1;
        if let Some(cause) = cause(&mut counters, &element, now) {
            *cause += 1;
        }
        let token = Lease::next_token(now, element.lease());
        let random = (grant.random)();
        let lease = Lease {
            token,
            held: Some(Held::new(
                now,
                grant.lease.unwrap_or(policy.lease),
                random,
                grant.consumer.clone(),
            )),
        };
        let counts = u64::from(!cfg!(mutant = "attempt_uncounted"));
        let attempts = element.attempts().saturating_add(counts);
        let mut edits = vec![
            Edit::Attempts(attempts),
            Edit::LastAttempt(now.wall),
            Edit::NotBefore(None),
            Edit::Lease(Some(lease)),
        ];
        let id = element
            .id()
            .map_or_else(|| (grant.fresh_id)(), ToString::to_string);
        if element.id().is_none() {
            edits.push(Edit::Id(&id));
        }
        let element = edited(&element, &edits)?;
        let receipt = Receipt { id, token, random };
        result.push(Taken {
            receipt: receipt.text(),
            id: receipt.id,
            attempts,
            element: element.clone(),
        });
        changes.push(Change::Envelope(seq, element));
    }
    let result = Received {
        taken: result,
        over: over.get(),
    };
    Ok(Plan::counting(changes, result, counters))
}

/// Why a message is delivered again, as it is counted; `None` when it is not.
fn cause<'a>(counters: &'a mut Counters, element: &Element, now: &Now) -> Option<&'a mut u64> {
    if element.attempts() == 0 {
        return None;
    }
    Some(match element.lease().map(|lease| &lease.held) {
        None => &mut counters.redelivered_erased_lease,
        Some(None) => &mut counters.redelivered_nacked,
        Some(Some(held)) => match held.end(now) {
            End::Reboot => &mut counters.redelivered_reboot,
            End::Deadline => &mut counters.redelivered_expired_lease,
            End::Death => &mut counters.redelivered_dead_consumer,
        },
    })
}

/// Takes the next ready message for good. True: some are to be given up first.
pub(crate) fn pop(
    index: &mut Index,
    now: &Now,
    policy: &Policy,
) -> Result<Plan<(Option<View>, bool)>> {
    let Some((seq, element)) = index.next_ready(1, now)?.pop() else {
        let (changes, result) = (Vec::new(), (None, false));
        return Ok(Plan { changes, result });
    };
    if is_over(&element, policy, now).is_some() {
        let (changes, result) = (Vec::new(), (None, true));
        return Ok(Plan { changes, result });
    }
    let state = State::Ready;
    let mut changes = vec![Change::Remove(seq)];
    changes.extend(element.id().and_then(|id| remember(id, policy, now)));
    let mut counters = Counters {
        received: 1,
        acked: 1,
        ..Counters::default()
    };
    if let Some(cause) = cause(&mut counters, &element, now) {
        *cause += 1;
    }
    let result = (Some(View { element, state }), false);
    Ok(Plan::counting(changes, result, counters))
}
