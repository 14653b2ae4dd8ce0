//! The journal: commits go behind each other into one file, each as a frame. `docs/format.md`, sections 13 to 17.

mod bodies;
mod fold;
mod foreign;
mod frames;
mod replay;
mod reserve;
pub(crate) mod salvage;
mod snapshot;

use std::sync::Arc;

use super::atomic::{Replacement, replace};
use super::plain;
use super::{Attributes, File, FileId, Open, Stat, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::format::frame::{self, Cursor, Header, Kind, Tail};
use crate::format::journal::{self, Base, Binding, Switch, Totals};
use crate::format::name::{QueueName, TEMPORARY_SUFFIX};
use crate::format::{Damage, MAX_PAYLOAD_BYTES};
use crate::index::text::Source;
use crate::index::{Change, Index, Wrote};
use bodies::Bodies;
pub(crate) use fold::{Cut, Fold};
use frames::{Frames, Seen};
use replay::{Checked, corrupt};
use snapshot::Snapshot;

/// A journal that is smaller than this is not folded because of its size: a checkpoint costs as much as some thousand
/// commits.
const SMALL: u64 = 1024 * 1024;
/// A queue whose elements are no larger than this together is shown in its file when a handle closes.
const SHOWN: u64 = 64 * 1024;
/// The array of a queue that was just made.
const EMPTY: &[u8] = b"[]\n";
/// So much of a journal's end is read by who only wants to append.
const TAIL: usize = 64 * 1024;
/// A process that follows this many checkpoints of others with bodies in old files reads all anew.
const FILES: usize = 12;

/// What this process knows of a queue's journal.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Arc<dyn File>,
    id: FileId,
    bodies: Arc<Bodies>,
    /// The journal among the files that hold bodies.
    source: Source,
    /// Behind the last frame that was read or written.
    cursor: Cursor,
    /// Everything before this offset is on stable storage.
    synced: u64,
    generation: u64,
    /// How often another program has replaced the snapshot.
    replaced: u64,
    /// The snapshot that this generation builds on.
    binding: Binding,
    attributes: Attributes,
    /// Where commits begin: behind the base.
    start: u64,
    /// What the queue holds at the cursor.
    totals: Totals,
    /// The snapshot as it was seen last; none when it was not.
    snapshot: Option<Stat>,
    /// When that was, on the boot clock.
    looked_ms: u64,
    /// It is not folded because of its size before it is this long: a checkpoint has failed.
    not_before: u64,
    /// Something that is no frame stands behind the last one.
    torn: bool,
    /// This generation cannot go on: a sync failed, or a checkpoint was cut short.
    ended: bool,
    /// The space that was kept for acks on a full disk has been used.
    reserve_is_used: bool,
    /// The last frame, if it is a switch: another process has begun the next generation, or tried to.
    switch: Option<Switch>,
}

/// How a look at the journal went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    Current,
    /// It is another file now, or cannot be gone on with from what is known.
    Replaced,
}

/// What has to be synced for a commit to be durable; outside the lock, so that others can commit meanwhile.
#[derive(Debug)]
#[must_use]
pub(crate) struct Unsynced {
    file: Arc<dyn File>,
    salt: u64,
    upto: u64,
}

impl Unsynced {
    /// Makes everything before its end durable.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }
}

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
            let index = snapshot.index(&path, &bodies, &base.numbers, &base.totals)?;
            (index, journal.start)
        } else {
            // A checkpoint was cut short between the snapshot and the new journal.
            let Some(switch) = journal.switch_to(store, name, &snapshot, size)? else {
                return Ok(None);
            };
            journal.ended = true;
            journal.binding = switch.base.snapshot.clone();
            let base = switch.base;
            let index = snapshot.index(&path, &bodies, &base.numbers, &base.totals)?;
            (index, switch.from)
        };
        journal.attributes = snapshot.attributes(&path)?;
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
    fn is_unborn(&self) -> bool {
        let is_empty = self.totals == Totals::default() && self.cursor.offset == self.start;
        self.generation == 1 && is_empty
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
    fn begin(store: &dyn Store, name: &QueueName) -> Result<(Self, Base, u64)> {
        let path = store.root().join(name.journal());
        let failed = |error| Error::io("read", &path, error);
        let file = store.open(&name.journal(), Open::Write).map_err(failed)?;
        let stat = file.stat().map_err(failed)?;
        let damaged = |damage| corrupt(&path, &damage);
        let head = file.read_at(0, frame::HEADER_BYTES).map_err(failed)?;
        let header = first_header(&head, &path)?;
        let length = u64::from(header.length).min(stat.size);
        let length = frame::HEADER_BYTES + usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = file.read_at(0, length).map_err(failed)?;
        let from = Cursor::start(header.salt);
        let (frames, cursor, _) = frame::scan(&bytes, from, bytes.len() as u64).map_err(damaged)?;
        let head = frames.first();
        let head = head.ok_or_else(|| damaged(Damage::new(0, "the base frame is damaged")))?;
        let body = bytes.get(head.body.clone()).unwrap_or_default();
        let base: Base = journal::read_object(body)
            .map_err(|damage| damaged(damage.within(frame::HEADER_BYTES)))?;
        let bodies = Arc::new(Bodies::new());
        let source = bodies.add(Arc::clone(&file), path.clone(), cursor.offset);
        let journal = Self {
            id: stat.id,
            attributes: file.attributes().map_err(failed)?,
            file,
            bodies,
            source,
            cursor,
            synced: 0,
            generation: base.generation,
            replaced: base.replaced,
            binding: base.snapshot.clone(),
            start: cursor.offset,
            totals: base.totals,
            snapshot: None,
            looked_ms: 0,
            not_before: 0,
            torn: false,
            ended: false,
            reserve_is_used: false,
            switch: None,
        };
        Ok((journal, base, stat.size))
    }

    /// The switch that led to this snapshot.
    fn switch_to(
        &self,
        store: &dyn Store,
        name: &QueueName,
        snapshot: &Snapshot,
        size: u64,
    ) -> Result<Option<Switch>> {
        let mut found = None;
        self.frames(store, name, size).read(self.cursor, |seen| {
            if seen.frame.header.kind == Kind::Switch {
                let switch: Switch = journal::read_object(seen.body)?;
                if switch.base.snapshot.is(&snapshot.binding) {
                    found = Some(switch);
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn frames(&self, store: &dyn Store, name: &QueueName, size: u64) -> Frames {
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
            let header_at = seen.at - frame::HEADER_BYTES as u64;
            let index = match &mut index {
                Some((index, from)) if header_at >= *from => Some(&mut **index),
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
    fn take(&mut self, seen: &Seen<'_>, applied: Applied<'_>) -> Checked<()> {
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
            Kind::Switch => self.switch = Some(journal::read_object(seen.body)?),
            Kind::Poison => self.ended = true,
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
        let (next, base, size) = Self::begin(store, name)?;
        let is_next = |switch: &Switch| {
            !switch.anew
                && base == switch.base
                && switch.salt == format!("{:016x}", next.cursor.salt)
        };
        let Some(switch) = self.switch.take().filter(is_next) else {
            return Ok(Looked::Replaced);
        };
        if self.bodies.count() >= FILES {
            return Ok(Looked::Replaced);
        }
        let path = store.root().join(name.journal());
        let source = self.bodies.add(Arc::clone(&next.file), path, next.start);
        let bodies = Arc::clone(&self.bodies);
        *self = Self {
            bodies,
            source,
            attributes: self.attributes.clone(),
            totals: self.totals,
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
        let (own, used) = (self.source, index.sources());
        self.bodies
            .keep(|source| source == own || used.contains(&source));
        Ok(if copies == 0 {
            Looked::Current
        } else {
            Looked::Replaced
        })
    }

    /// Whether it has grown so much that folding it costs little beside what was written.
    pub(crate) fn is_long(&self) -> bool {
        self.cursor.offset > (SMALL + 2 * self.totals.bytes).max(self.not_before)
    }

    /// Not to be folded before it has grown by a quarter.
    pub(crate) fn put_off(&mut self) {
        self.not_before = self.cursor.offset + self.cursor.offset / 4;
    }

    /// Whether it has grown so much that even who knows nothing of what is in it has to fold it.
    pub(crate) fn is_very_long(&self) -> bool {
        self.cursor.offset > (8 * (SMALL + self.totals.bytes)).max(self.not_before)
    }

    /// Whether it is no more work to fold it than is done on the side.
    pub(crate) fn is_small(&self) -> bool {
        self.cursor.offset <= SMALL && self.totals.bytes <= SHOWN
    }

    /// Whether there is nothing to fold.
    pub(crate) fn is_folded(&self) -> bool {
        self.cursor.offset == self.start && !self.torn && !self.ended && self.switch.is_none()
    }

    /// Whether the next commit needs a new generation.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Appends changes that lead to these totals; says where their texts are. `None`: the lock is no longer ours, and
    /// nothing was changed.
    pub(crate) fn append(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        totals: Totals,
        changes: &[Change],
        still_ours: impl FnOnce() -> Result<bool>,
    ) -> Result<Option<Vec<Wrote>>> {
        let (body, places) = journal::write_commit(&totals, replay::records(changes));
        let adds = totals.messages > self.totals.messages;
        if u32::try_from(body.len()).is_err() {
            let text = format!(
                "the messages of one commit have {} bytes together, the limit is 4 GiB; send fewer at once (a single one may have {MAX_PAYLOAD_BYTES})",
                body.len()
            );
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        if !still_ours()? {
            return Ok(None);
        }
        let at = match self.write(store, name, Kind::Commit, &body) {
            Err(error) if !adds && self.makes_room(store, name, &error) => {
                self.write(store, name, Kind::Commit, &body)?
            }
            other => other?,
        };
        self.totals = totals;
        if adds && self.reserve_is_used {
            reserve::keep(store, name);
            self.reserve_is_used = false;
        }
        let source = self.source;
        let wrote = |place| Wrote {
            source,
            at: at + place as u64,
        };
        Ok(Some(places.into_iter().map(wrote).collect()))
    }

    /// Whether the disk is full and some space was kept for this.
    fn makes_room(&mut self, store: &dyn Store, name: &QueueName, error: &Error) -> bool {
        let cause = error.errno().map(std::io::Error::from_raw_os_error);
        let made = cause.is_some_and(|cause| reserve::release(store, name, &cause));
        self.reserve_is_used |= made;
        made
    }

    /// Writes one frame behind the last one; says where its body begins.
    fn write(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        kind: Kind,
        body: &[u8],
    ) -> Result<u64> {
        let path = || store.root().join(name.journal());
        self.cut_off_the_torn()
            .map_err(|error| Error::io("cut a torn tail off", path(), error))?;
        let (bytes, next) = self.cursor.frame(kind, self.synced, body);
        if let Err(error) = self.file.write_at(&bytes, self.cursor.offset) {
            // What is there of it is no frame; whoever comes next cuts it off if this fails too.
            self.torn = self.file.set_size(self.cursor.offset).is_err();
            return Err(Error::io("append to", path(), error));
        }
        self.bodies
            .appended(self.source, self.cursor.offset, &bytes);
        let at = self.cursor.offset + frame::HEADER_BYTES as u64;
        self.cursor = next;
        Ok(at)
    }

    /// What stands behind the last frame must be gone for good before a frame takes its place: it could come back
    /// behind that frame after a power cut.
    fn cut_off_the_torn(&mut self) -> std::io::Result<()> {
        if self.torn {
            self.file.set_size(self.cursor.offset)?;
            // Makes the cut durable.
            self.file.sync()?;
            self.torn = false;
        }
        Ok(())
    }

    /// What is not known to be durable yet; `None` when everything is.
    pub(crate) fn unsynced(&self) -> Option<Unsynced> {
        (self.synced < self.cursor.offset).then(|| Unsynced {
            file: Arc::clone(&self.file),
            salt: self.cursor.salt,
            upto: self.cursor.offset,
        })
    }

    /// That much is durable now.
    pub(crate) fn synced(&mut self, unsynced: &Unsynced) {
        if unsynced.salt == self.cursor.salt {
            self.synced = self.synced.max(unsynced.upto);
        }
    }

    /// Whether somebody has made that durable meanwhile, in this generation or by the one that came after it.
    pub(crate) fn is_durable(&self, unsynced: &Unsynced) -> bool {
        unsynced.salt != self.cursor.salt || self.synced >= unsynced.upto
    }

    /// Makes everything up to the cursor durable, under the lock.
    pub(crate) fn sync(&mut self, store: &dyn Store, name: &QueueName) -> Result<()> {
        let Some(unsynced) = self.unsynced() else {
            return Ok(());
        };
        match unsynced.sync() {
            Ok(()) => {
                self.synced(&unsynced);
                Ok(())
            }
            Err(error) => {
                self.poison(store, name);
                Err(unknown(store, name, error))
            }
        }
    }

    /// A sync of this generation failed. The system may have thrown the pages away and may not fail again: nobody can
    /// build on it.
    pub(crate) fn poison(&mut self, store: &dyn Store, name: &QueueName) {
        // When it cannot be written, whoever reads the journal has an error of his own or the page.
        let _ = self.write(store, name, Kind::Poison, b"{}\n");
        self.ended = true;
    }

    /// Makes the files of a new queue.
    pub(crate) fn create(store: &dyn Store, name: &QueueName) -> Result<()> {
        let attributes = plain::new_attributes(store)?;
        let base = Base {
            generation: 1,
            replaced: 0,
            snapshot: journal::binding(EMPTY),
            totals: Totals::default(),
            numbers: Vec::new(),
        };
        // The journal first: a journal without a snapshot can be told from a plain queue, a snapshot alone cannot.
        put_in_place(store, name, &attributes, &base)?;
        reserve::keep(store, name);
        plain::replace_snapshot(store, name, &attributes, EMPTY)
    }

    /// Gives a plain queue a journal; its file stays as it is.
    pub(crate) fn adopt(store: &dyn Store, name: &QueueName) -> Result<()> {
        let path = || store.root().join(name.snapshot());
        let (plain, bytes) = plain::read(store, &name.snapshot())
            .map_err(|error| Error::io("read", path(), error))?;
        // Makes the bytes that the journal builds on durable, and their name: whoever wrote them may not have.
        plain.sync(store, name)?;
        let synced = store.sync_directory("");
        synced.map_err(|error| Error::io("sync the directory of", path(), error))?;
        Self::restart(store, name, plain.attributes(), &bytes, 1)
    }

    /// Begins a journal anew, on a snapshot that was just put in place.
    pub(crate) fn restart(
        store: &dyn Store,
        name: &QueueName,
        attributes: &Attributes,
        image: &[u8],
        generation: u64,
    ) -> Result<()> {
        let path = store.root().join(name.snapshot());
        let index = Index::parse(image).map_err(|damage| corrupt(&path, &damage))?;
        let totals = index.totals();
        let base = Base {
            generation,
            replaced: 0,
            snapshot: journal::binding(image),
            totals,
            numbers: std::iter::once(0..totals.next).collect(),
        };
        put_in_place(store, name, attributes, &base)
    }

    /// How often another program has replaced the snapshot.
    pub(crate) fn replaced(&self) -> u64 {
        self.replaced
    }

    /// What is no damage and worth knowing.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |is_so: bool, text: &str| notes.extend(is_so.then(|| text.to_owned()));
        note(
            self.torn,
            "a commit was not finished; the next change cuts it off",
        );
        note(
            self.ended,
            "a checkpoint was cut short or a sync failed; the next change finishes with a checkpoint",
        );
        notes
    }

    /// Removes a journal that has been folded.
    pub(crate) fn remove(store: &dyn Store, name: &QueueName) -> Result<()> {
        let path = || store.root().join(name.journal());
        match store.remove(&name.journal()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", path(), error));
            }
            _ => {}
        }
        // Makes the removal durable.
        let synced = store.sync_directory("");
        synced.map_err(|error| Error::io("sync the directory of", path(), error))
    }
}

/// What becomes of a frame that is read.
enum Applied<'a> {
    To(&'a mut Index),
    /// To an index in which the elements of the snapshot are not known.
    Loosely(&'a mut Index),
    /// The snapshot, or what is known, has it already.
    Before,
    /// There is no index: only the totals are wanted.
    No,
}

/// The error of a commit whose sync failed.
pub(crate) fn unknown(store: &dyn Store, name: &QueueName, error: std::io::Error) -> Error {
    Error::io("sync", store.root().join(name.journal()), error).into_kind(
        ErrorKind::OutcomeUnknown,
        "the change is made but may not outlive a power cut: ",
    )
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

/// Puts a journal in place that holds no more than its base.
fn put_in_place(
    store: &dyn Store,
    name: &QueueName,
    attributes: &Attributes,
    base: &Base,
) -> Result<()> {
    let salt = store.system().random();
    let (bytes, _) = Cursor::start(salt).frame(Kind::Base, 0, &journal::write_object(base));
    let file_name = name.journal();
    let how = Replacement {
        name: &file_name,
        temporary: (&name.temp_prefix(), TEMPORARY_SUFFIX),
        attributes,
        sync_content: true,
        sync_name: true,
    };
    replace(store, &how, &bytes, || Ok(true)).map(drop)
}
