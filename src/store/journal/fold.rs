//! A checkpoint: everything is folded into a new snapshot, and a new journal begins. `docs/format.md`, section 17.
//!
//! In three steps: the cut, under the queue's lock, notes what there is; the files are written without it; and the end,
//! under lock and guard, copies what was committed meanwhile and puts both files in place. Whoever needs all of it under
//! one lock does the three at once.

use std::sync::Arc;

use super::bodies::{Bodies, Reader};
use super::frames::Frames;
use super::syncs::Syncs;
use super::{Journal, foreign, inherited, reserve};
use crate::error::{Error, ErrorKind, Result};
use crate::format::counters::Counters;
use crate::format::frame::{Cursor, Kind};
use crate::format::journal::{self, Base, Binder, Binding, Switch, Totals, Written};
use crate::format::name::QueueName;
use crate::index::past::Past;
use crate::index::text::{Source, Text};
use crate::index::{Index, Seq, Standing};
use crate::store::files::look;
use crate::store::lock::Hold;
use crate::store::{Attributes, File, FileId, Open, Stat, Store};

/// So much is written at once.
const PART: usize = 256 * 1024;
/// No more than this is left to be copied under the lock, if that can be reached.
const LITTLE: u64 = 64 * 1024;
/// So often what was committed meanwhile is copied before the lock is taken.
const ROUNDS: u32 = 12;

/// What there is at one moment, in the order of the array.
#[derive(Debug)]
pub(crate) struct Cut {
    elements: Vec<Standing>,
    totals: Totals,
    /// What the base says of messages that are gone.
    counters: Counters,
    remembered: Vec<(Arc<str>, u64)>,
    /// They are another array than what there was.
    is_new: bool,
    bodies: Reader,
    generation: u64,
    /// The lock file under which the next generation is appended to.
    lock: u64,
    /// How often another program has replaced the snapshot.
    pub(super) replaced: u64,
    /// What another program has put in its place, and is replaced in turn; none when it is the journal's own.
    pub(super) foreign: Option<Stat>,
    /// Nothing is built on the journal any more: a sync of it failed, or a checkpoint was cut short.
    has_ended: bool,
    /// A sync of the journal makes everything in it durable, or fails.
    is_vouched: bool,
    /// The journal, and behind which frame of it the cut is.
    journal: Arc<dyn File>,
    syncs: Arc<Syncs>,
    behind: Cursor,
}

/// The files of the next generation, not yet in place.
#[derive(Debug)]
pub(crate) struct Fold<'a> {
    cut: Cut,
    base: Base,
    /// Where each element is in the new snapshot.
    places: Vec<u64>,
    snapshot: Temporary<'a>,
    journal: Temporary<'a>,
    /// Where commits begin in the new journal.
    start: u64,
    /// Where they end.
    cursor: Cursor,
    /// Behind the last frame of the old one that was copied.
    copied: Cursor,
    copies: u64,
}

/// Where the bodies are after a checkpoint. Those in the old files can be read as long as nobody has been told.
#[derive(Debug)]
#[must_use]
pub(crate) struct NewPlaces {
    bodies: Arc<Bodies>,
    source: Source,
    rest: std::iter::Zip<std::vec::IntoIter<Standing>, std::vec::IntoIter<u64>>,
}

/// A file without its final name; removed if it never gets it.
#[derive(Debug)]
pub(super) struct Temporary<'a> {
    store: &'a dyn Store,
    file: Arc<dyn File>,
    name: Option<String>,
}

impl<'a> Temporary<'a> {
    pub(super) fn make(
        store: &'a dyn Store,
        name: &QueueName,
        suffix: &str,
        attributes: &Attributes,
    ) -> std::io::Result<Self> {
        let (file, made) = store.temporary(&name.temp_prefix(), suffix)?;
        let temporary = Self {
            store,
            file,
            name: Some(made),
        };
        temporary.file.set_attributes(attributes)?;
        Ok(temporary)
    }

    pub(super) fn file(&self) -> &dyn File {
        &*self.file
    }

    pub(super) fn put_in_place(mut self, name: &str) -> Result<Arc<dyn File>> {
        let path = || self.store.root().join(name);
        if let Some(own) = &self.name {
            let renamed = self.store.rename(own, name);
            renamed.map_err(|error| Error::io("replace", path(), error))?;
        }
        self.name = None;
        if cfg!(mutant = "no_directory_sync") {
            return Ok(Arc::clone(&self.file));
        }
        // Makes the name durable.
        let synced = self.store.sync_directory("");
        synced.map_err(|error| Error::io("sync the directory of", path(), error))?;
        Ok(Arc::clone(&self.file))
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = self.store.remove(name);
        }
    }
}

impl Cut {
    /// What the index holds now.
    pub(crate) fn now(journal: &Journal, index: &Index, lock: u64) -> Self {
        let elements = index.standing();
        Self::of(journal, elements, index.totals(), index.past(), lock)
    }

    /// Another array in place of what there is.
    pub(crate) fn array(journal: &Journal, array: &[Arc<[u8]>], past: &Past, lock: u64) -> Self {
        let bytes = array.iter().map(|text| text.len() as u64).sum();
        let messages = array.len() as u64;
        let next = messages;
        let texts = array.iter().map(|text| Text::Here(Arc::clone(text)));
        let elements = (0..).zip(texts).map(|(seq, text)| Standing::new(seq, text));
        let totals = Totals {
            messages,
            bytes,
            next,
        };
        Self {
            is_new: true,
            ..Self::of(journal, elements.collect(), totals, past, lock)
        }
    }

    fn of(
        journal: &Journal,
        elements: Vec<Standing>,
        totals: Totals,
        past: &Past,
        lock: u64,
    ) -> Self {
        Self {
            elements,
            totals,
            counters: past.counters,
            remembered: past.remembered(),
            is_new: false,
            bodies: journal.bodies.all(),
            generation: journal.generation,
            lock,
            replaced: journal.replaced,
            foreign: None,
            has_ended: journal.ended || journal.syncs.sound().is_err(),
            is_vouched: journal.vouched,
            journal: Arc::clone(&journal.file),
            syncs: Arc::clone(&journal.syncs),
            behind: journal.cursor,
        }
    }

    /// Writes the next generation. `suffix` is what the files' names end with until they are in place.
    pub(crate) fn write<'a>(
        mut self,
        store: &'a dyn Store,
        name: &QueueName,
        suffix: &str,
    ) -> Result<Fold<'a>> {
        let path = store.root().join(name.snapshot());
        let failed = |error| Error::io("write a new version of", &path, error);
        let attributes = self.attributes(store, name).map_err(failed)?;
        let snapshot = Temporary::make(store, name, suffix, &attributes).map_err(failed)?;
        let mut binder = Binder::new();
        let mut places = Vec::with_capacity(self.elements.len());
        let (mut part, mut at) = (b"[".to_vec(), 1u64);
        self.elements.sort_unstable_by_key(|standing| standing.seq);
        for Standing { text, .. } in &self.elements {
            let separator: &[u8] = if places.is_empty() { b"\n  " } else { b",\n  " };
            part.extend_from_slice(separator);
            at += separator.len() as u64;
            places.push(at);
            match text {
                Text::Here(bytes) => part.extend_from_slice(bytes),
                Text::There(place) => self.bodies.read(place, &mut part)?,
            }
            at += text.length();
            if part.len() >= PART {
                binder.write(&part);
                snapshot.file.write_all(&part).map_err(failed)?;
                part.clear();
            }
        }
        let end: &[u8] = if places.is_empty() { b"]\n" } else { b"\n]\n" };
        part.extend_from_slice(end);
        binder.write(&part);
        snapshot.file.write_all(&part).map_err(failed)?;
        // Makes the new snapshot's bytes durable before any name leads to them.
        if !cfg!(mutant = "no_snapshot_sync") {
            snapshot.file.sync().map_err(failed)?;
        }
        if self.has_ended || !self.is_vouched {
            self.require_frames(store, name)?;
        }
        let stat = snapshot.file.stat().map_err(failed)?;
        let base = Base {
            generation: self.generation + 1,
            lock: self.lock,
            replaced: self.replaced,
            counters: self.counters,
            remembered: std::mem::take(&mut self.remembered),
            snapshot: Binding {
                file: Some(Written::from(&stat)),
                ..binder.end()
            },
            totals: self.totals,
            numbers: ranges(&self.elements),
        };
        Fold::begin(self, base, places, snapshot, name, suffix)
    }

    /// What the new snapshot keeps of the one that it replaces, as that is now; the first one, of the journal.
    fn attributes(&self, store: &dyn Store, name: &QueueName) -> std::io::Result<Attributes> {
        match store.open(&name.snapshot(), Open::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.journal.attributes(),
            found => found?.attributes(),
        }
    }

    /// Where a sync of the journal has failed, what the system has not been able to write may have gone from memory as well, and
    /// something else has been read and copied.
    fn require_frames(&self, store: &dyn Store, name: &QueueName) -> Result<()> {
        let frames = Frames {
            path: store.root().join(name.journal()),
            file: Arc::clone(&self.journal),
            size: self.behind.offset,
        };
        let (end, _) = frames.read(Cursor::start(self.behind.salt), |_| Ok(()))?;
        if end == self.behind {
            return Ok(());
        }
        Err(inherited::gone(&frames.path, end.offset))
    }

    /// Whether the snapshot is still what was there when this was made.
    fn replaces_what_it_saw(
        &self,
        journal: &mut Journal,
        store: &dyn Store,
        name: &QueueName,
    ) -> Result<bool> {
        let Some(seen) = &self.foreign else {
            return journal.has_its_snapshot(store, name, true);
        };
        // Its change time is another one since it was given a second name, to be kept.
        let is_that =
            |now: Stat| Written::from(&now) == Written::from(seen) && now.size == seen.size;
        Ok(look(store, &name.snapshot())?.is_some_and(is_that))
    }
}

/// The numbers of the elements.
fn ranges(elements: &[Standing]) -> Vec<std::ops::Range<Seq>> {
    let mut ranges: Vec<std::ops::Range<Seq>> = Vec::new();
    for Standing { seq, .. } in elements {
        match ranges.last_mut() {
            Some(range) if range.end == *seq => range.end += 1,
            _ => ranges.push(*seq..*seq + 1),
        }
    }
    ranges
}

impl<'a> Fold<'a> {
    fn begin(
        cut: Cut,
        base: Base,
        places: Vec<u64>,
        snapshot: Temporary<'a>,
        name: &QueueName,
        suffix: &str,
    ) -> Result<Self> {
        let store = snapshot.store;
        let path = store.root().join(name.journal());
        let failed = |error| Error::io("write a new version of", &path, error);
        let salt = store.system().random();
        let (bytes, cursor) =
            Cursor::start(salt).frame(Kind::Base, 0, &journal::write_object(&base));
        let attributes = cut.journal.attributes().map_err(failed)?;
        let journal = Temporary::make(store, name, suffix, &attributes).map_err(failed)?;
        journal.file.write_all(&bytes).map_err(failed)?;
        let copied = cut.behind;
        let mut fold = Self {
            cut,
            base,
            places,
            snapshot,
            journal,
            start: cursor.offset,
            cursor,
            copied,
            copies: 0,
        };
        fold.catch_up(name)?;
        Ok(fold)
    }

    /// Copies what was committed meanwhile, in rounds: little is left for the end, which is under the lock.
    pub(crate) fn catch_up(&mut self, name: &QueueName) -> Result<()> {
        let path = self.journal.store.root().join(name.journal());
        let failed = |error| Error::io("sync", &path, error);
        for _ in 0..ROUNDS {
            let copied = self.copy(name)?;
            // Makes what was copied durable, and the old journal as far as it goes: where a sync of that has failed, everybody
            // who had it open is told once, and nothing is built on it any more.
            if !cfg!(mutant = "journal_named_early") {
                self.journal.file.sync().map_err(failed)?;
            }
            let synced = self.cut.syncs.sync_anew();
            if !self.cut.has_ended {
                // Another thread may have been told before.
                let synced = synced.and_then(|()| self.cut.syncs.sound());
                synced.map_err(failed)?;
            }
            if copied <= LITTLE {
                break;
            }
        }
        Ok(())
    }

    /// Copies the commits that the old journal has got since; says how many bytes that were.
    fn copy(&mut self, name: &QueueName) -> Result<u64> {
        let path = self.journal.store.root().join(name.journal());
        let failed = |error| Error::io("read", &path, error);
        let frames = Frames {
            size: self.cut.journal.stat().map_err(failed)?.size,
            file: Arc::clone(&self.cut.journal),
            path: path.clone(),
        };
        let (mut part, mut cursor, mut copies) = (Vec::new(), self.cursor, 0);
        let mut written = Ok(());
        let (end, _) = frames.read(self.copied, |seen| {
            if seen.frame.header.kind == Kind::Commit {
                let bytes;
                (bytes, cursor) = cursor.frame(Kind::Commit, 0, seen.body);
                part.extend_from_slice(&bytes);
                copies += 1;
            }
            if part.len() >= PART && written.is_ok() {
                written = self.journal.file.write_all(&part);
                part.clear();
            }
            Ok(())
        })?;
        if !part.is_empty() && written.is_ok() {
            written = self.journal.file.write_all(&part);
        }
        written.map_err(|error| Error::io("write a new version of", &path, error))?;
        let bytes = end.offset - self.copied.offset;
        (self.cursor, self.copied) = (cursor, end);
        self.copies += copies;
        Ok(bytes)
    }

    /// Puts the files in place, under lock and guard. `None`: somebody else began another generation, or the lock is
    /// another one than at the cut; nothing was changed.
    pub(crate) fn end(
        mut self,
        journal: &mut Journal,
        store: &dyn Store,
        name: &QueueName,
        hold: &Hold,
    ) -> Result<Option<NewPlaces>> {
        if journal.cursor.salt != self.cut.behind.salt
            || self.cut.lock != hold.lock_file()?
            || !journal.belongs_to(self.cut.lock)
            || !hold.ends_journal_of(journal.lock)?
        {
            return Ok(None);
        }
        if journal.syncs.sound().is_err() && !journal.ended {
            // Another thread's sync has failed, and it has not been able to say so yet.
            journal.poison(store, name);
        }
        self.copy(name)?;
        if self.copied != journal.cursor {
            let text = "a checkpoint did not copy what was committed meanwhile";
            return Err(Error::new(ErrorKind::Internal, text));
        }
        let path = store.root().join(name.journal());
        let failed = |error| Error::io("sync", &path, error);
        let switch = Switch {
            salt: format!("{:016x}", self.cursor.salt),
            from: self.cut.behind.offset,
            copied: self.copies,
            anew: self.cut.is_new,
            base: self.base.clone(),
        };
        // Durable before the snapshot has its name: whoever finds the new snapshot finds what it is.
        let body = journal::write_object(&switch);
        journal.write(store, name, Kind::Switch, &body)?;
        journal.sync_the_end(store, name)?;
        // Makes the new journal's bytes durable before any name leads to them.
        if !cfg!(mutant = "journal_named_early") {
            self.journal.file.sync().map_err(failed)?;
        }
        // As late as can be.
        if !self.cut.replaces_what_it_saw(journal, store, name)? {
            return Ok(None);
        }
        // From here on the new array may be there, whatever fails. One that is the same with less behind it has changed nothing.
        let is_new = self.cut.is_new;
        let in_doubt = |error: Error| {
            let text = "the change may have been made: ";
            if is_new {
                error.into_kind(ErrorKind::OutcomeUnknown, text)
            } else {
                error
            }
        };
        let snapshot = self
            .snapshot
            .put_in_place(&name.snapshot())
            .map_err(in_doubt)?;
        foreign::remember(store, name);
        // Best effort.
        let _ = reserve::keep(store, name);
        let file = self
            .journal
            .put_in_place(&name.journal())
            .map_err(in_doubt)?;
        let stat = |file: &dyn File| file.stat().map_err(|error| in_doubt(failed(error)));
        let (id, seen) = (stat(&*file)?.id, stat(&*snapshot)?);
        journal.go_on(
            &self.base,
            (file, id),
            (self.start, self.cursor),
            seen,
            path,
        );
        let source = journal.bodies.add(
            snapshot,
            store.root().join(name.snapshot()),
            self.base.snapshot.bytes,
        );
        Ok(Some(NewPlaces {
            bodies: Arc::clone(&journal.bodies),
            source,
            rest: self.cut.elements.into_iter().zip(self.places),
        }))
    }
}

impl NewPlaces {
    /// Tells the index of so many of them; whether that was all. What it knows stays true; only where the bodies are is new.
    /// Nothing to do when everything has been read again meanwhile.
    pub(crate) fn apply(&mut self, count: usize, journal: &Journal, index: &mut Index) -> bool {
        // Another checkpoint may have come before this was told: the new snapshot was closed then, as nothing was known to be in it, and
        // the bodies are where they were.
        let is_same = Arc::ptr_eq(&self.bodies, &journal.bodies);
        if !is_same || !journal.bodies.has(self.source) {
            return true;
        }
        index.relocate(self.source, self.rest.by_ref().take(count));
        let is_all = self.rest.len() == 0;
        if is_all {
            journal.bodies.keep(&index.sources(), journal.source);
        }
        is_all
    }
}

impl Journal {
    /// The same queue in its next generation.
    fn go_on(
        &mut self,
        base: &Base,
        (file, id): (Arc<dyn File>, FileId),
        (start, cursor): (u64, Cursor),
        snapshot: Stat,
        path: std::path::PathBuf,
    ) {
        self.source = self.bodies.add(Arc::clone(&file), path, cursor.offset);
        self.syncs = Syncs::of(&file);
        (self.file, self.id, self.cursor) = (file, id, cursor);
        (self.start, self.synced) = (start, cursor.offset);
        self.vouched = true;
        (self.generation, self.lock, self.replaced) = (base.generation, base.lock, base.replaced);
        self.binding = base.snapshot.clone();
        self.snapshot = Some(snapshot);
        (self.torn, self.ended, self.switch, self.anew) = (false, false, None, false);
    }
}
