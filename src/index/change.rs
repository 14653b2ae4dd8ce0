//! Changes: what an operation decided, the array that it leads to, and what is known when it is committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::text::{Lengths, Place, Source, Text};
use super::{Index, Seq, Standing};
use crate::error::Result;
use crate::format::counters::Counters;
use crate::format::envelope::{Element, Facts};
use crate::format::journal::Totals;

/// A change to commit.
#[derive(Debug)]
pub(crate) enum Change {
    /// A new element at the end.
    Append(Element),
    /// Another envelope around the same payload.
    Envelope(Seq, Element),
    /// Another payload or priority.
    Replace(Seq, Element),
    Remove(Seq),
    /// Another array.
    Reset(Vec<Element>),
    /// The other changes count for this.
    Count(Counters),
    /// An id that is not to be sent again before this time, in milliseconds since 1970.
    Remember(Arc<str>, u64),
}

/// What an operation decided: the changes to commit (none: nothing is written), and what it returns then.
#[derive(Debug)]
pub(crate) struct Plan<T> {
    pub(crate) changes: Vec<Change>,
    pub(crate) result: T,
}

impl<T> Plan<T> {
    /// What changes nothing counts for nothing.
    pub(crate) fn counting(mut changes: Vec<Change>, result: T, counters: Counters) -> Self {
        count(&mut changes, counters);
        Self { changes, result }
    }
}

/// Says what changes count for.
pub(crate) fn count(changes: &mut Vec<Change>, counters: Counters) {
    if !changes.is_empty() && !counters.is_zero() {
        changes.push(Change::Count(counters));
    }
}

/// Where the text of a change was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wrote {
    pub(crate) source: Source,
    pub(crate) at: u64,
}

impl Index {
    /// The bytes of the array with these changes: every element that is not changed byte for byte (INV-2).
    pub(crate) fn image(&self, changes: &[Change]) -> Result<Vec<u8>> {
        let mut changed: BTreeMap<Seq, Option<&Element>> = BTreeMap::new();
        let mut appended: Vec<&Element> = Vec::new();
        let mut reset = false;
        for change in changes {
            match change {
                Change::Append(element) => appended.push(element),
                Change::Envelope(seq, element) | Change::Replace(seq, element) => {
                    changed.insert(*seq, Some(element));
                }
                Change::Remove(seq) => drop(changed.insert(*seq, None)),
                Change::Reset(elements) => {
                    reset = true;
                    appended = elements.iter().collect();
                }
                Change::Count(_) | Change::Remember(..) => {}
            }
        }
        let mut image =
            Image::new(usize::try_from(self.bytes).unwrap_or_default() + 4 * self.len());
        let old = if reset { Vec::new() } else { self.in_order() };
        for standing in &old {
            match changed.get(&standing.seq) {
                None => image.push(&self.read(&standing.text)?),
                Some(Some(element)) => image.push(element.text()),
                Some(None) => {}
            }
        }
        for element in appended {
            image.push(element.text());
        }
        Ok(image.end())
    }

    /// The totals when these changes have been made.
    pub(crate) fn totals_after(&self, changes: &[Change]) -> Totals {
        let mut totals = self.totals();
        let size = |seq: &Seq| self.text(*seq).map_or(0, Text::length);
        for change in changes {
            match change {
                Change::Append(element) => totals.append(element.text().len()),
                Change::Envelope(seq, element) | Change::Replace(seq, element) => {
                    totals.bytes = totals.bytes - size(seq) + element.text().len() as u64;
                }
                Change::Remove(seq) => {
                    totals.messages -= 1;
                    totals.bytes -= size(seq);
                }
                // Another array is a checkpoint, which has no totals of its own.
                Change::Reset(_) | Change::Count(_) | Change::Remember(..) => {}
            }
        }
        totals
    }

    /// After a commit: what was written is what is known. `wrote` says where the text of each change is, in their
    /// order; a text without one stays in memory.
    pub(crate) fn apply(&mut self, changes: &[Change], wrote: &[Wrote]) {
        for (place, change) in changes.iter().enumerate() {
            let wrote = wrote.get(place);
            match change {
                Change::Append(element) => self.append(&element.facts(), written(element, wrote)),
                Change::Envelope(seq, element) => {
                    let around = element.around();
                    let lengths = (around.0.len(), around.1.len());
                    match wrote {
                        Some(wrote) => {
                            self.put_in_envelope(*seq, &element.facts(), *wrote, lengths);
                        }
                        None => self.replace(*seq, &element.facts(), written(element, None)),
                    }
                }
                Change::Replace(seq, element) => {
                    self.replace(*seq, &element.facts(), written(element, wrote));
                }
                Change::Remove(seq) => self.remove(*seq),
                Change::Count(counters) => self.past.counters.add(counters),
                Change::Remember(id, until) => self.past.remember(id, *until),
                Change::Reset(elements) => {
                    let past = std::mem::take(&mut self.past);
                    *self = Self::reading(Arc::clone(&self.texts), 0).with_past(past);
                    for element in elements {
                        self.append(&element.facts(), written(element, None));
                    }
                }
            }
        }
    }

    /// The element has other facts and stands elsewhere.
    pub(crate) fn replace(&mut self, seq: Seq, facts: &Facts<'_>, text: Text) {
        if self.take(seq).is_some() {
            self.put(seq, facts, text);
        }
    }

    /// The element has another envelope, whose first and last part have these lengths. Its priority stays, and its id
    /// when it has one.
    pub(crate) fn put_in_envelope(
        &mut self,
        seq: Seq,
        facts: &Facts<'_>,
        wrote: Wrote,
        (head, tail): (usize, usize),
    ) {
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let text = |old: &Text| match old {
            Text::There(place) => {
                Text::There(place.in_envelope(wrote.source, wrote.at, length(head), length(tail)))
            }
            // A body in memory is one of an array that was set and is about to be written.
            Text::Here(bytes) => Text::Here(Arc::clone(bytes)),
        };
        self.change_entry(seq, facts, text);
    }

    pub(crate) fn remove(&mut self, seq: Seq) {
        drop(self.take(seq));
    }

    /// Tells where elements are in a new snapshot.
    pub(crate) fn relocate(
        &mut self,
        source: Source,
        places: impl Iterator<Item = (Standing, u64)>,
    ) {
        for (before, at) in places {
            let Some(entry) = self.entries.get_mut(before.slot) else {
                continue;
            };
            // One that was changed meanwhile stands in the journal.
            if let (Text::There(place), true) = (
                &entry.text,
                entry.seq == before.seq && entry.text == before.text,
            ) {
                entry.text = Text::There(Place::whole(source, at, place.lengths()));
            }
        }
    }

    /// Which files have bodies in them.
    pub(crate) fn sources(&self) -> Vec<bool> {
        let mut used = Vec::new();
        let places = self.entries.iter().filter_map(|entry| entry.text.place());
        for source in places.flat_map(Place::sources).map(usize::from) {
            if used.len() <= source {
                used.resize(source + 1, false);
            }
            if let Some(used) = used.get_mut(source) {
                *used = true;
            }
        }
        used
    }
}

fn written(element: &Element, wrote: Option<&Wrote>) -> Text {
    match wrote {
        None => Text::Here(Arc::clone(element.text())),
        Some(wrote) => {
            let facts = element.facts();
            Text::There(Place::whole(wrote.source, wrote.at, lengths(&facts)))
        }
    }
}

/// The lengths of the parts of an element; whoever reads files has refused one that is longer than these can say.
pub(crate) fn lengths(facts: &Facts<'_>) -> Lengths {
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    Lengths {
        head: length(facts.payload.start),
        payload: length(facts.payload.len()),
        tail: length(facts.length - facts.payload.end),
    }
}

/// An array as flockq writes it.
#[derive(Debug)]
pub(crate) struct Image(Vec<u8>);

impl Image {
    pub(crate) fn new(size: usize) -> Self {
        let mut bytes = Vec::with_capacity(size + 16);
        bytes.push(b'[');
        Self(bytes)
    }

    pub(crate) fn push(&mut self, element: &[u8]) {
        let separator: &[u8] = if self.0.len() == 1 { b"\n  " } else { b",\n  " };
        self.0.extend_from_slice(separator);
        self.0.extend_from_slice(element);
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        let end: &[u8] = if self.0.len() == 1 { b"]\n" } else { b"\n]\n" };
        self.0.extend_from_slice(end);
        self.0
    }
}
