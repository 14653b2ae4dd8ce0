//! Changing messages where they are.

use super::send::require_size;
use super::sound;
use crate::config::Policy;
use crate::error::Result;
use crate::format::envelope::Rewrite;
use crate::index::{Change, Index, Plan};

/// Every message with this id, leased or not; says how many. Those in a move are another queue's business: nothing is changed,
/// and `None` said, when there is one, unless such are to be `left`.
pub(crate) fn update(
    index: &Index,
    id: &str,
    rewrite: &Rewrite<'_>,
    policy: &Policy,
    left: bool,
) -> Result<Plan<Option<u64>>> {
    if let Some(payload) = rewrite.payload {
        require_size(payload.len(), policy)?;
    }
    let (mut changes, mut updated) = (Vec::new(), 0);
    for (entry, element) in index.with_id(id)? {
        if element.transit().is_some() {
            if left {
                continue;
            }
            let (changes, result) = (Vec::new(), None);
            return Ok(Plan { changes, result });
        }
        updated += 1;
        let other = sound(element.rewrite(rewrite))?;
        if other.text() != element.text() {
            changes.push(if rewrite.is_around() {
                Change::Envelope(entry.seq, other)
            } else {
                Change::Replace(entry.seq, other)
            });
        }
    }
    let result = Some(updated);
    Ok(Plan { changes, result })
}
