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
        // From here on, who appends under the old lock file finds out that it has lost its name. What he appended before that, without
        // knowing of this, is there to be read now.
        if !hold.ends_journal_of(self.lock)? {
            return Ok(false);
        }
        let path = store.root().join(name.journal());
        let failed = |error| Error::io("write a new version of", &path, error);
        let (begun, base, size) = Self::begin(store, name)?;
        let Some((base, from)) = self.base_in((&begun, base, size), store, name)? else {
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
        let attributes = begun.file.attributes().map_err(failed)?;
        let new = Temporary::make(store, name, TEMPORARY_SUFFIX, &attributes).map_err(failed)?;
        let mut copied = 0;
        let mut written = Ok(());
        let frames = begun.frames(store, name, size);
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
            // The change has to be decided anew.
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
        (begun, base, size): (&Self, Base, u64),
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
        let switch = begun.switch_to(store, name, &self.binding, size)?;
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

#[cfg(all(test, not(shuttle)))]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::format::name::LockNames;
    use crate::store::LockKind;
    use crate::store::fault::{FaultStore, Unsynced};
    use crate::store::gate::Tie;
    use crate::store::lock::{Care, Lock};
    use crate::store::patience::{LockWait, Patience};
    use crate::{Queue, Spool, Sync};

    const LOCK: &str = ".gastown/locks/inbound.json.lock";

    fn queue(store: &FaultStore) -> Queue {
        let spool = Spool::builder("unused").sync(Sync::Off);
        let spool = spool.open_on(Arc::new(store.another_process())).unwrap();
        spool.queue("inbound").unwrap()
    }

    /// The journal as another process knows it, and that process's hold of the lock file that is at the path.
    fn another(store: &FaultStore, name: &QueueName) -> (Journal, Hold) {
        let (journal, _) = Journal::open(store, name).unwrap().unwrap();
        let own: Arc<dyn Store> = Arc::new(store.another_process());
        let names = LockNames::new(".gastown/locks", &name.snapshot());
        let lock = Arc::new(Lock::new(&own, names, 0o644, true));
        let patience = Patience::new(LockWait::NoWait, None);
        let (kind, care) = (LockKind::Exclusive, Care::Guarded);
        let hold = lock.acquire(kind, care, Tie::Thread, &patience).unwrap();
        (journal, hold)
    }

    #[test]
    fn what_was_appended_before_the_lock_file_lost_its_name_is_not_left_behind() {
        let store = FaultStore::new();
        let name = QueueName::parse("inbound").unwrap();
        let one = queue(&store);
        one.send(&json!(1)).unwrap();
        let (journal, _) = Journal::open(&store, &name).unwrap().unwrap();
        one.send(&json!(2)).unwrap();
        store.take_away(LOCK);
        let (_, hold) = another(&store, &name);
        assert!(!journal.take_over(&store, &name, &hold).unwrap());
        drop(hold);
        let (journal, hold) = another(&store, &name);
        let inode = store.inode_of(&name.journal());
        assert!(journal.take_over(&store, &name, &hold).unwrap());
        assert_ne!(store.inode_of(&name.journal()), inode);
        drop(hold);
        // Who had the old one goes on in the new one, and nothing is there twice.
        one.send(&json!(3)).unwrap();
        let two = queue(&store);
        for number in 1..=3 {
            let message = two.pop().unwrap().unwrap();
            assert_eq!(message.message::<i32>().unwrap(), number);
        }
        assert!(one.pop().unwrap().is_none());
    }

    #[test]
    fn a_checkpoint_that_was_cut_short_is_taken_over_with_its_snapshot() {
        let store = FaultStore::new();
        let name = QueueName::parse("inbound").unwrap();
        let one = queue(&store);
        one.send(&json!(1)).unwrap();
        // Behind the snapshot's name nothing happens any more.
        let twin = store.power_cut(Unsynced::Kept, Unsynced::Kept);
        twin.forget_effects();
        queue(&twin).checkpoint().unwrap();
        let named = twin.effects();
        let last = named
            .iter()
            .position(|effect| effect == "rename inbound.json");
        store.die(last.unwrap() + 1);
        assert!(one.checkpoint().is_err());
        std::mem::forget(one);
        store.heal();
        store.take_away(LOCK);
        let (journal, hold) = another(&store, &name);
        assert!(journal.take_over(&store, &name, &hold).unwrap());
        drop(hold);
        let two = queue(&store);
        two.send(&json!(2)).unwrap();
        assert_eq!(two.len().unwrap(), 2);
        assert_eq!(two.check().unwrap().replaced, 0);
        assert!(two.check().unwrap().is_sound());
    }
}
