//! A journal that belongs to a lock file which somebody has removed gets one that belongs to the lock file that is at the path
//! now (INV-31): a new file with the same base and the same commits, in the place of the old one.
//!
//! Who still holds the old lock file may be appending at this moment, at the place where the switch is written that tells of
//! the new file. Whichever of the two is left standing there, he finds out whether his commit is among those that were copied, and
//! nothing else rests on that switch: the snapshot stays, so one rename is all that happens.

use super::Journal;
use super::fold::Temporary;
use crate::error::{Error, Result};
use crate::format::frame::{Cursor, Kind};
use crate::format::journal::{self, Base, Switch};
use crate::format::name::{QueueName, TEMPORARY_SUFFIX};
use crate::store::Store;
use crate::store::lock::Hold;

/// So much is written at once.
const PART: usize = 256 * 1024;

impl Journal {
    /// Whether it belongs to this lock file.
    pub(crate) fn belongs_to(&self, lock: u64) -> bool {
        self.lock == lock || cfg!(mutant = "any_lock_file")
    }

    /// Puts one in its place that belongs to the lock file that is held, under lock and guard; afterwards everything is to be read
    /// again. False: the lock is no longer ours, or is being taken from somebody else; nothing was changed.
    pub(crate) fn take_over(
        &self,
        store: &dyn Store,
        name: &QueueName,
        hold: &Hold,
    ) -> Result<bool> {
        // From here on, who appends under the old lock file finds out that it has lost its name.
        if !hold.ends_journal_of(self.lock)? {
            return Ok(false);
        }
        let path = store.root().join(name.journal());
        let failed = |error| Error::io("write a new version of", &path, error);
        let (begun, base, _) = Self::begin(store, name)?;
        let Some((base, from)) = self.base_in(&begun, base, store, name)? else {
            return Ok(false);
        };
        let base = Base {
            // One whose making was cut short before it had a snapshot is known by its generation.
            generation: self.generation + u64::from(!self.is_unborn()),
            lock: hold.lock_file()?,
            ..base
        };
        let salt = store.system().random();
        let object = journal::write_object(&base);
        let (mut part, mut cursor) = Cursor::start(salt).frame(Kind::Base, 0, &object);
        let new =
            Temporary::make(store, name, TEMPORARY_SUFFIX, &self.attributes).map_err(failed)?;
        let mut copied = 0;
        let mut written = Ok(());
        let frames = begun.frames(store, name, self.cursor.offset);
        let (end, _) = frames.read(begun.cursor, |seen| {
            let is_behind = seen.header_at() >= from;
            if is_behind && seen.frame.header.kind == Kind::Commit {
                let bytes;
                (bytes, cursor) = cursor.frame(Kind::Commit, 0, seen.body);
                part.extend_from_slice(&bytes);
                copied += 1;
            }
            if part.len() >= PART && written.is_ok() {
                written = new.file().write_all(&part);
                part.clear();
            }
            Ok(())
        })?;
        if end != self.cursor {
            return Ok(false);
        }
        written
            .and_then(|()| new.file().write_all(&part))
            .map_err(failed)?;
        // Makes the new journal's bytes durable before any name leads to them.
        new.file().sync().map_err(failed)?;
        let switch = Switch {
            salt: format!("{salt:016x}"),
            from,
            copied,
            anew: false,
            base,
        };
        self.tell(store, name, &switch)?;
        new.put_in_place(&name.journal()).map(drop)?;
        Ok(true)
    }

    /// The base of what this process knows, and where in the journal the commits begin that are not in its snapshot. `None`: it is
    /// another journal by now.
    fn base_in(
        &self,
        begun: &Self,
        base: Base,
        store: &dyn Store,
        name: &QueueName,
    ) -> Result<Option<(Base, u64)>> {
        if begun.id != self.id {
            return Ok(None);
        }
        if base.snapshot.is(&self.binding) {
            return Ok(Some((base, begun.start)));
        }
        // A checkpoint was cut short between the snapshot and its journal.
        let switch = begun.switch_to(store, name, &self.binding, self.cursor.offset)?;
        Ok(switch.map(|switch| (switch.base, switch.from)))
    }

    /// Writes behind the last commit what has become of all of them. Only for those who use the queue now: it is not synced.
    fn tell(&self, store: &dyn Store, name: &QueueName, switch: &Switch) -> Result<()> {
        let body = journal::write_object(switch);
        let (bytes, _) = self.cursor.frame(Kind::Switch, self.synced, &body);
        let told = self.file.write_at(&bytes, self.cursor.offset);
        told.map_err(|error| {
            let _ = self.file.set_size(self.cursor.offset);
            Error::io("append to", store.root().join(name.journal()), error)
        })
    }
}
