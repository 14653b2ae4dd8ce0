//! Settling by receipt. A receipt is good while the lease that it names is live and nobody has settled it (INV-8).

use std::collections::HashSet;
use std::time::Duration;

use super::edited;
use crate::error::Result;
use crate::format::envelope::{Element, quoted};
use crate::format::lease::{Held, Lease};
use crate::format::receipt::Receipt;
use crate::format::time::Timestamp;
use crate::index::{Change, Index, Now, Plan, Seq};

/// Done: the messages are removed.
pub(crate) fn ack(index: &mut Index, now: &Now, receipts: &[Receipt]) -> Result<Plan<Vec<bool>>> {
    settle(index, now, receipts, |seq, _, _| Ok(Change::Remove(seq)))
}

/// Failed or given back, with a reason and a time before which it is not to come again.
pub(crate) fn nack(
    index: &mut Index,
    now: &Now,
    receipts: &[Receipt],
    error: Option<&str>,
    not_before: Option<Timestamp>,
) -> Result<Plan<Vec<bool>>> {
    settle(index, now, receipts, |seq, element, held| {
        let mut edits = vec![
            (
                "lease",
                Some(
                    Lease {
                        token: held.0,
                        held: None,
                    }
                    .text(),
                ),
            ),
            (
                "not_before",
                not_before.map(|time| quoted(&time.to_string())),
            ),
        ];
        if let Some(error) = error {
            edits.push(("error", Some(quoted(error))));
        }
        Ok(Change::Replace(seq, edited(element, &edits)?))
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
    settle(index, now, receipts, |seq, element, (token, held)| {
        let longer = Held {
            consumer: held.consumer.clone(),
            ..Held::new(now, lease, held.random, None)
        };
        Ok(Change::Replace(
            seq,
            edited(
                element,
                &[(
                    "lease",
                    Some(
                        Lease {
                            token,
                            held: Some(longer),
                        }
                        .text(),
                    ),
                )],
            )?,
        ))
    })
}

/// The leases end no more with their consumer.
pub(crate) fn detach(
    index: &mut Index,
    now: &Now,
    receipts: &[Receipt],
) -> Result<Plan<Vec<bool>>> {
    settle(index, now, receipts, |seq, element, (token, held)| {
        let detached = Held {
            consumer: None,
            ..held.clone()
        };
        Ok(Change::Replace(
            seq,
            edited(
                element,
                &[(
                    "lease",
                    Some(
                        Lease {
                            token,
                            held: Some(detached),
                        }
                        .text(),
                    ),
                )],
            )?,
        ))
    })
}

fn settle(
    index: &mut Index,
    now: &Now,
    receipts: &[Receipt],
    mut change: impl FnMut(Seq, &Element, (u64, &Held)) -> Result<Change>,
) -> Result<Plan<Vec<bool>>> {
    let mut changes = Vec::new();
    let mut settled: HashSet<Seq> = HashSet::new();
    let mut result = Vec::with_capacity(receipts.len());
    for receipt in receipts {
        let named = index
            .with_id(&receipt.id)
            .into_iter()
            .find_map(|(seq, element)| {
                let lease = element.lease()?;
                let held = lease
                    .held
                    .as_ref()
                    .filter(|held| held.is_live(now) && held.random == receipt.random)?;
                (lease.token == receipt.token).then(|| (seq, element.clone(), held.clone()))
            });
        let good = match named {
            Some((seq, element, held)) if settled.insert(seq) => {
                changes.push(change(seq, &element, (receipt.token, &held))?);
                true
            }
            _ => false,
        };
        result.push(good);
    }
    Ok(Plan { changes, result })
}
