//! Removing, and replacing the whole array.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::edited;
use crate::error::{Error, ErrorKind, Result};
use crate::format::envelope::Element;
use crate::format::json::check_element;
use crate::index::state::State;
use crate::index::{Change, Index, Now, Plan, Seq};

/// Every message with one of these ids.
pub(crate) fn remove(index: &Index, ids: &[&str]) -> Result<Plan<u64>> {
    let places: BTreeSet<Seq> = ids.iter().flat_map(|id| index.with_id(id)).map(|(seq, _)| seq).collect();
    Ok(Plan { result: places.len() as u64, changes: places.into_iter().map(Change::Remove).collect() })
}

/// Every message, or every message in one state.
pub(crate) fn purge(index: &mut Index, now: &Now, state: Option<State>) -> Result<Plan<u64>> {
    let places = index.in_state(state, now);
    Ok(Plan { result: places.len() as u64, changes: places.into_iter().map(Change::Remove).collect() })
}

/// Another array. A live lease stays with its message: an element without one, whose id is that of a leased message,
/// gets that lease.
pub(crate) fn save(index: &mut Index, now: &Now, texts: Vec<Arc<[u8]>>) -> Result<Plan<()>> {
    if texts == index.array() {
        return Ok(Plan { changes: Vec::new(), result: () });
    }
    let mut used: HashSet<Seq> = HashSet::new();
    let mut elements = Vec::with_capacity(texts.len());
    for (place, text) in texts.into_iter().enumerate() {
        let wrong = |damage: crate::format::Damage| {
            let text = format!("element {place} of the array is no envelope: at its byte {} {}; nothing was written", damage.offset, damage.rule);
            Error::new(ErrorKind::InvalidArgument, text)
        };
        check_element(&text).map_err(wrong)?;
        let element = Element::parse(text).map_err(wrong)?;
        elements.push(keep_lease(index, now, element, &mut used)?);
    }
    Ok(Plan { changes: vec![Change::Reset(elements)], result: () })
}

fn keep_lease(index: &Index, now: &Now, element: Element, used: &mut HashSet<Seq>) -> Result<Element> {
    let Some(id) = element.id().filter(|_| element.lease().is_none()) else { return Ok(element) };
    let leased = index.with_id(id).into_iter().find_map(|(seq, old)| {
        let lease = old.lease()?;
        (lease.held.as_ref()?.is_live(now) && used.insert(seq)).then(|| lease.text())
    });
    match leased {
        Some(lease) => edited(&element, &[("lease", Some(lease))]),
        None => Ok(element),
    }
}
