//! Finding out which files a queue has, and reading them.

use super::{Seen, look};
use crate::config::{Config, Mode};
use crate::error::{Error, Result};
use crate::format::name::QueueName;
use crate::index::Index;
use crate::store::journal::Journal;
use crate::store::plain::Plain;
use crate::store::{Kind, Store, real};

/// Whether somebody has given the queue a journal.
pub(super) fn has_journal(store: &dyn Store, name: &QueueName) -> Result<bool> {
    Ok(look(store, &name.journal())?.is_some())
}

/// Finds out whether there is a journal of which the end is enough to go on.
pub(super) fn open_tail(store: &dyn Store, name: &QueueName, config: &Config) -> Result<Seen> {
    if !has_journal(store, name)? {
        return Ok(Seen::Nothing);
    }
    let tail = Journal::open_tail(store, name)?;
    // A journal without commits may be the left-over of a conversion, or the first of a queue that has no snapshot yet.
    let is_plain = config.mode(name.as_str()) == Some(Mode::Plain);
    let is_new = |journal: &Journal| is_plain || journal.checkpoints() == 0;
    let tail = tail.filter(|journal| !journal.is_folded() || !is_new(journal));
    Ok(tail.map_or(Seen::Nothing, |journal| Seen::Tail(Box::new(journal))))
}

pub(super) fn opened(found: Option<(Journal, Index)>) -> (Seen, Index) {
    match found {
        Some((journal, index)) => (Seen::Journal(Box::new(journal)), index),
        None => (Seen::Replaced, Index::empty()),
    }
}

/// Finds out what there is and reads it.
pub(super) fn open(store: &dyn Store, name: &QueueName, config: &Config) -> Result<(Seen, Index)> {
    if has_journal(store, name)? {
        // A conversion to plain was cut short before it removed the journal, in which there is nothing any more.
        let is_plain = config.mode(name.as_str()) == Some(Mode::Plain);
        if !is_plain || !Journal::is_left_over(store, name)? {
            return Ok(opened(Journal::open(store, name)?));
        }
    }
    if config.mode(name.as_str()) == Some(Mode::Journal) {
        let rule = "it is not there, but flockq.json says that the queue has one: what was committed since the snapshot is missing";
        return Err(Error::corrupt(store.root().join(name.journal()), 0, rule));
    }
    match look(store, &name.snapshot())? {
        None => {
            let mode = config.mode(name.as_str());
            let mode = mode.unwrap_or_else(|| config.mode_of_new());
            Ok((Seen::Missing(mode), Index::empty()))
        }
        Some(stat) if stat.kind != Kind::Regular => Err(Error::io(
            "read",
            store.root().join(name.snapshot()),
            real::not_regular(stat.kind),
        )),
        Some(_) => {
            let (plain, index) = Plain::open(store, name)?;
            Ok((Seen::Plain(plain), index))
        }
    }
}
