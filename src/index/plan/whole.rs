//! Removing, and replacing the whole array.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{edited, internal};
use crate::error::{Error, ErrorKind, Result};
use crate::format::Damage;
use crate::format::counters::Counters;
use crate::format::envelope::{Edit, Element};
use crate::format::json::check_element;
use crate::format::lease::Lease;
use crate::index::state::State;
use crate::index::{Change, Index, Now, Plan, Seq};

/// Every message with one of these ids.
pub(crate) fn remove(index: &Index, ids: &[&str]) -> Result<Plan<u64>> {
    let mut places: BTreeSet<Seq> = BTreeSet::new();
    for id in ids {
        places.extend(index.numbers_of(id)?);
    }
    Ok(removed(places))
}

/// What was removed by hand is not remembered: it may be sent again.
fn removed(places: impl IntoIterator<Item = Seq>) -> Plan<u64> {
    let changes: Vec<Change> = places.into_iter().map(Change::Remove).collect();
    let removed = changes.len() as u64;
    let counters = Counters {
        removed,
        ..Counters::default()
    };
    Plan::counting(changes, removed, counters)
}

/// Every message, or every message in one state.
#[expect(
    clippy::unnecessary_wraps,
    reason = "every decision has the same shape"
)]
pub(crate) fn purge(index: &mut Index, now: &Now, state: Option<State>) -> Result<Plan<u64>> {
    Ok(removed(index.in_state(state, now)))
}

/// Another array. A live lease stays with its message (INV-9): an element that has it keeps it; one whose id is that of
/// a leased message, and that says nothing of a lease or something older, gets it.
pub(crate) fn save(index: &mut Index, now: &Now, texts: Vec<Arc<[u8]>>) -> Result<Plan<()>> {
    let before = index.array()?;
    if texts == before {
        return Ok(Plan {
            changes: Vec::new(),
            result: (),
        });
    }
    let parsed = texts.into_iter().enumerate().map(|(place, text)| {
        let wrong = |damage: Damage| {
            let text = format!("element {place} of the array is no envelope: at its byte {} {}; nothing was written", damage.offset, damage.rule);
            Error::new(ErrorKind::InvalidArgument, text)
        };
        check_element(&text).map_err(wrong)?;
        Element::parse(text).map_err(wrong)
    });
    let mut elements = parsed.collect::<Result<Vec<Element>>>()?;
    let mut leases = live_leases(&before, now)?;
    // A lease goes to one element only: first to the one that has it, perhaps as it was before it was extended.
    let mut settled = Vec::with_capacity(elements.len());
    for element in &mut elements {
        settled.push(give(&mut leases, element, |own, live| {
            own.is_some_and(|own| own.is_same_delivery(live))
        })?);
    }
    for (element, _) in elements
        .iter_mut()
        .zip(settled)
        .filter(|(_, settled)| !settled)
    {
        give(&mut leases, element, |own, live| {
            own.is_none_or(|own| own.token < live.token)
        })?;
    }
    Ok(Plan {
        changes: vec![Change::Reset(elements)],
        result: (),
    })
}

/// Live leases by the id of their message, in the order of the array.
type Leases = HashMap<Arc<str>, Vec<Lease>>;

fn live_leases(array: &[Arc<[u8]>], now: &Now) -> Result<Leases> {
    let mut leases = Leases::new();
    for text in array {
        let element = Element::parse(Arc::clone(text)).map_err(|damage| internal(&damage))?;
        let is_live = |lease: &&Lease| lease.held.as_ref().is_some_and(|held| held.is_live(now));
        if let (Some(id), Some(lease)) = (element.id(), element.lease().filter(is_live)) {
            let live = leases.entry(Arc::clone(id)).or_default();
            live.push(lease.clone());
        }
    }
    Ok(leases)
}

/// Gives an element the first lease of its message that `fits`; says whether there was one.
fn give(
    leases: &mut Leases,
    element: &mut Element,
    fits: impl Fn(Option<&Lease>, &Lease) -> bool,
) -> Result<bool> {
    let Some(live) = element.id().and_then(|id| leases.get_mut(id)) else {
        return Ok(false);
    };
    let Some(place) = live.iter().position(|lease| fits(element.lease(), lease)) else {
        return Ok(false);
    };
    let lease = live.remove(place);
    if element.lease() != Some(&lease) {
        *element = edited(element, &[Edit::Lease(Some(lease))])?;
    }
    Ok(true)
}
