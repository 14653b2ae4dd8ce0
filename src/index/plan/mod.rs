//! Decisions: what each operation changes. Each is a function of the index, the time and the request.

mod moves;
mod receive;
mod send;
mod settle;
mod update;
mod whole;

pub(crate) use moves::{
    Finish, Meant, Mover, Which, bring_back, finish, give_up, move_to, partners, redrive,
};
pub(crate) use receive::{Grant, Received, Taken, pop, receive};
pub(crate) use send::{Outgoing, send};
pub(crate) use settle::{Back, ack, detach, extend, give_back, nack};
pub(crate) use update::update;
pub(crate) use whole::{purge, remove, save};

use std::sync::Arc;

use crate::config::Policy;
use crate::error::{Error, ErrorKind, Result};
use crate::format::envelope::{Edit, Element};
use crate::format::time::{Timestamp, after};
use crate::format::{Damage, wrong_id};
use crate::index::past::milliseconds;
use crate::index::{Change, Now};

/// What keeps a message that leaves a queue from being sent again with `dedup`. A payload may have an id that no send could
/// give: that is not kept in memory, nor written into a journal as it is.
fn remember(id: &str, policy: &Policy, now: &Now) -> Option<Change> {
    remember_from(now.wall, id, policy)
}

/// The same, for one whose window begins then.
fn remember_from(begin: Timestamp, id: &str, policy: &Policy) -> Option<Change> {
    if wrong_id(id).is_some() {
        return None;
    }
    let until = policy.dedup_window.map(|window| after(begin, window))?;
    Some(Change::Remember(Arc::from(id), milliseconds(until)))
}

/// An edit of an element that was read before. Where a journal's sums were right, nobody has looked at every byte of it yet.
fn edited(element: &Element, edits: &[Edit<'_>]) -> Result<Element> {
    sound(element.edit(edits))
}

fn sound(edited: std::result::Result<Element, Damage>) -> Result<Element> {
    edited.map_err(|damage| {
        let text = format!(
            "a message breaks a rule at its byte {}: {}; nothing was changed, flockq check says where it is",
            damage.offset, damage.rule
        );
        Error::new(ErrorKind::Corrupt, text)
    })
}

fn internal(damage: &Damage) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!(
            "an envelope that flockq wrote is wrong at byte {}: {}",
            damage.offset, damage.rule
        ),
    )
}
