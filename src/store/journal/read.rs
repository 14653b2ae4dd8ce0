//! Reading a journal and its snapshot: all of it, its end alone, or what is new in it.

use std::sync::Arc;

use super::bodies::Bodies;
use super::frames::{Frames, Seen};
use super::replay::{self, Checked, corrupt};
use super::snapshot::Snapshot;
use super::syncs::Syncs;
use super::{Journal, Looked};
use crate::error::{Error, ErrorKind, Result};
use crate::format::Damage;
use crate::format::frame::{self, Cursor, Header, Kind, Tail};
use crate::format::journal::{self, Base, Binding, Switch, Totals};
use crate::format::name::QueueName;
use crate::index::Index;
use crate::store::{Open, Store};

/// So much of a journal's end is read by who only wants to append.
const TAIL: usize = 64 * 1024;
/// No queue has numbered so many elements.
const LAST: u64 = 1 << 60;
/// A process that follows this many checkpoints of others with bodies in old files reads all anew.
const FILES: usize = 12;

impl Journal {
    /// Reads the journal and its snapshot. `None`: another program has replaced the snapshot.
    pub(crate) fn open(store: &dyn Store, name: &QueueName) -> Result<Option<(Self, Index)>> {
        let (mut journal, base, size) = Self::begin(store, name)?;
        let found = Snapshot::open(store, &name.snapshot())?;
        let path = store.root().join(name.snapshot());
        let bodies = Arc::clone(&journal.bodies);
        let Some(snapshot) = found else {
            return journal.open_new(store, name, size).map(Some);
        };
        journal.snapshot = Some(snapshot.stat);
        let (mut index, from) = if snapshot.binding.is(&base.snapshot) {
            let index = snapshot.index(&path, &bodies, &base)?;
            (index, journal.start)
        } else {
            // A checkpoint was cut short between the snapshot and the new journal.
            let Some(switch) = journal.switch_to(store, name, &snapshot.binding, size)? else {
                return Ok(None);
            };
            journal.ended = true;
            journal.binding = switch.base.snapshot.clone();
            let base = switch.base;
            let index = snapshot.index(&path, &bodies, &base)?;
            (index, switch.from)
        };
        journal.read_on(store, name, size, Some((&mut index, from)))?;
        journal.looked_ms = store.system().boot_ms();
        Ok(Some((journal, index)))
    }

    /// The first commit of a queue was cut short between its two files.
    fn open_new(mut self, store: &dyn Store, name: &QueueName, size: u64) -> Result<(Self, Index)> {
        let texts: Arc<Bodies> = Arc::clone(&self.bodies);
        let mut index = Index::reading(texts, 0);
        self.read_on(store, name, size, Some((&mut index, self.start)))?;
        if !self.is_unborn() {
            let path = store.root().join(name.snapshot());
            let rule = "it is not there, and the journal beside it builds on it";
            return Err(Error::corrupt(path, 0, rule));
        }
        self.ended = true;
        Ok((self, index))
    }

    /// Whether there is nothing in it but its base.
    pub(crate) fn is_left_over(store: &dyn Store, name: &QueueName) -> Result<bool> {
        let (journal, _, size) = Self::begin(store, name)?;
        Ok(journal.cursor.offset == size)
    }

    /// Whether it is the journal of a queue whose making was cut short before it had a snapshot.
    pub(super) fn is_unborn(&self) -> bool {
        // A checkpoint that was cut short may have left its switch.
        self.generation == 1 && self.totals == Totals::default()
    }

    /// Reads no more than it takes to append: `None` when that does not tell enough.
    pub(crate) fn open_tail(store: &dyn Store, name: &QueueName) -> Result<Option<Self>> {
        let (mut journal, base, size) = Self::begin(store, name)?;
        if size > 4 * TAIL as u64 {
            let offset = size - TAIL as u64;
            let frames = journal.frames(store, name, size);
            let bytes = frames.bytes(offset, TAIL)?;
            let first = frame::first_in_tail(&bytes, offset, journal.cursor.salt);
            let Some(first) = first else { return Ok(None) };
            journal.cursor = first;
        }
        journal.totals = base.totals;
        let from = journal.cursor;
        journal.read_on(store, name, size, None)?;
        // In the tail of a long journal the base is out of sight: only a commit tells the totals.
        let told = from.offset == journal.start || journal.cursor.number > from.number;
        let sound = told && !journal.torn && !journal.ended && journal.switch.is_none();
        Ok(sound.then_some(journal))
    }

    /// Opens the file and reads its base.
    pub(super) fn begin(store: &dyn Store, name: &QueueName) -> Result<(Self, Base, u64)> {
        let path = store.root().join(name.journal());
        let failed = |error| Error::io("read", &path, error);
        let file = store.open(&name.journal(), Open::Write).map_err(failed)?;
        let stat = file.stat().map_err(failed)?;
        let damaged = |damage| corrupt(&path, &damage);
        let head = file.read_at(0, frame::HEADER_BYTES).map_err(failed)?;
        let header = first_header(&head, &path)?;
        let most = if cfg!(mutant = "length_trusted") {
            u64::MAX
        } else {
            stat.size
        };
        let length = u64::from(header.length).min(most);
        let length = frame::HEADER_BYTES + usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = file.read_at(0, length).map_err(failed)?;
        let from = Cursor::start(header.salt);
        let (frames, cursor, _) = frame::scan(&bytes, from, bytes.len() as u64).map_err(damaged)?;
        let head = frames.first();
        let head = head.ok_or_else(|| damaged(Damage::new(0, "the base frame is damaged")))?;
        let body = bytes.get(head.body.clone()).unwrap_or_default();
        let base: Base = journal::read_object(body)
            .map_err(|damage| damaged(damage.within(frame::HEADER_BYTES)))?;
        if base.totals.next > LAST {
            let rule = format!("the next element's number is beyond {LAST}");
            return Err(damaged(Damage::new(frame::HEADER_BYTES, rule)));
        }
        let bodies = Arc::new(Bodies::new());
        let source = bodies.add(Arc::clone(&file), path.clone(), cursor.offset);
        let journal = Self {
            id: stat.id,
            syncs: Syncs::of(&file),
            file,
            bodies,
            source,
            cursor,
            // It was, before it had its name.
            synced: cursor.offset,
            vouched: false,
            generation: base.generation,
            lock: base.lock,
            replaced: base.replaced,
            binding: base.snapshot.clone(),
            start: cursor.offset,
            totals: base.totals,
            snapshot: None,
            looked_ms: 0,
            torn: false,
            noticed: false,
            ended: false,
            switch: None,
            anew: false,
        };
        Ok((journal, base, stat.size))
    }

    /// The switch that led to this snapshot.
    pub(super) fn switch_to(
        &self,
        store: &dyn Store,
        name: &QueueName,
        snapshot: &Binding,
        size: u64,
    ) -> Result<Option<Switch>> {
        let mut found = None;
        self.frames(store, name, size).read(self.cursor, |seen| {
            if seen.frame.header.kind == Kind::Switch {
                let switch: Switch = journal::read_object(seen.body)?;
                if switch.base.snapshot.is(snapshot) {
                    found = Some(switch);
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    pub(super) fn frames(&self, store: &dyn Store, name: &QueueName, size: u64) -> Frames {
        Frames {
            path: store.root().join(name.journal()),
            file: Arc::clone(&self.file),
            size,
        }
    }

    /// Reads the frames behind the cursor. Those from the offset beside the index on are applied to it.
    fn read_on(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        size: u64,
        mut index: Option<(&mut Index, u64)>,
    ) -> Result<()> {
        let frames = self.frames(store, name, size);
        let (cursor, tail) = frames.read(self.cursor, |seen| {
            let index = match &mut index {
                Some((index, from)) if seen.header_at() >= *from => Some(&mut **index),
                Some(_) => return self.take(&seen, Applied::Before),
                None => None,
            };
            self.take(&seen, index.map_or(Applied::No, Applied::To))
        })?;
        self.cursor = cursor;
        self.torn = tail == Tail::Torn;
        Ok(())
    }

    /// Takes note of one frame.
    pub(super) fn take(&mut self, seen: &Seen<'_>, applied: Applied<'_>) -> Checked<()> {
        let header = &seen.frame.header;
        self.synced = self.synced.max(header.synced);
        self.switch = None;
        match header.kind {
            Kind::Commit => {
                self.bodies
                    .committed(self.source, seen.at + seen.body.len() as u64);
                match applied {
                    Applied::Before => {}
                    Applied::No => self.totals = journal::read_totals(seen.body)?,
                    Applied::To(index) => {
                        self.totals = replay::commit(seen.body, self.source, seen.at, index)?;
                        if index.totals() != self.totals {
                            let rule = "the totals of the commit are not what its changes lead to";
                            return Err(Damage::new(0, rule));
                        }
                    }
                    Applied::Loosely(index) => {
                        self.totals = replay::commit(seen.body, self.source, seen.at, index)?;
                    }
                }
            }
            // One that did not come to its end changes nothing: the snapshot is still the old one.
            Kind::Switch => {
                let switch: Switch = journal::read_object(seen.body)?;
                self.anew |= switch.anew;
                self.switch = Some(switch);
            }
            Kind::Poison => self.ended = true,
            Kind::Notice => self.noticed = true,
            Kind::Base => return Err(Damage::new(0, "a base stands behind other frames")),
        }
        Ok(())
    }

    /// Reads what was appended since the last look. Costs one look when nothing was.
    pub(crate) fn refresh(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        index: Option<&mut Index>,
    ) -> Result<Looked> {
        if index.is_some() && self.bodies.are_many() {
            return Ok(Looked::Replaced);
        }
        let path = || store.root().join(name.journal());
        let failed = |error| Error::io("read", path(), error);
        let looked = store.stat(&name.journal()).map_err(failed)?;
        let Some(stat) = looked.filter(|stat| stat.id == self.id) else {
            return match (looked, index) {
                (Some(_), Some(index)) => self.follow(store, name, index),
                _ => Ok(Looked::Replaced),
            };
        };
        if stat.size == self.cursor.offset {
            self.torn = false;
            return Ok(Looked::Current);
        }
        if stat.size < self.cursor.offset {
            let rule = "it ends before what was read of it already";
            return Err(Error::corrupt(path(), stat.size, rule));
        }
        let only_tail = index.is_none();
        self.read_on(store, name, stat.size, index.map(|index| (index, 0)))?;
        let unclear = self.torn || self.ended || self.switch.is_some();
        Ok(if only_tail && unclear {
            Looked::Replaced
        } else {
            Looked::Current
        })
    }

    /// Another process has begun the next generation: what is known stays true, and only what is new is read.
    fn follow(&mut self, store: &dyn Store, name: &QueueName, index: &mut Index) -> Result<Looked> {
        let failed = |error| Error::io("read", store.root().join(name.journal()), error);
        let size = self.file.stat().map_err(failed)?.size;
        if size > self.cursor.offset {
            self.read_on(store, name, size, Some((&mut *index, 0)))?;
        }
        if self.ended {
            // What the disk has refused may go from memory as well, at any time: the next generation has it.
            return Ok(Looked::Replaced);
        }
        let (next, base, size) = Self::begin(store, name)?;
        let is_next = |switch: &Switch| {
            base == switch.base && switch.salt == format!("{:016x}", next.cursor.salt)
        };
        let Some(switch) = self.switch.take().filter(is_next) else {
            return Ok(Looked::Replaced);
        };
        // Whoever made the next generation may have gone on from another array, which was cut short before.
        if self.anew || self.bodies.count() >= FILES {
            return Ok(Looked::Replaced);
        }
        let path = store.root().join(name.journal());
        let source = self.bodies.add(Arc::clone(&next.file), path, next.start);
        let bodies = Arc::clone(&self.bodies);
        *self = Self {
            bodies,
            source,
            totals: self.totals,
            noticed: self.noticed,
            ..next
        };
        let frames = self.frames(store, name, size);
        let mut copies = switch.copied;
        let (cursor, tail) = frames.read(self.cursor, |seen| {
            if copies > 0 && seen.frame.header.kind == Kind::Commit {
                copies -= 1;
                return self.take(&seen, Applied::Before);
            }
            self.take(&seen, Applied::To(&mut *index))
        })?;
        self.cursor = cursor;
        self.torn = tail == Tail::Torn;
        self.bodies.keep(&index.sources(), self.source);
        Ok(if copies == 0 {
            Looked::Current
        } else {
            Looked::Replaced
        })
    }
}

/// What becomes of a frame that is read.
pub(super) enum Applied<'a> {
    To(&'a mut Index),
    /// To an index in which the elements of the snapshot are not known.
    Loosely(&'a mut Index),
    /// The snapshot, or what is known, has it already.
    Before,
    /// There is no index: only the totals are wanted.
    No,
}

fn first_header(bytes: &[u8], path: &std::path::Path) -> Result<Header> {
    let first = frame::first(bytes).map_err(|damage| corrupt(path, &damage))?;
    first.ok_or_else(|| {
        let text = format!(
            "{} was written by a newer version; use a newer flockq",
            path.display()
        );
        Error::new(ErrorKind::Version, text).at(path)
    })
}
