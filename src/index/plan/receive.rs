//! Receiving.

use std::sync::Arc;
use std::time::Duration;

use super::edited;
use super::moves::is_over;
use crate::config::Policy;
use crate::error::Result;
use crate::format::envelope::{Element, quoted};
use crate::format::lease::{Held, Lease};
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
    /// Some of those that are ready are to be given up first.
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
    let mut over = false;
    for (seq, element) in index.next_ready(max, now)? {
        if is_over(&element, policy, now).is_some() {
            over = true;
            continue;
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
        let attempts = element.attempts().saturating_add(1);
        let mut edits = vec![
            ("attempts", Some(attempts.to_string())),
            ("last_attempt", Some(quoted(&now.wall.to_string()))),
            ("not_before", None),
            ("lease", Some(lease.text())),
        ];
        let id = element
            .id()
            .map_or_else(|| (grant.fresh_id)(), ToString::to_string);
        if element.id().is_none() {
            edits.push(("id", Some(quoted(&id))));
        }
        let element = edited(&element, &edits)?;
        result.push(Taken {
            receipt: Receipt {
                id: id.clone(),
                token,
                random,
            }
            .text(),
            id,
            attempts,
            element: element.clone(),
        });
        changes.push(Change::Envelope(seq, element));
    }
    let result = Received {
        taken: result,
        over,
    };
    Ok(Plan { changes, result })
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
    Ok(Plan {
        changes: vec![Change::Remove(seq)],
        result: (Some(View { element, state }), false),
    })
}
