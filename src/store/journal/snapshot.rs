//! The snapshot of a journalled queue: whether it is the one that the journal builds on, and what is in it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::bodies::Bodies;
use super::replay::{corrupt, there};
use crate::error::{Error, Result};
use crate::format::Damage;
use crate::format::journal::{Base, Binder, Binding};
use crate::format::outline::{self, Next};
use crate::index::past::Past;
use crate::index::{Index, Wrote};
use crate::store::{File, Open, Stat, Store};

/// So much is read at once, unless an element is longer.
const PART: usize = 1024 * 1024;
/// How often a file that changes while it is read is read again: only a program that writes in place does that.
const TRIES: u32 = 20;

/// A snapshot that was seen as a whole.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) file: Arc<dyn File>,
    pub(super) stat: Stat,
    pub(super) binding: Binding,
    /// The first part, which mostly is all.
    first: Vec<u8>,
}

impl Snapshot {
    /// `None` when there is no such file.
    pub(super) fn open(store: &dyn Store, path: &str) -> Result<Option<Self>> {
        match Self::look(store, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", store.root().join(path), error)),
            Ok(snapshot) => Ok(Some(snapshot)),
        }
    }

    fn look(store: &dyn Store, path: &str) -> io::Result<Self> {
        let mut tries = 0;
        loop {
            let file = store.open(path, Open::Read)?;
            let before = file.stat()?;
            let mut binder = Binder::new();
            let first = file.read_at(0, PART)?;
            binder.write(&first);
            let mut part = first.len();
            let mut at = part as u64;
            while part == PART {
                let bytes = file.read_at(at, PART)?;
                binder.write(&bytes);
                part = bytes.len();
                at += part as u64;
            }
            let stat = file.stat()?;
            tries += 1;
            if stat.same_content(&before) || tries == TRIES {
                let binding = binder.end();
                return Ok(Self {
                    file,
                    stat,
                    binding,
                    first,
                });
            }
        }
    }

    /// The state that it holds; the base says the numbers of its elements, in order.
    pub(super) fn index(&self, path: &Path, bodies: &Arc<Bodies>, base: &Base) -> Result<Index> {
        let texts: Arc<Bodies> = Arc::clone(bodies);
        let source = bodies.add(Arc::clone(&self.file), path.to_owned(), self.binding.bytes);
        let totals = &base.totals;
        let past = Past::new(base.counters, &base.remembered);
        let mut index = Index::reading(texts, totals.next).with_past(past);
        let mut numbers = base.numbers.iter().cloned().flatten();
        let damaged = |damage| corrupt(path, &damage);
        // Where the window begins in the file, and how far it has been read.
        let (mut window, mut begin, mut at) = (self.first.clone(), 0, 0);
        loop {
            let whole = begin + window.len() as u64 >= self.binding.bytes;
            let start = begin;
            let within = |mut damage: Damage| {
                damage.offset += start;
                damaged(damage)
            };
            match outline::next(&window, at, whole).map_err(within)? {
                Next::End => break,
                Next::More(dealt) => {
                    window.drain(..dealt);
                    begin += dealt as u64;
                    at = 0;
                    let more = self.file.read_at(begin + window.len() as u64, PART);
                    let more = more.map_err(|error| Error::io("read", path, error))?;
                    if more.is_empty() {
                        let rule = Damage::new(window.len(), "it became shorter while it was read");
                        return Err(within(rule));
                    }
                    window.extend_from_slice(&more);
                }
                Next::Element(range, known) => {
                    let number = numbers.next().filter(|number| *number < totals.next);
                    let rule = "there are more elements than the journal has numbers for";
                    let number = number
                        .ok_or_else(|| Damage::new(range.start, rule))
                        .map_err(within)?;
                    let at_file = begin + range.start as u64;
                    let facts = known.facts();
                    let wrote = Wrote {
                        source,
                        at: at_file,
                    };
                    index.put(number, &facts, there(&facts, wrote).map_err(within)?);
                    at = range.end;
                }
            }
        }
        if numbers.next().is_some() || index.totals() != *totals {
            let rule = "its elements are not those that the journal has numbers for";
            return Err(damaged(Damage::new(0, rule)));
        }
        Ok(index)
    }
}
