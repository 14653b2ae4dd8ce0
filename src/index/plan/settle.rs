//! Settling by receipt. A receipt is good while the lease that it names is live and nobody has settled it (INV-8).

use std::collections::HashSet;
use std::time::Duration;

use super::edited;
use crate::error::Result;
use crate::format::envelope::{Edit, quoted};
use crate::format::lease::{Held, Lease};
use crate::format::receipt::Receipt;
use crate::format::time::Timestamp;
use crate::index::{Change, Index, Now, Plan, Seq};

/// Done: the messages are removed.
pub(crate) fn ack(index: &mut Index, now: &Now, receipts: &[Receipt]) -> Result<Plan<Vec<bool>>> {
    settle(index, now, receipts, |_, seq, _| Ok(Change::Remove(seq)))
}

/// Failed or given back, with a reason and a time before which it is not to come again.
pub(crate) fn nack(
    index: &mut Index,
    now: &Now,
    receipts: &[Receipt],
    error: Option<&str>,
    not_before: Option<Timestamp>,
) -> Result<Plan<Vec<bool>>> {
    settle(index, now, receipts, |index, seq, (token, _)| {
        let mut edits = vec![
            ("lease", Some(Lease { token, held: None }.text())),
            (
                "not_before",
                not_before.map(|time| quoted(&time.to_string())),
            ),
        ];
        if let Some(error) = error {
            edits.push(("error", Some(quoted(error))));
        }
        change(index, seq, &edits)
    })
}

/// Given back by a handle that closes.
pub(crate) fn give_back(
    index: &mut Index,
    now: &Now,
    receipts: &[Receipt],
) -> Result<Plan<Vec<bool>>> {
    nack(index, now, receipts, None, None)
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
        let lease = Lease { token, held }.text();
        change(index, seq, &[("lease", Some(lease))])
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
        let lease = Lease { token, held }.text();
        change(index, seq, &[("lease", Some(lease))])
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
    let mut changes = Vec::new();
    let mut settled: HashSet<Seq> = HashSet::new();
    let mut result = Vec::with_capacity(receipts.len());
    for receipt in receipts {
        // The random part makes a receipt name one message: the message itself need not be read.
        let named = index
            .leases_of(&receipt.id)
            .find(|(_, token, held)| {
                *token == receipt.token && held.random == receipt.random && held.is_live(now)
            })
            .map(|(seq, token, held)| (seq, token, held.clone()));
        let good = match named {
            Some((seq, token, held)) if settled.insert(seq) => {
                changes.push(change(index, seq, (token, &held))?);
                true
            }
            _ => false,
        };
        result.push(good);
    }
    Ok(Plan { changes, result })
}
