//! Another program has put its own array in the place of a journalled queue's snapshot: nothing of it is lost, and nothing
//! of what the journal says. `docs/format.md`, section 17.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::Journal;
use super::bodies::Bodies;
use super::fold::Cut;
use super::frames::Seen;
use super::read::Applied;
use super::replay::Checked;
use super::snapshot::Snapshot;
use super::versions::Versions;
use crate::error::{Error, Result};
use crate::format::envelope::{Element, Facts};
use crate::format::journal::{Base, Record, Written};
use crate::format::name::{QueueName, TEMPORARY_SUFFIX};
use crate::format::{Damage, frame, journal, json};
use crate::index::merge::{Numbered, merge};
use crate::index::past::Past;
use crate::index::text::Text;
use crate::index::{Index, Seq, Standing};
use crate::store::lock::Hold;
use crate::store::make_directories;
use crate::store::{Store, plain};

/// A second name of each queue's snapshot, as flockq wrote it: what other programs replaced can be told by it.
pub(super) const WRITTEN: &str = ".gastown/written";
/// How long (in milliseconds) a look at the snapshot is good for; a checkpoint always looks.
const LOOK_EVERY_MS: u64 = 1000;

/// Keeps the snapshot that was just put in place under a second name. Where that does not work, less is known when
/// another program replaces it.
pub(super) fn remember(store: &dyn Store, name: &QueueName) {
    let kept = format!("{WRITTEN}/{}", name.snapshot());
    let _ = store.remove(&kept);
    if let Err(error) = store.link(&name.snapshot(), &kept)
        && error.kind() == io::ErrorKind::NotFound
        && make(store, WRITTEN).is_ok()
    {
        let _ = store.link(&name.snapshot(), &kept);
    }
}

pub(super) fn make(store: &dyn Store, directory: &str) -> io::Result<()> {
    let mode = store.root_stat()?.directory_mode();
    make_directories(store, directory, mode)
}

impl Journal {
    /// Whether the snapshot is the one that the journal builds on. Asked of the file when the last look is old or when it
    /// has to be known `now`.
    pub(crate) fn has_its_snapshot(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        now: bool,
    ) -> Result<bool> {
        let ms = store.system().boot_ms();
        if !now && self.snapshot.is_some() && ms.abs_diff(self.looked_ms) < LOOK_EVERY_MS {
            return Ok(true);
        }
        let path = || store.root().join(name.snapshot());
        let looked = store.stat(&name.snapshot());
        let looked = looked.map_err(|error| Error::io("look at", path(), error))?;
        let Some(stat) = looked else {
            return Ok(self.is_unborn());
        };
        let is_known = self.snapshot.is_some_and(|seen| seen.same_content(&stat));
        let is_written =
            self.binding.file == Some(Written::from(&stat)) && self.binding.bytes == stat.size;
        if !is_known && !is_written {
            let snapshot = Snapshot::open(store, &name.snapshot())?;
            if !snapshot.is_some_and(|found| found.binding.is(&self.binding)) {
                return Ok(false);
            }
        }
        (self.snapshot, self.looked_ms) = (Some(stat), ms);
        Ok(true)
    }

    /// Reads what `mend` builds on, so that its damage is told before somebody has to change something.
    pub(crate) fn can_be_mended(store: &dyn Store, name: &QueueName) -> Result<()> {
        History::read(store, name).map(drop)
    }

    /// Makes the array that another program has put in place the base, applies to it what happened since the snapshot
    /// before, and writes a checkpoint, under lock and guard. False: the lock is no longer ours.
    pub(crate) fn mend(store: &dyn Store, name: &QueueName, hold: &Hold) -> Result<bool> {
        let path = store.root().join(name.snapshot());
        let (found, bytes) = plain::read(store, &name.snapshot())
            .map_err(|error| Error::io("read", &path, error))?;
        let array = elements(&bytes)
            .map_err(|damage| Error::corrupt(&path, damage.offset, &damage.rule))?;
        let (journal, history) = History::read(store, name)?;
        if !journal.belongs_to(hold.lock_file()?) {
            return Ok(journal.take_over(store, name, hold)? && Self::mend(store, name, hold)?);
        }
        let merged = merge(array, &history.before, history.now, history.new);
        let mut cut = Cut::array(&journal, &merged.array, &history.past, hold.lock_file()?);
        // What a journal says of itself may be nonsense.
        cut.replaced = cut.replaced.saturating_add(1);
        cut.foreign = Some(*found.stat());
        let kept = Versions::keep(store, name, cut.replaced);
        let fold = cut.write(store, name, TEMPORARY_SUFFIX)?;
        let mut journal = journal;
        let done = fold.end(&mut journal, store, name, hold)?.is_some();
        if done {
            kept.log(store, name, &merged, history.is_known);
        }
        Ok(done)
    }
}

fn elements(bytes: &[u8]) -> std::result::Result<Vec<Element>, Damage> {
    let spans = json::elements(bytes)?.into_iter();
    let element = |span: std::ops::Range<usize>| {
        let start = span.start;
        let text = Arc::from(bytes.get(span).unwrap_or_default());
        Element::parse(text).map_err(|damage| damage.within(start))
    };
    spans.map(element).collect()
}

/// What the journal tells of the messages.
struct History {
    /// The snapshot before, if it is still to be had.
    before: Numbered,
    now: Numbered,
    past: Past,
    /// From this number on messages were never in a snapshot.
    new: Seq,
    /// Whether `before` is what was there.
    is_known: bool,
}

impl History {
    fn read(store: &dyn Store, name: &QueueName) -> Result<(Journal, Self)> {
        let (mut journal, base, size) = Journal::begin(store, name)?;
        let kept = format!("{WRITTEN}/{}", name.snapshot());
        let snapshot = Snapshot::open(store, &kept).ok().flatten();
        let (base, from) = newest(&journal, store, name, base, size, snapshot.as_ref())?;
        let snapshot = snapshot.filter(|snapshot| snapshot.binding.is(&base.snapshot));
        let bodies: Arc<Bodies> = Arc::clone(&journal.bodies);
        let is_known = snapshot.is_some();
        let mut index = if let Some(snapshot) = snapshot {
            let path = store.root().join(&kept);
            snapshot.index(&path, &bodies, &base)?
        } else {
            let mut numbers = BTreeSet::new();
            let frames = journal.frames(store, name, size);
            frames.read(journal.cursor, |seen| named(&seen, &mut numbers))?;
            unknown(bodies, &base, numbers)
        };
        let before = if is_known {
            all(&index)?
        } else {
            Numbered::new()
        };
        let frames = journal.frames(store, name, size);
        let (cursor, tail) = frames.read(journal.cursor, |seen| {
            let is_in_snapshot = seen.header_at() < from;
            let applied = if is_in_snapshot {
                Applied::Before
            } else {
                Applied::Loosely(&mut index)
            };
            journal.take(&seen, applied)
        })?;
        (journal.cursor, journal.torn) = (cursor, tail == frame::Tail::Torn);
        journal.binding = base.snapshot.clone();
        let history = Self {
            before,
            now: all(&index)?,
            past: index.past().clone(),
            new: base.totals.next,
            is_known,
        };
        Ok((journal, history))
    }
}

/// What the snapshot that is to be found holds, and where in the journal go on the frames that it has not.
fn newest(
    journal: &Journal,
    store: &dyn Store,
    name: &QueueName,
    base: Base,
    size: u64,
    snapshot: Option<&Snapshot>,
) -> Result<(Base, u64)> {
    let binding = snapshot.map(|found| &found.binding);
    let switch = match binding.filter(|binding| !base.snapshot.is(binding)) {
        Some(binding) => journal.switch_to(store, name, binding, size)?,
        None => None,
    };
    Ok(switch.map_or((base, journal.start), |switch| (switch.base, switch.from)))
}

/// The elements that a commit changes.
fn named(seen: &Seen<'_>, numbers: &mut BTreeSet<Seq>) -> Checked<()> {
    if seen.frame.header.kind == frame::Kind::Commit {
        for record in journal::read_commit(seen.body)?.1 {
            match record {
                Record::Envelope { number, .. }
                | Record::Replace { number, .. }
                | Record::Remove(number) => drop(numbers.insert(number)),
                Record::Append(_) | Record::Count(_) | Record::Remember { .. } => {}
            }
        }
    }
    Ok(())
}

/// An index in which those elements of the snapshot that the journal changes have numbers and nothing else. Only those:
/// a journal can say of itself that it builds on more than fit into memory.
fn unknown(bodies: Arc<Bodies>, base: &Base, numbers: BTreeSet<Seq>) -> Index {
    let past = Past::new(base.counters, &base.remembered);
    let mut index = Index::reading(bodies, base.totals.next).with_past(past);
    let is_old = |seq: &Seq| *seq < base.totals.next;
    for seq in numbers.into_iter().filter(is_old) {
        index.put(seq, &Facts::default(), Text::Here(Arc::from([])));
    }
    index
}

/// The elements of which the text is known.
fn all(index: &Index) -> Result<Numbered> {
    let in_order = index.in_order().into_iter();
    let known = in_order.filter(|standing| standing.text.place().is_some());
    known
        .map(|Standing { seq, .. }| Ok((seq, index.element_of(seq)?)))
        .collect()
}
