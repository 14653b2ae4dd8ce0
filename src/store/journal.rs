//! The journal: commits go behind each other into one file, each as a frame. `docs/format.md`, sections 13 to 17.

use std::sync::Arc;

use super::atomic::{Replacement, replace};
use super::plain;
use super::{Attributes, File, FileId, Open, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::format::frame::{self, Cursor, Frame, Kind, Tail};
use crate::format::journal::{self, Base, Record, Totals};
use crate::format::name::{QueueName, TEMPORARY_SUFFIX};
use crate::format::{Damage, envelope::Element};
use crate::index::{Change, Index};

/// What reading yields.
type Checked<T> = std::result::Result<T, Damage>;

/// A journal that is smaller than this is not folded because of its size.
const SMALL: u64 = 64 * 1024;
/// The array of a queue that was just made.
const EMPTY: &[u8] = b"[]\n";

/// What this process knows of a queue's journal.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Arc<dyn File>,
    id: FileId,
    /// Behind the last frame that was read or written.
    cursor: Cursor,
    /// Everything before this offset is on stable storage.
    synced: u64,
    generation: u64,
    attributes: Attributes,
    /// Where commits begin: behind the base.
    start: u64,
    /// Something that is no frame stands behind the last one.
    torn: bool,
    /// This generation cannot go on: a sync failed, or a checkpoint was cut short.
    ended: bool,
}

/// How a look at the journal went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    Current,
    /// It is another file now.
    Replaced,
}

impl Journal {
    /// Reads the journal and its snapshot.
    pub(crate) fn open(store: &dyn Store, name: &QueueName) -> Result<(Self, Index)> {
        let path = store.root().join(name.journal());
        let failed = |error| Error::io("read", &path, error);
        let corrupt = |damage: Damage| Error::corrupt(&path, damage.offset, &damage.rule);
        let file = store.open(&name.journal(), Open::Write).map_err(failed)?;
        let bytes = file.read_from(0).map_err(failed)?;
        let first = frame::first(&bytes).map_err(corrupt)?.ok_or_else(|| {
            let text = format!(
                "{} was written by a newer version; use a newer flockq",
                path.display()
            );
            Error::new(ErrorKind::Version, text).at(&path)
        })?;
        let (frames, cursor, tail) =
            frame::scan(&bytes, Cursor::start(first.salt)).map_err(corrupt)?;
        let Some((head, commits)) = frames.split_first() else {
            return Err(corrupt(Damage::new(0, "the base frame is damaged")));
        };
        let base = base(&bytes, head).map_err(corrupt)?;
        let mut journal = Self {
            id: file.stat().map_err(failed)?.id,
            attributes: file.attributes().map_err(failed)?,
            file,
            cursor,
            synced: frames.last().map_or(0, |frame| frame.header.synced),
            generation: base.generation,
            start: head.body.end as u64,
            torn: tail == Tail::Torn,
            ended: false,
        };
        let (mut index, from) = journal.snapshot(store, name, &bytes, &base, commits)?;
        let rest = commits.get(from..).unwrap_or_default();
        journal
            .replay(&bytes, 0, rest, &mut index)
            .map_err(corrupt)?;
        Ok((journal, index))
    }

    /// The state that the snapshot holds, and how many of the frames are in it.
    fn snapshot(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        bytes: &[u8],
        base: &Base,
        commits: &[Frame],
    ) -> Result<(Index, usize)> {
        let path = store.root().join(name.snapshot());
        let found = plain::read(store, &name.snapshot());
        let snapshot = match found {
            Ok((_, snapshot)) => snapshot,
            // The first commit of a queue was cut short between its two files.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.is_new(base) => {
                self.ended = true;
                EMPTY.to_vec()
            }
            Err(error) => return Err(Error::io("read", path, error)),
        };
        let binding = journal::binding(&snapshot);
        let numbered = |base: &Base| {
            Index::parse_numbered(&snapshot, &base.numbers, base.next)
                .map_err(|damage| Error::corrupt(&path, damage.offset, &damage.rule))
        };
        if binding == base.snapshot {
            return Ok((numbered(base)?, 0));
        }
        // A checkpoint was cut short between the snapshot and the new journal.
        for (place, frame) in commits.iter().enumerate().rev() {
            if frame.header.kind == Kind::Switch {
                let switch = self::base(bytes, frame).map_err(|damage| {
                    Error::corrupt(
                        store.root().join(name.journal()),
                        damage.offset,
                        &damage.rule,
                    )
                })?;
                if switch.snapshot == binding {
                    self.ended = true;
                    return Ok((numbered(&switch)?, place + 1));
                }
            }
        }
        Err(Error::corrupt(
            path,
            0,
            "it is not the snapshot that the journal beside it builds on: another program has replaced it",
        ))
    }

    /// Whether nothing was ever committed.
    fn is_new(&self, base: &Base) -> bool {
        base.generation == 1 && base.next == 0 && self.cursor.offset == self.start
    }

    /// Reads what was appended since the last look. Costs one look when nothing was.
    pub(crate) fn refresh(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        index: &mut Index,
    ) -> Result<Looked> {
        let path = || store.root().join(name.journal());
        let failed = |error| Error::io("read", path(), error);
        let looked = store.stat(&name.journal()).map_err(failed)?;
        let Some(stat) = looked.filter(|stat| stat.id == self.id) else {
            return Ok(Looked::Replaced);
        };
        if stat.size == self.cursor.offset {
            self.torn = false;
            return Ok(Looked::Current);
        }
        let corrupt = |damage: Damage| Error::corrupt(path(), damage.offset, &damage.rule);
        if stat.size < self.cursor.offset {
            return Err(corrupt(Damage {
                offset: stat.size,
                rule: "it ends before what was read of it already".to_owned(),
            }));
        }
        let from = self.cursor;
        let bytes = self.file.read_from(from.offset).map_err(failed)?;
        let (frames, cursor, tail) = frame::scan(&bytes, from).map_err(corrupt)?;
        self.replay(&bytes, from.offset, &frames, index)
            .map_err(corrupt)?;
        self.cursor = cursor;
        self.torn = tail == Tail::Torn;
        Ok(Looked::Current)
    }

    /// Applies frames. `bytes` begin at `offset` of the file.
    fn replay(
        &mut self,
        bytes: &[u8],
        offset: u64,
        frames: &[Frame],
        index: &mut Index,
    ) -> Checked<()> {
        for frame in frames {
            let place = offset + frame.body.start as u64;
            let body = bytes.get(frame.body.clone()).unwrap_or_default();
            let within = |mut damage: Damage| {
                damage.offset += place;
                damage
            };
            match frame.header.kind {
                Kind::Commit => commit(body, index).map_err(within)?,
                // A switch that did not come to its end changes nothing: the snapshot is still the old one.
                Kind::Switch => {}
                Kind::Poison => self.ended = true,
                Kind::Base => {
                    return Err(within(Damage::new(0, "a base stands behind other frames")));
                }
            }
            self.synced = self.synced.max(frame.header.synced);
        }
        Ok(())
    }

    /// Whether it has grown so much that folding it costs little beside what was written.
    pub(crate) fn is_long(&self, index: &Index) -> bool {
        self.cursor.offset > SMALL + 2 * index.totals().bytes
    }

    pub(crate) fn size(&self) -> u64 {
        self.cursor.offset
    }

    /// Whether there is nothing to fold.
    pub(crate) fn is_folded(&self) -> bool {
        self.cursor.offset == self.start && !self.torn && !self.ended
    }

    /// Whether the next commit needs a new generation.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Appends changes. False: the lock is no longer ours, and nothing was changed.
    pub(crate) fn append(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        index: &Index,
        changes: &[Change],
        sync: bool,
        still_ours: impl FnOnce() -> Result<bool>,
    ) -> Result<bool> {
        let body = journal::write_commit(&after(index, changes), records(index, changes));
        if !still_ours()? {
            return Ok(false);
        }
        self.write(store, name, Kind::Commit, &body, sync)?;
        Ok(true)
    }

    /// Writes one frame behind the last one.
    fn write(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        kind: Kind,
        body: &[u8],
        sync: bool,
    ) -> Result<()> {
        let path = || store.root().join(name.journal());
        self.cut_off_the_torn()
            .map_err(|error| Error::io("cut a torn tail off", path(), error))?;
        let (bytes, next) = self.cursor.frame(kind, self.synced, body);
        if let Err(error) = self.file.write_at(&bytes, self.cursor.offset) {
            // What is there of it is no frame; whoever comes next cuts it off if this fails too.
            self.torn = self.file.set_size(self.cursor.offset).is_err();
            return Err(Error::io("append to", path(), error));
        }
        self.cursor = next;
        if sync {
            self.sync(store, name)?;
        }
        Ok(())
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

    /// Makes everything up to the cursor durable.
    pub(crate) fn sync(&mut self, store: &dyn Store, name: &QueueName) -> Result<()> {
        // Makes the frames durable.
        let Err(error) = self.file.sync() else {
            self.synced = self.cursor.offset;
            return Ok(());
        };
        // The system may have thrown the pages away and may not fail again: nobody can build on this generation.
        self.ended = true;
        let (poison, next) = self.cursor.frame(Kind::Poison, self.synced, b"{}\n");
        if self.file.write_at(&poison, self.cursor.offset).is_ok() {
            self.cursor = next;
        } else {
            self.torn = true;
        }
        Err(
            Error::io("sync", store.root().join(name.journal()), error).into_kind(
                ErrorKind::OutcomeUnknown,
                "the change is made but may not outlive a power cut: ",
            ),
        )
    }

    /// Folds everything into a new snapshot with these changes, and begins a new journal. False: the lock is no longer
    /// ours, and nothing was changed.
    pub(crate) fn checkpoint(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        index: &mut Index,
        changes: Vec<Change>,
        still_ours: impl FnOnce() -> Result<bool>,
    ) -> Result<bool> {
        let image = index.image(&changes);
        if !still_ours()? {
            return Ok(false);
        }
        index.apply(changes);
        let next = Base {
            generation: self.generation + 1,
            snapshot: journal::binding(&image),
            next: index.totals().next,
            numbers: index.numbers(),
        };
        // Durable before the snapshot has its name: whoever finds the new snapshot finds what it is.
        self.write(
            store,
            name,
            Kind::Switch,
            &journal::write_object(&next),
            true,
        )?;
        plain::replace_snapshot(store, name, &self.attributes, &image)?;
        *self = Self::begin(store, name, &self.attributes, &next)?;
        Ok(true)
    }

    /// Makes the files of a new queue.
    pub(crate) fn create(store: &dyn Store, name: &QueueName) -> Result<Self> {
        let attributes = plain::new_attributes(store)?;
        let base = Base {
            generation: 1,
            snapshot: journal::binding(EMPTY),
            next: 0,
            numbers: Vec::new(),
        };
        // The journal first: a journal without a snapshot can be told from a plain queue, a snapshot alone cannot.
        let made = Self::begin(store, name, &attributes, &base)?;
        plain::replace_snapshot(store, name, &attributes, EMPTY)?;
        Ok(made)
    }

    /// Gives a plain queue a journal; its file stays as it is.
    pub(crate) fn adopt(store: &dyn Store, name: &QueueName) -> Result<Self> {
        let path = || store.root().join(name.snapshot());
        let (plain, bytes) = plain::read(store, &name.snapshot())
            .map_err(|error| Error::io("read", path(), error))?;
        let index = Index::parse(&bytes)
            .map_err(|damage| Error::corrupt(path(), damage.offset, &damage.rule))?;
        // Makes the bytes that the journal builds on durable, and their name: whoever wrote them may not have.
        plain.sync(store, name)?;
        let synced = store.sync_directory("");
        synced.map_err(|error| Error::io("sync the directory of", path(), error))?;
        let base = Base {
            generation: 1,
            snapshot: journal::binding(&bytes),
            next: index.totals().next,
            numbers: index.numbers(),
        };
        Self::begin(store, name, plain.attributes(), &base)
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

    /// Puts a new journal in place.
    fn begin(
        store: &dyn Store,
        name: &QueueName,
        attributes: &Attributes,
        base: &Base,
    ) -> Result<Self> {
        let salt = store.system().random();
        let (bytes, cursor) =
            Cursor::start(salt).frame(Kind::Base, 0, &journal::write_object(base));
        let file_name = name.journal();
        let how = Replacement {
            name: &file_name,
            temporary: (&name.temp_prefix(), TEMPORARY_SUFFIX),
            attributes,
            sync_content: true,
            sync_name: true,
        };
        let failed = |error| Error::io("look at", store.root().join(name.journal()), error);
        let file = replace(store, &how, &bytes, || Ok(true))?
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a journal was not put in place"))?;
        Ok(Self {
            id: file.stat().map_err(failed)?.id,
            file,
            cursor,
            synced: cursor.offset,
            generation: base.generation,
            attributes: attributes.clone(),
            start: cursor.offset,
            torn: false,
            ended: false,
        })
    }
}

/// The body of a base or a switch.
fn base(bytes: &[u8], frame: &Frame) -> Checked<Base> {
    let body = bytes.get(frame.body.clone()).unwrap_or_default();
    journal::read_object(body).map_err(|damage| damage.within(frame.body.start))
}

/// Applies the changes of one commit.
fn commit(body: &[u8], index: &mut Index) -> Checked<()> {
    let (totals, records) = journal::read_commit(body)?;
    let mut changes = Vec::with_capacity(records.len());
    for record in records {
        let place = |text: &[u8]| (text.as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
        let known = |number: u64| {
            index.element(number).ok_or_else(|| {
                Damage::new(
                    0,
                    format!("the commit changes element {number}, which is not there"),
                )
            })
        };
        let parse = |text: Vec<u8>, place: usize| {
            Element::parse(Arc::from(text)).map_err(|damage| Damage::new(place, damage.rule))
        };
        changes.push(match record {
            Record::Append(text) => Change::Append(parse(text.to_vec(), place(text))?),
            Record::Envelope { number, head, tail } => {
                let text = [head, known(number)?.payload(), tail].concat();
                Change::Replace(number, parse(text, place(head))?)
            }
            Record::Replace { number, text } => {
                known(number)?;
                Change::Replace(number, parse(text.to_vec(), place(text))?)
            }
            Record::Remove(number) => {
                known(number)?;
                Change::Remove(number)
            }
        });
    }
    index.apply(changes);
    if index.totals() != totals {
        return Err(Damage::new(
            0,
            "the totals of the commit are not what its changes lead to",
        ));
    }
    Ok(())
}

/// Changes as they are written: an envelope around the payload that is there already is written without it.
fn records<'a>(index: &'a Index, changes: &'a [Change]) -> impl Iterator<Item = Record<'a>> {
    changes.iter().filter_map(|change| match change {
        Change::Append(element) => Some(Record::Append(element.text())),
        Change::Replace(number, element) => {
            let same = index
                .element(*number)
                .is_some_and(|known| known.payload() == element.payload());
            Some(if same {
                let (head, tail) = element.around();
                Record::Envelope {
                    number: *number,
                    head,
                    tail,
                }
            } else {
                Record::Replace {
                    number: *number,
                    text: element.text(),
                }
            })
        }
        Change::Remove(number) => Some(Record::Remove(*number)),
        // Another array is a checkpoint.
        Change::Reset(_) => None,
    })
}

/// The totals when these changes have been made.
fn after(index: &Index, changes: &[Change]) -> Totals {
    let mut totals = index.totals();
    let size = |number: &u64| {
        index
            .element(*number)
            .map_or(0, |element| element.text().len() as u64)
    };
    for change in changes {
        match change {
            Change::Append(element) => {
                totals.messages += 1;
                totals.next += 1;
                totals.bytes += element.text().len() as u64;
            }
            Change::Replace(number, element) => {
                totals.bytes = totals.bytes - size(number) + element.text().len() as u64;
            }
            Change::Remove(number) => {
                totals.messages -= 1;
                totals.bytes -= size(number);
            }
            Change::Reset(_) => {}
        }
    }
    totals
}
