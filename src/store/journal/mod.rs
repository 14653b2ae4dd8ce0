//! The journal: commits go behind each other into one file, each as a frame. `docs/format.md`, sections 13 to 17.

mod bodies;
mod fold;
mod foreign;
mod frames;
mod inherited;
mod make;
mod read;
mod replay;
mod reserve;
pub(crate) mod salvage;
mod snapshot;
mod syncs;
mod takeover;
mod versions;

use std::sync::Arc;

use super::lock::Hold;
use super::plain::Durable;
use super::{File, FileId, Stat, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::format::MAX_PAYLOAD_BYTES;
use crate::format::frame::{self, Cursor, Kind};
use crate::format::journal::{self, Binding, Switch, Totals};
use crate::format::name::QueueName;
use crate::index::text::Source;
use crate::index::{Change, Wrote};
use bodies::Bodies;
pub(crate) use fold::{Cut, Fold, NewPlaces};
use frames::Frames;
pub(crate) use reserve::{Reserve, is_full};
use syncs::Syncs;

/// A journal that is smaller than this is not folded because of its size: a checkpoint costs as much as some thousand
/// commits, and reading so much again takes 10 ms.
const SMALL: u64 = 4 * 1024 * 1024;
/// A queue whose elements are no larger than this together is shown in its file when a handle closes.
const SHOWN: u64 = 64 * 1024;

/// What this process knows of a queue's journal.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about the file"
)]
pub(crate) struct Journal {
    file: Arc<dyn File>,
    syncs: Arc<Syncs>,
    id: FileId,
    bodies: Arc<Bodies>,
    /// The journal among the files that hold bodies.
    source: Source,
    /// Behind the last frame that was read or written.
    cursor: Cursor,
    /// Everything before this offset is on stable storage.
    synced: u64,
    /// A sync of this descriptor takes along everything before the cursor, or fails.
    vouched: bool,
    generation: u64,
    /// The inode number of the lock file under which this generation is appended to.
    lock: u64,
    /// How often another program has replaced the snapshot.
    replaced: u64,
    /// The snapshot that this generation builds on.
    binding: Binding,
    /// Where commits begin: behind the base.
    start: u64,
    /// What the queue holds at the cursor.
    totals: Totals,
    /// The snapshot as it was seen last; none when it was not.
    snapshot: Option<Stat>,
    /// When that was, on the boot clock.
    looked_ms: u64,
    /// Something that is no frame stands behind the last one.
    torn: bool,
    /// This generation cannot go on: a sync failed, or a checkpoint was cut short.
    ended: bool,
    /// Somebody said that the configuration was changed.
    noticed: bool,
    /// The last frame, if it is a switch: another process has begun the next generation, or tried to.
    switch: Option<Switch>,
    /// A switch in it leads to another array, which may have come to be: then what is known is no part of the next generation.
    anew: bool,
}

/// How a look at the journal went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    Current,
    /// It is another file now, or cannot be gone on with from what is known.
    Replaced,
}

/// A commit that was written, while another file came to stand at the lock file's path.
#[derive(Debug)]
#[must_use]
pub(crate) struct Doubtful {
    file: Arc<dyn File>,
    syncs: Arc<Syncs>,
    after: Cursor,
}

/// How a commit went.
#[derive(Debug)]
#[must_use]
pub(crate) enum Appended {
    /// It is written; the texts are there.
    Kept(Vec<Wrote>),
    /// It is written, but somebody with another lock file may not have seen it.
    Doubtful(Doubtful),
}

/// What is to be committed, and what the queue holds then.
#[derive(Debug)]
pub(crate) struct Commit<'a> {
    pub(crate) changes: &'a [Change],
    pub(crate) totals: Totals,
    pub(crate) durable: Durable,
}

/// What has to be synced for a commit to be durable; outside the lock, so that others can commit meanwhile.
#[derive(Debug)]
#[must_use]
pub(crate) struct Unsynced {
    syncs: Arc<Syncs>,
    salt: u64,
    upto: u64,
}

impl Unsynced {
    /// Makes everything before its end durable.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        self.syncs.sync(self.upto)
    }
}

impl Doubtful {
    /// Whether the commit is in the queue, under the guard and the lock under which it was written: nobody else appends to its
    /// journal, and nobody is just beginning the next generation.
    pub(crate) fn is_in(&self, store: &dyn Store, name: &QueueName) -> Result<bool> {
        let path = store.root().join(name.journal());
        let failed = |error| Error::io("read", &path, error);
        let stat = self.file.stat().map_err(failed)?;
        let frames = |size| Frames {
            file: Arc::clone(&self.file),
            path: path.clone(),
            size,
        };
        // Who had not seen it may have written in its place, or in the place of what it stands behind.
        let start = Cursor::start(self.after.salt);
        let (end, _) = frames(self.after.offset).read(start, |_| Ok(()))?;
        if end != self.after {
            return Ok(false);
        }
        let at_path = store.stat(&name.journal()).map_err(failed)?;
        if at_path.is_some_and(|at_path| at_path.id == stat.id) {
            return Ok(true);
        }
        // A switch behind it was written by somebody who had seen it.
        let mut is_switched = false;
        frames(stat.size).read(self.after, |seen| {
            is_switched |= seen.frame.header.kind == Kind::Switch;
            Ok(())
        })?;
        Ok(is_switched)
    }

    /// Makes it durable, where it was written.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        self.syncs.sync(self.after.offset)
    }
}

impl Journal {
    /// Whether it has grown so much that folding it costs little beside what was written.
    pub(crate) fn is_long(&self) -> bool {
        self.cursor.offset
            > SMALL
                .saturating_add(self.totals.bytes.saturating_mul(2))
                .saturating_add(self.start.saturating_mul(2))
    }

    /// Whether it has grown so much that even who knows nothing of what is in it has to fold it.
    pub(crate) fn is_very_long(&self) -> bool {
        self.cursor.offset
            > SMALL
                .saturating_add(self.totals.bytes)
                .saturating_add(self.start)
                .saturating_mul(8)
    }

    /// Whether it is no more work to fold it than is done on the side.
    pub(crate) fn is_small(&self) -> bool {
        self.cursor.offset <= SMALL && self.totals.bytes <= SHOWN
    }

    /// Whether there is nothing to fold.
    pub(crate) fn is_folded(&self) -> bool {
        self.cursor.offset == self.start && !self.torn && !self.ended && self.switch.is_none()
    }

    /// Whether the next commit, under this lock file, needs a new generation. INV-31: only who holds the lock file that a
    /// generation belongs to appends to it, so that no two processes do at once, whatever becomes of that file's name.
    pub(crate) fn has_ended(&self, lock: u64) -> bool {
        self.ended || !self.belongs_to(lock)
    }

    /// Whether a sync of it has failed, as far as this process knows: what was read of it may go from memory at any time.
    pub(crate) fn has_failed(&self) -> bool {
        self.ended || self.syncs.sound().is_err()
    }

    /// Whether somebody was last about to begin the next generation.
    pub(crate) fn is_switched(&self) -> bool {
        self.switch.is_some()
    }

    /// The lock file that this generation belongs to.
    pub(crate) fn lock(&self) -> u64 {
        self.lock
    }

    /// Which file it is.
    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// How far it has been read.
    pub(crate) fn size(&self) -> u64 {
        self.cursor.offset
    }

    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Appends a commit, under the lock file that the generation belongs to.
    pub(crate) fn append(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        commit: &Commit<'_>,
        reserve: &mut Reserve,
        hold: &Hold,
    ) -> Result<Appended> {
        let (totals, durable) = (commit.totals, commit.durable);
        let (body, places) = journal::write_commit(&totals, replay::records(commit.changes));
        let is_new_payload = |change: &Change| matches!(change, Change::Replace(..));
        let adds =
            totals.messages > self.totals.messages || commit.changes.iter().any(is_new_payload);
        if u32::try_from(body.len()).is_err() {
            let text = format!(
                "the messages of one commit have {} bytes together, the limit is 4 GiB; send fewer at once (a single one may have {MAX_PAYLOAD_BYTES})",
                body.len()
            );
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        if adds {
            // Before a message takes the space: what of it is written before the disk is full again is not always given back.
            reserve.make_again(store, name)?;
        }
        let at = match self.write_commit(store, name, &body, durable) {
            // Unless it was a sync that failed: nothing is written behind that.
            Err(error)
                if !adds && !self.ended && is_full(&error) && reserve.release(store, name) =>
            {
                self.write_commit(store, name, &body, durable)?
            }
            other => other?,
        };
        self.totals = totals;
        let source = self.source;
        let wrote = |place| Wrote {
            source,
            at: at + place as u64,
        };
        let wrote = places.into_iter().map(wrote).collect();
        // As long as that is so, nobody can have begun the next generation without having seen this.
        if hold.keeps_its_journal().unwrap_or(false) {
            return Ok(Appended::Kept(wrote));
        }
        let doubtful = Doubtful {
            file: Arc::clone(&self.file),
            syncs: Arc::clone(&self.syncs),
            after: self.cursor,
        };
        Ok(Appended::Doubtful(doubtful))
    }

    /// Writes the frame of a commit; one that is to be durable needs everything before it to be.
    fn write_commit(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        body: &[u8],
        durable: Durable,
    ) -> Result<u64> {
        if durable == Durable::Yes {
            self.vouch(store, name)?;
        }
        self.write(store, name, Kind::Commit, body)
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
        if cfg!(mutant = "sync_before_write") {
            let _ = self.file.sync_data();
            self.synced = next.offset;
        }
        if let Err(error) = self.file.write_at(&bytes, self.cursor.offset) {
            // What is there of it is no frame; whoever comes next cuts it off if this fails too.
            self.torn =
                !cfg!(mutant = "no_truncation") && self.file.set_size(self.cursor.offset).is_err();
            return Err(Error::io("append to", path(), error));
        }
        self.bodies
            .appended(self.source, self.cursor.offset, &bytes);
        let at = self.cursor.offset + frame::HEADER_BYTES as u64;
        self.cursor = next;
        // What a switch leads to does not have what stands behind it.
        self.switch = None;
        self.syncs.written(next.offset);
        Ok(at)
    }

    /// What stands behind the last frame must be gone for good before a frame takes its place: it could come back
    /// behind that frame after a power cut.
    fn cut_off_the_torn(&mut self) -> std::io::Result<()> {
        if self.torn {
            self.file.set_size(self.cursor.offset)?;
            // Makes the cut durable.
            self.syncs.sync_anew()?;
            self.torn = false;
        }
        Ok(())
    }

    /// What is not known to be durable yet; `None` when everything is.
    pub(crate) fn unsynced(&self) -> Option<Unsynced> {
        (self.synced < self.cursor.offset).then(|| Unsynced {
            syncs: Arc::clone(&self.syncs),
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

    /// Whether somebody has made that durable meanwhile: in this generation, or by one that came after it. That one's name is
    /// durable when this process vouches for it.
    pub(crate) fn is_durable(&self, unsynced: &Unsynced) -> bool {
        if unsynced.salt == self.cursor.salt {
            self.synced >= unsynced.upto
        } else {
            self.vouched
        }
    }

    /// Whether that is in this generation, and not known to be durable.
    pub(crate) fn lacks(&self, unsynced: &Unsynced) -> bool {
        unsynced.salt == self.cursor.salt && self.synced < unsynced.upto
    }

    /// Makes everything up to the cursor durable, under the lock.
    pub(crate) fn sync(&mut self, store: &dyn Store, name: &QueueName) -> Result<()> {
        let Some(unsynced) = self.unsynced() else {
            return Ok(());
        };
        self.vouch(store, name)?;
        let synced = self.synced_by(store, name, &unsynced, unsynced.sync());
        synced.map_err(|error| unknown(store, name, error))
    }

    /// The same for a frame that leads to another generation, also in one in which a sync has failed. As long as this fails
    /// nothing leads there: nothing was changed.
    fn sync_the_end(&mut self, store: &dyn Store, name: &QueueName) -> Result<()> {
        let Some(unsynced) = self.unsynced() else {
            return Ok(());
        };
        let synced = self.synced_by(store, name, &unsynced, unsynced.syncs.sync_anew());
        synced.map_err(|error| Error::io("sync", store.root().join(name.journal()), error))
    }

    /// What comes of a sync.
    fn synced_by(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        unsynced: &Unsynced,
        synced: std::io::Result<()>,
    ) -> std::io::Result<()> {
        match &synced {
            Ok(()) => self.synced(unsynced),
            Err(_) => self.poison(store, name),
        }
        synced
    }

    /// A sync of this generation failed. The system may have thrown the pages away and may not fail again: nobody can
    /// build on it.
    pub(crate) fn poison(&mut self, store: &dyn Store, name: &QueueName) {
        // When it cannot be written, whoever reads the journal has an error of his own or the page.
        let _ = self.write(store, name, Kind::Poison, b"{}\n");
        self.ended = true;
    }

    /// Tells every process that the configuration was changed.
    pub(crate) fn announce(&mut self, store: &dyn Store, name: &QueueName) -> Result<()> {
        self.write(store, name, Kind::Notice, b"{}\n")?;
        // Handles of this process are told too.
        self.noticed = true;
        Ok(())
    }

    /// Whether somebody said so since it was last read.
    pub(crate) fn is_noticed(&self) -> bool {
        self.noticed
    }

    /// The configuration has been read.
    pub(crate) fn heed_notice(&mut self) {
        self.noticed = false;
    }

    /// How many checkpoints there have been since the queue has a journal.
    pub(crate) fn checkpoints(&self) -> u64 {
        self.generation.saturating_sub(1)
    }

    /// The snapshot as it was seen last.
    pub(crate) fn snapshot(&self) -> Option<Stat> {
        self.snapshot
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
}

/// The error of a commit whose sync failed.
pub(crate) fn unknown(store: &dyn Store, name: &QueueName, error: std::io::Error) -> Error {
    Error::io("sync", store.root().join(name.journal()), error)
        .into_kind(
            ErrorKind::OutcomeUnknown,
            "the change is made but may not outlive a power cut: ",
        )
        .made()
}
