//! Receivers that sleep: how a commit wakes as many of them as it brought messages, and no others.
//!
//! A receiver has a *slot*: a small file that it watches, and a word in the wake page, which is the time at which it went to
//! sleep, or zero. Whoever commits chooses slots of sleepers under the queue's lock, sets their words to zero, so that the
//! next one chooses others, and behind the lock writes into their files. All of it is a hint: a sleeper looks
//! once a second by itself.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use super::make_directories;
use super::own_file::OwnFile;
use super::{File, LockKind, Open, Page, Store};
use crate::format::name::WAITERS_DIRECTORY;
use crate::sync::Mutex;

/// How many receivers of a queue can be woken one by one; those beyond wake at every commit.
const SLOTS: usize = 64;
/// The slots' words in the wake page.
const FIRST: usize = 8;
/// How many words of the page are in use.
pub(crate) const WORDS: usize = FIRST + SLOTS;
/// Who went to sleep longer ago than this (in milliseconds) did not live to say that he still sleeps: a sleeper looks every second.
const STAMP_AGE_MS: u64 = 3000;

/// Those who sleep on one queue.
#[derive(Debug)]
pub(crate) struct Sleepers {
    store: Arc<dyn Store>,
    page: Option<Arc<dyn Page>>,
    /// What the slots' files begin with.
    files: String,
    mode: u32,
    /// The files that this process has rung.
    rung: Mutex<HashMap<usize, Arc<dyn File>>>,
}

/// The place of one receiver. It is his as long as he keeps the file locked.
#[derive(Debug)]
pub(crate) struct Slot {
    sleepers: Arc<Sleepers>,
    number: usize,
    /// Holds the lock.
    file: OwnFile,
}

impl Sleepers {
    pub(crate) fn new(
        store: &Arc<dyn Store>,
        page: Option<&Arc<dyn Page>>,
        files: &str,
        mode: u32,
    ) -> Self {
        Self {
            store: Arc::clone(store),
            page: page.cloned(),
            files: files.to_owned(),
            mode,
            rung: Mutex::default(),
        }
    }

    /// A free slot; none when all are taken, or where files cannot be made or locked.
    pub(crate) fn slot(self: &Arc<Self>) -> Option<Slot> {
        self.page.as_ref()?;
        let directory = self.store.root_stat().ok()?.directory_mode();
        make_directories(&*self.store, WAITERS_DIRECTORY, directory).ok()?;
        (0..SLOTS).find_map(|number| {
            let path = self.path(number);
            let how = Open::Shared { mode: self.mode };
            let file = OwnFile::open(&*self.store, &path, how).ok()?;
            let is_free = file.try_lock(LockKind::Exclusive).unwrap_or(false);
            is_free.then(|| Slot {
                sleepers: Arc::clone(self),
                number,
                file,
            })
        })
    }

    /// Chooses so many of those who sleep, by what the page says. They count as awake from here on.
    pub(crate) fn choose(&self, words: &[u64; WORDS], count: usize) -> Vec<usize> {
        let Some(page) = &self.page else {
            return Vec::new();
        };
        let now = self.store.system().boot_ms();
        let sleeps = |word: u64| word != 0 && now.abs_diff(word) <= STAMP_AGE_MS;
        (0..SLOTS)
            .filter(|number| sleeps(words[FIRST + number]))
            .take(count)
            .filter(|number| page.write(FIRST + number, 0).is_ok())
            .collect()
    }

    /// Wakes those who were chosen.
    pub(crate) fn ring(&self, chosen: &[usize]) {
        for number in chosen {
            let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
            let file = match rung.get(number) {
                Some(file) => Arc::clone(file),
                None => match self.store.open(&self.path(*number), Open::Write) {
                    Ok(file) => Arc::clone(rung.entry(*number).or_insert(file)),
                    Err(_) => continue,
                },
            };
            drop(rung);
            let _ = file.write_at(b"\n", 0);
        }
    }

    /// Wakes somebody else, in place of one who was chosen and does not take what he was chosen for.
    fn pass_on(&self) {
        let mut words = [0; WORDS];
        if let Some(page) = &self.page
            && page.read(&mut words).is_ok()
        {
            self.ring(&self.choose(&words, 1));
        }
    }

    fn path(&self, number: usize) -> String {
        format!("{}{number}", self.files)
    }
}

impl Slot {
    /// The file to watch.
    pub(crate) fn path(&self) -> String {
        self.sleepers.path(self.number)
    }

    /// From here on the receiver may be chosen: what was committed before must be looked for after this.
    pub(crate) fn fall_asleep(&self) {
        self.write(self.sleepers.store.system().boot_ms().max(1));
    }

    /// From here on it is not chosen.
    pub(crate) fn wake(&self) {
        self.write(0);
    }

    /// As `wake`; when it was chosen already, somebody else is in its place.
    pub(crate) fn wake_and_pass_on(&self) {
        let mut words = [0; WORDS];
        let page = self.sleepers.page.as_ref();
        let read = page.is_some_and(|page| page.read(&mut words).is_ok());
        if read && words[FIRST + self.number] == 0 {
            self.sleepers.pass_on();
        } else {
            self.wake();
        }
    }

    fn write(&self, word: u64) {
        if let Some(page) = &self.sleepers.page {
            let _ = page.write(FIRST + self.number, word);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.file.is_ours() {
            let _ = self.file.unlock();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::real::RealStore;
    use super::super::{Watched, Woken};
    use super::*;
    use crate::format::name::{CONSUMERS_DIRECTORY, LOCK_DIRECTORY, LockNames};
    use std::time::Duration;

    fn sleepers(directory: &std::path::Path) -> (Arc<dyn Store>, Arc<Sleepers>) {
        let store: Arc<dyn Store> = Arc::new(RealStore::open(directory).unwrap());
        make_directories(&*store, LOCK_DIRECTORY, 0o700).unwrap();
        make_directories(&*store, CONSUMERS_DIRECTORY, 0o700).unwrap();
        let names = LockNames::new(LOCK_DIRECTORY, "inbound.json");
        let page = store.page(&names.wake, 0o600).unwrap();
        let sleepers = Arc::new(Sleepers::new(&store, Some(&page), &names.waiters, 0o600));
        (store, sleepers)
    }

    fn words(sleepers: &Sleepers) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        sleepers.page.as_ref().unwrap().read(&mut words).unwrap();
        words
    }

    #[test]
    fn each_message_wakes_one_sleeper_and_no_sleeper_is_chosen_twice() {
        let directory = tempfile::tempdir().unwrap();
        let (store, sleepers) = sleepers(directory.path());
        let slots: Vec<Slot> = (0..3).map(|_| sleepers.slot().unwrap()).collect();
        let mut watches: Vec<_> = slots
            .iter()
            .map(|slot| {
                let what = Watched {
                    snapshot: "inbound.json".to_owned(),
                    journal: "inbound.json.journal".to_owned(),
                    directory: CONSUMERS_DIRECTORY,
                    slot: Some(slot.path()),
                };
                store.watch(&what).unwrap()
            })
            .collect();
        // The third is awake.
        slots[..2].iter().for_each(Slot::fall_asleep);
        let first = sleepers.choose(&words(&sleepers), 1);
        sleepers.ring(&first);
        assert_eq!(first.len(), 1);
        let woken: Vec<_> = watches
            .iter_mut()
            .map(|watch| watch.wait(Duration::from_millis(20)).unwrap())
            .collect();
        assert_eq!(woken, [Woken::Chosen, Woken::TimedOut, Woken::TimedOut]);
        let second = sleepers.choose(&words(&sleepers), 5);
        assert!(second.len() == 1 && second != first);
        assert!(sleepers.choose(&words(&sleepers), 5).is_empty());
        // Whoever was chosen and leaves wakes another one in his place; whoever was not does not.
        slots[2].fall_asleep();
        slots[0].wake_and_pass_on();
        assert_eq!(
            watches[2].wait(Duration::from_millis(500)).unwrap(),
            Woken::Chosen
        );
        slots[0].fall_asleep();
        slots[1].fall_asleep();
        slots[0].wake_and_pass_on();
        assert_eq!(sleepers.choose(&words(&sleepers), 5).len(), 1);
    }

    #[test]
    fn a_sleeper_of_another_boot_or_that_is_dead_is_not_chosen_and_its_slot_is_free() {
        let directory = tempfile::tempdir().unwrap();
        let (store, sleepers) = sleepers(directory.path());
        let slot = sleepers.slot().unwrap();
        for stamp in [1, u64::MAX, store.system().boot_ms() + STAMP_AGE_MS + 1000] {
            slot.write(stamp);
            assert!(sleepers.choose(&words(&sleepers), 1).is_empty(), "{stamp}");
        }
        let path = slot.path();
        drop(slot);
        assert_eq!(sleepers.slot().unwrap().path(), path);
    }

    #[test]
    fn those_beyond_the_slots_go_without_one() {
        let directory = tempfile::tempdir().unwrap();
        let (_store, sleepers) = sleepers(directory.path());
        let slots: Vec<Slot> = (0..SLOTS).map(|_| sleepers.slot().unwrap()).collect();
        assert!(sleepers.slot().is_none());
        drop(slots);
        assert!(sleepers.slot().is_some());
    }
}
