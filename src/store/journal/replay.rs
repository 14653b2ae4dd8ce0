//! Between changes and the records of a commit, both ways.

use std::path::Path;
use std::sync::Arc;

use crate::error::Error;
use crate::format::Damage;
use crate::format::envelope::Facts;
use crate::format::journal::{self, Record, Totals};
use crate::format::outline::Known;
use crate::index::text::{Place, Source, Text};
use crate::index::{Change, Index, Wrote, lengths};

/// What reading yields.
pub(super) type Checked<T> = std::result::Result<T, Damage>;

/// The error for damage in a file.
pub(super) fn corrupt(path: &Path, damage: &Damage) -> Error {
    Error::corrupt(path, damage.offset, &damage.rule)
}

/// Applies the changes of one commit, whose body stands in this file at `at`; says what totals it should lead to.
pub(super) fn commit(body: &[u8], source: Source, at: u64, index: &mut Index) -> Checked<Totals> {
    // Whatever reads it later takes that for granted.
    std::str::from_utf8(body)
        .map_err(|error| Damage::new(error.valid_up_to(), "the commit is not UTF-8"))?;
    let (totals, records) = journal::read_commit(body)?;
    for record in records {
        let place = |text: &[u8]| (text.as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
        let wrote = |text: &[u8]| Wrote {
            source,
            at: at + place(text) as u64,
        };
        let is_there = |number: u64| {
            let rule = || format!("the commit changes element {number}, which is not there");
            let text = index.text(number);
            text.map(drop).ok_or_else(|| Damage::new(0, rule()))
        };
        match record {
            Record::Append(text) => {
                let known = Known::of(text).map_err(|damage| damage.within(place(text)))?;
                let facts = known.facts();
                let text =
                    there(&facts, wrote(text)).map_err(|damage| damage.within(place(text)))?;
                index.append(&facts, text);
            }
            Record::Envelope { number, head, tail } => {
                is_there(number)?;
                // What the payload says of itself is known already: any value can stand for it.
                let text = [head, b"0", tail].concat();
                let known =
                    Known::of(&text).map_err(|damage| Damage::new(place(head), damage.rule))?;
                let facts = known.facts();
                if facts.payload != (head.len()..head.len() + 1) {
                    let rule = "an envelope that is written around a payload is none";
                    return Err(Damage::new(place(head), rule));
                }
                let around = (head.len(), tail.len());
                index.put_in_envelope(number, &facts, wrote(head), around);
            }
            Record::Replace { number, text } => {
                is_there(number)?;
                let known = Known::of(text).map_err(|damage| damage.within(place(text)))?;
                let facts = known.facts();
                let text =
                    there(&facts, wrote(text)).map_err(|damage| damage.within(place(text)))?;
                index.replace(number, &facts, text);
            }
            Record::Remove(number) => {
                is_there(number)?;
                index.remove(number);
            }
            Record::Count(counters) => index.past_mut().counters.add(&counters),
            Record::Remember { id, until } => index.past_mut().remember(&Arc::from(id), until),
        }
    }
    Ok(totals)
}

/// An element that stands there as a whole.
pub(super) fn there(facts: &Facts<'_>, wrote: Wrote) -> Checked<Text> {
    if u32::try_from(facts.length).is_err() {
        return Err(Damage::new(0, "an element is longer than 4 GiB"));
    }
    Ok(Text::There(Place::whole(
        wrote.source,
        wrote.at,
        lengths(facts),
    )))
}

/// Changes as they are written: an envelope around the payload that is there already is written without it.
pub(super) fn records(changes: &[Change]) -> impl Iterator<Item = Record<'_>> + Clone {
    changes.iter().filter_map(|change| match change {
        Change::Append(element) => Some(Record::Append(element.text())),
        Change::Envelope(number, element) => {
            let (head, tail) = element.around();
            Some(Record::Envelope {
                number: *number,
                head,
                tail,
            })
        }
        Change::Replace(number, element) => Some(Record::Replace {
            number: *number,
            text: element.text(),
        }),
        Change::Remove(number) => Some(Record::Remove(*number)),
        Change::Count(counters) => Some(Record::Count(*counters)),
        Change::Remember(id, until) => Some(Record::Remember { id, until: *until }),
        // Another array is a checkpoint.
        Change::Reset(_) => None,
    })
}
