//! Settling by receipt. A receipt is good while the lease that it names is live and nobody has settled it (INV-8).

use std::collections::HashSet;
use std::time::Duration;

use super::moves::{Mover, STUCK, given_back, history};
use super::{edited, remember};
use crate::config::Policy;
use crate::error::Result;
use crate::format::counters::Counters;
use crate::format::envelope::Edit;
use crate::format::lease::{Held, Lease};
use crate::format::name::QueueName;
use crate::format::receipt::Receipt;
use crate::format::time::after;
use crate::index::{Change, Index, Now, Plan, Seq};

/// Done: the messages are removed.
pub(crate) fn ack(
    index: &mut Index,
    now: &Now,
    receipts: &[Receipt],
    policy: &Policy,
) -> Result<Plan<Vec<bool>>> {
    let mut plan = settle(index, now, receipts, |_, seq, _| Ok(Change::Remove(seq)))?;
    let counters = Counters {
        acked: plan.changes.len() as u64,
        ..Counters::default()
    };
    let done = receipts.iter().zip(&plan.result).filter(|(_, done)| **done);
    let gone = done.filter_map(|(receipt, _)| remember(&receipt.id, policy, now));
    plan.changes.extend(gone);
    Ok(Plan::counting(plan.changes, plan.result, counters))
}

/// How messages are given back.
pub(crate) struct Back<'a> {
    pub(crate) error: Option<&'a str>,
    /// As it was asked for; else the policy has its own, for what failed.
    pub(crate) delay: Option<Duration>,
    pub(crate) policy: &'a Policy,
    pub(crate) mover: &'a Mover<'a>,
    /// Whether messages can be moved to a queue now; else they stay.
    pub(crate) is_usable: &'a dyn Fn(&QueueName) -> bool,
    /// Chance, for the jitter.
    pub(crate) random: &'a dyn Fn() -> u64,
}

/// Failed or given back.
pub(crate) fn nack(
    index: &mut Index,
    now: &Now,
    receipts: &[Receipt],
    back: &Back<'_>,
) -> Result<Plan<Vec<bool>>> {
    let mut counters = Counters::default();
    let plan = settle(index, now, receipts, |index, seq, (token, _)| {
        let element = index.element_of(seq)?;
        let policy = back.policy;
        let attempts = element.attempts();
        let is_last = policy.is_last(attempts);
        let is_usable = |queue: &&QueueName| (back.is_usable)(queue);
        let last_queue = policy.dead_letter_queue.as_ref().filter(|_| is_last);
        let given_up = last_queue.filter(is_usable);
        let delay = match back.delay {
            // Nobody tries it again.
            _ if given_up.is_some() => Duration::ZERO,
            Some(delay) => delay,
            None if last_queue.is_some() => STUCK,
            None if back.error.is_none() => Duration::ZERO,
            None => policy.backoff.after(attempts, (back.random)()),
        };
        let not_before = (!delay.is_zero()).then(|| after(now.wall, delay));
        let mut edits = vec![
            Edit::Lease(Some(Lease { token, held: None })),
            Edit::NotBefore(not_before),
        ];
        let last_word = given_up.and_then(|_| given_back(&element));
        if let Some(error) = back.error.or(last_word.as_deref()) {
            edits.push(Edit::Error(error));
            edits.push(history(&element, error, now));
        }
        // What failed waits elsewhere; what was only given back stays, as does what is to be given up and cannot be.
        let may_retry = back.error.is_some() && last_queue.is_none();
        let retry = policy.retry_queue.as_ref().filter(|_| may_retry);
        counters.nacked += 1;
        let element = match given_up.or_else(|| retry.filter(is_usable)) {
            None => edited(&element, &edits)?,
            Some(target) => {
                let mut there = vec![back.mover.origin()];
                if given_up.is_some() {
                    // It is kept until somebody looks at it.
                    there.push(Edit::Expires(None));
                }
                back.mover.mark(&element, target, edits, there)?
            }
        };
        Ok(Change::Envelope(seq, element))
    })?;
    Ok(Plan::counting(plan.changes, plan.result, counters))
}

/// Given back by a handle that closes.
pub(crate) fn give_back(
    index: &mut Index,
    now: &Now,
    receipts: &[Receipt],
) -> Result<Plan<Vec<bool>>> {
    let plan = settle(index, now, receipts, |index, seq, (token, _)| {
        let edits = [
            Edit::Lease(Some(Lease { token, held: None })),
            Edit::NotBefore(None),
        ];
        change(index, seq, &edits)
    })?;
    let counters = Counters {
        nacked: plan.changes.len() as u64,
        ..Counters::default()
    };
    Ok(Plan::counting(plan.changes, plan.result, counters))
}

/// The leases run for `lease` from now.
pub(crate) fn extend(
    index: &mut Index,
    now: &Now,
    receipts: &[Receipt],
    lease: Duration,
) -> Result<Plan<Vec<bool>>> {
    settle(index, now, receipts, |index, seq, (token, held)| {
        let longer = Held {
            consumer: held.consumer.clone(),
            ..Held::new(now, lease, held.random, None)
        };
        let held = Some(longer);
        let lease = Lease { token, held };
        change(index, seq, &[Edit::Lease(Some(lease))])
    })
}

/// The leases end no more with their consumer.
pub(crate) fn detach(
    index: &mut Index,
    now: &Now,
    receipts: &[Receipt],
) -> Result<Plan<Vec<bool>>> {
    settle(index, now, receipts, |index, seq, (token, held)| {
        let detached = Held {
            consumer: None,
            ..held.clone()
        };
        let held = Some(detached);
        let lease = Lease { token, held };
        change(index, seq, &[Edit::Lease(Some(lease))])
    })
}

/// Another envelope around the same payload.
fn change(index: &Index, seq: Seq, edits: &[Edit<'_>]) -> Result<Change> {
    let element = index.element_of(seq)?;
    Ok(Change::Envelope(seq, edited(&element, edits)?))
}

fn settle(
    index: &mut Index,
    now: &Now,
    receipts: &[Receipt],
    mut change: impl FnMut(&Index, Seq, (u64, &Held)) -> Result<Change>,
) -> Result<Plan<Vec<bool>>> {
    let mut changes = Vec::with_capacity(receipts.len() + 1);
    let mut settled: HashSet<Seq> = HashSet::with_capacity(receipts.len());
    let mut result = Vec::with_capacity(receipts.len());
    for receipt in receipts {
        // The random part makes a receipt name one message: the message itself need not be read.
        let named = index.leases_of(&receipt.id).find(|(_, token, held)| {
            let is_named = *token == receipt.token && held.random == receipt.random;
            (is_named || cfg!(mutant = "ack_unchecked")) && held.is_live(now)
        });
        let good = match named {
            Some((seq, token, held)) if settled.insert(seq) => {
                changes.push(change(index, seq, (token, held))?);
                true
            }
            _ => false,
        };
        result.push(good);
    }
    Ok(Plan { changes, result })
}
