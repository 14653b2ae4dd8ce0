//! The lock protocol of `docs/format.md`: flock(2) on a file that is never unlinked, renamed or
//! truncated here, proved after every acquisition to be still the file at its path, and a second
//! lock that other programs do not know.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use super::counters::LockCounts;
use super::gate::{Gate, Pass, Refused, Tie};
use super::patience::Patience;
use super::real::{descriptors, generation};
use super::sleepers::Sleepers;
use super::wake::Bell;
use super::{File, FileId, LockKind, Open, Stat, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::LockNames;
use crate::sync::{Mutex, MutexGuard};

/// How long (in microseconds) a lock that somebody has is left alone between the first tries. Most holds are shorter than the
/// time it takes to be woken, and eight processes get more done when one of them has the lock several times before it goes to
/// another processor.
const PAUSES: [u64; 14] = [0, 0, 0, 0, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50];

/// So often (in milliseconds) the use of a lock is written down.
const COUNT_EVERY_MS: u64 = 1000;

/// An open lock file, known to the fork handler.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: Arc<dyn File>,
    /// Which file it is: while it is open no other file can be that.
    pub(super) id: FileId,
    generation: u64,
}

impl LockFile {
    /// Opens and registers under one mutex, so that no fork comes in between.
    pub(crate) fn open(store: &dyn Store, path: &str, how: Open) -> io::Result<Self> {
        let mut registered = descriptors();
        let file = store.open(path, how)?;
        let id = file.stat()?.id;
        registered.extend(file.descriptor());
        Ok(Self {
            file,
            id,
            generation: generation(),
        })
    }

    /// Whether it was opened by this process and not by one that forked it.
    pub(crate) fn is_ours(&self) -> bool {
        self.generation == generation()
    }
}

impl std::ops::Deref for LockFile {
    type Target = dyn File;

    fn deref(&self) -> &(dyn File + 'static) {
        &*self.file
    }
}

/// Files of a parent that the fork handler closed in this process. Only a child uses it, and only after the fork.
static CLOSED_BY_FORK: std::sync::Mutex<Vec<Arc<dyn File>>> = std::sync::Mutex::new(Vec::new());

impl Drop for LockFile {
    fn drop(&mut self) {
        if self.is_ours() {
            let mut registered = descriptors();
            if let Some(place) = registered
                .iter()
                .position(|known| Some(*known) == self.file.descriptor())
            {
                registered.swap_remove(place);
            }
        } else {
            // The fork handler has closed it, and the number may be another file's by now: kept, so that nothing
            // closes it again.
            let _no_fork = descriptors();
            CLOSED_BY_FORK
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Arc::clone(&self.file));
        }
    }
}

/// The lock of one queue (or other file) in this process: one descriptor, whoever asks.
#[derive(Debug)]
pub(crate) struct Lock {
    store: Arc<dyn Store>,
    names: LockNames,
    mode: u32,
    allow_unverified: bool,
    gate: Gate,
    files: Mutex<Files>,
    bell: OnceLock<Bell>,
    proved: AtomicBool,
    /// The lock file was found to have lost its name: the next one to take it looks at once.
    lost: AtomicBool,
    counts: Mutex<Counts>,
}

/// How the lock was used since that was written down.
#[derive(Debug, Default)]
struct Counts {
    new: LockCounts,
    /// When (boot clock) it was.
    written_ms: u64,
}

#[derive(Debug, Default)]
struct Files {
    lock: Option<LockFile>,
    guard: Option<LockFile>,
    /// The lock file was opened since the guard was last held.
    is_fresh: bool,
}

/// How much is asked of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// That it is the file at its path is asked before a commit only: for appending.
    AtCommit,
    /// It is also asked at once.
    Checked,
    /// The guard is held too: for replacing a queue's file.
    Guarded,
}

/// A held lock. Dropping it gives it back, from whatever thread.
#[derive(Debug)]
pub(crate) struct Hold {
    lock: Arc<Lock>,
    pass: Pass,
    guarded: AtomicBool,
    /// How many messages it made ready, as far as it knows: so many receivers are woken when it ends.
    brought: AtomicUsize,
    generation: u64,
    place: Place,
}

/// Where a hold stands: what it gives back when it goes, also when it never came to be.
#[derive(Debug)]
enum Place {
    /// In the gate, with the process's one descriptor.
    Inside,
    /// Beside it and others, shared, with a descriptor of its own as soon as that is locked.
    Beside(Option<LockFile>),
}

impl Lock {
    pub(crate) fn new(
        store: &Arc<dyn Store>,
        names: LockNames,
        mode: u32,
        allow_unverified: bool,
    ) -> Self {
        Self {
            store: Arc::clone(store),
            names,
            mode,
            allow_unverified,
            gate: Gate::default(),
            files: Mutex::default(),
            bell: OnceLock::new(),
            proved: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            counts: Mutex::default(),
        }
    }

    /// How the lock was used since that was taken out.
    pub(crate) fn counts(&self) -> LockCounts {
        self.new_counts().new
    }

    /// Takes that out, to be written down; `None` when there is nothing, or that was done just now.
    pub(crate) fn take_counts(&self, now_ms: u64) -> Option<LockCounts> {
        let mut counts = self.new_counts();
        let is_due = now_ms.abs_diff(counts.written_ms) >= COUNT_EVERY_MS;
        if !is_due || counts.new == LockCounts::default() {
            return None;
        }
        counts.written_ms = now_ms;
        Some(std::mem::take(&mut counts.new))
    }

    /// Puts it back: it could not be written down.
    pub(crate) fn put_counts_back(&self, counts: &LockCounts) {
        self.new_counts().new.add(counts);
    }

    fn new_counts(&self) -> MutexGuard<'_, Counts> {
        // Numbers only.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The receivers that sleep on the queue.
    pub(crate) fn sleepers(&self) -> &Arc<Sleepers> {
        self.bell().sleepers()
    }

    /// The process's one descriptor, exclusively or shared among processes; the gate keeps other threads out.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        kind: LockKind,
        care: Care,
        tie: Tie,
        patience: &Patience,
    ) -> Result<Hold> {
        self.acquire_meanwhile(kind, care, tie, patience, &mut || ())
    }

    /// As `acquire`; `meanwhile` is done when another process has the lock, between tries.
    pub(crate) fn acquire_meanwhile(
        self: &Arc<Self>,
        kind: LockKind,
        care: Care,
        tie: Tie,
        patience: &Patience,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Hold> {
        let entered = self.gate.enter(tie, patience);
        let (pass, mut waited) = entered.map_err(|refused| self.refusal(refused, patience))?;
        // From here on the hold gives back what was taken, also when the rest fails.
        let hold = Hold {
            lock: Arc::clone(self),
            pass,
            guarded: AtomicBool::new(care == Care::Guarded),
            brought: AtomicUsize::new(0),
            generation: generation(),
            place: Place::Inside,
        };
        let guarded = self.take(kind, care, patience, &mut waited, meanwhile)?;
        hold.guarded.store(guarded, Ordering::Relaxed);
        let mut counts = self.new_counts();
        counts.new.acquired += u64::from(kind == LockKind::Exclusive);
        if waited {
            counts.new.waited(patience.waited());
        }
        drop(counts);
        Ok(hold)
    }

    /// A shared hold with a descriptor of its own, which other threads of this process may have too.
    pub(crate) fn acquire_beside(self: &Arc<Self>, tie: Tie, patience: &Patience) -> Result<Hold> {
        let pass = self
            .gate
            .enter_beside(tie)
            .map_err(|refused| self.refusal(refused, patience))?;
        let mut hold = Hold {
            lock: Arc::clone(self),
            pass,
            guarded: AtomicBool::new(false),
            brought: AtomicUsize::new(0),
            generation: generation(),
            place: Place::Beside(None),
        };
        loop {
            let file = self.open(&self.names.lock)?;
            self.wait(
                &file,
                LockKind::Shared,
                &self.names.lock,
                patience,
                &mut false,
                &mut || (),
            )?;
            if self.is_at(&self.names.lock, &file)? {
                self.prove(&file)?;
                hold.place = Place::Beside(Some(file));
                return Ok(hold);
            }
        }
    }

    /// Takes the lock, and the guard if so much care is asked for, or if this is the first change under a lock file that was opened,
    /// be it by who only looked: it may have the number of one that was removed, of which somebody believes that it will never be
    /// seen again (INV-31). Whether the guard is held.
    fn take(
        &self,
        kind: LockKind,
        care: Care,
        patience: &Patience,
        waited: &mut bool,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<bool> {
        let mut files = self.files();
        let is_lost = self.lost.swap(false, Ordering::Relaxed);
        let check = care != Care::AtCommit || is_lost || files.lock.is_none();
        let (slot, path) = (&mut files.lock, &self.names.lock);
        let (lock, is_new) =
            self.take_file(slot, path, kind, check, patience, waited, meanwhile)?;
        self.prove(lock)?;
        files.is_fresh |= is_new;
        let guarded = care == Care::Guarded || (care == Care::AtCommit && files.is_fresh);
        drop(files);
        if guarded {
            self.take_guard(patience, waited)?;
        }
        Ok(guarded)
    }

    /// INV-13. Lock before guard, always; a program that unlinks the lock file leaves two holders of "the" lock, and this
    /// is where the second one waits.
    fn take_guard(&self, patience: &Patience, waited: &mut bool) -> Result<()> {
        let files = &mut *self.files();
        let (slot, path) = (&mut files.guard, &self.names.guard);
        let kind = LockKind::Exclusive;
        self.take_file(slot, path, kind, true, patience, waited, &mut || ())?;
        files.is_fresh = false;
        Ok(())
    }

    /// INV-12: what is locked is what stands at the path; otherwise somebody else locks another file. The file, and whether it was
    /// opened just now.
    #[expect(
        clippy::too_many_arguments,
        reason = "what is locked, how, and how to wait for it"
    )]
    fn take_file<'a>(
        &self,
        slot: &'a mut Option<LockFile>,
        path: &str,
        kind: LockKind,
        check: bool,
        patience: &Patience,
        waited: &mut bool,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(&'a LockFile, bool)> {
        loop {
            // A descriptor that fails, or is no longer the file at the path, is closed, which gives up its lock.
            let (file, is_new) = match slot.take() {
                Some(file) => (file, false),
                None => (self.open(path)?, true),
            };
            self.wait(&file, kind, path, patience, waited, meanwhile)?;
            if !check || self.is_at(path, &file)? {
                return Ok((slot.insert(file), is_new));
            }
            self.new_counts().new.replaced += 1;
        }
    }

    /// Tries, and sleeps on the bell between tries.
    fn wait(
        &self,
        file: &LockFile,
        kind: LockKind,
        path: &str,
        patience: &Patience,
        waited: &mut bool,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<()> {
        let tried = |file: &LockFile| {
            file.try_lock(kind)
                .map_err(|error| self.lock_error(path, error))
        };
        for pause in PAUSES {
            if tried(file)? {
                return Ok(());
            }
            *waited = true;
            let Some(pause) = patience.slice(Duration::from_micros(pause)) else {
                break;
            };
            meanwhile();
            self.store.system().sleep(pause);
        }
        loop {
            if patience.left().is_none() {
                return Err(self.timed_out(path, Some(file), patience));
            }
            let seen = self.bell().announce();
            if tried(file)? {
                return Ok(());
            }
            self.bell().sleep(seen, patience)?;
            patience.ask_sometimes()?;
        }
    }

    fn open(&self, path: &str) -> Result<LockFile> {
        let open = || LockFile::open(&*self.store, path, Open::Shared { mode: self.mode });
        let opened = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_directories().map_err(|error| {
                    Error::io("make", self.store.root().join(&self.names.directory), error)
                })?;
                open()
            }
            other => other,
        };
        opened.map_err(|error| Error::io("open the lock file", self.store.root().join(path), error))
    }

    fn make_directories(&self) -> io::Result<()> {
        let mode = self.store.root_stat()?.directory_mode();
        make_directories(&*self.store, &self.names.directory, mode)
    }

    fn is_at(&self, path: &str, file: &LockFile) -> Result<bool> {
        let stat = self.look_at(path)?;
        Ok(cfg!(mutant = "no_inode_check") || stat.is_some_and(|stat| stat.id == file.id))
    }

    fn is_at_its_path(&self, path: &str, file: Option<&LockFile>) -> Result<bool> {
        file.map_or(Ok(false), |file| self.is_at(path, file))
    }

    fn look_at(&self, path: &str) -> Result<Option<Stat>> {
        self.store.stat(path).map_err(|error| {
            Error::io("look at the lock file", self.store.root().join(path), error)
        })
    }

    /// Once per process and lock: a second descriptor must be refused while this process holds the lock.
    fn prove(&self, held: &LockFile) -> Result<()> {
        if self.allow_unverified || self.proved.load(Ordering::Relaxed) {
            return Ok(());
        }
        let path = self.store.root().join(&self.names.lock);
        let second = match LockFile::open(&*self.store, &self.names.lock, Open::Read) {
            // Somebody removed it just now; the check before the commit will see that.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|error| Error::io("open the lock file", &path, error))?,
        };
        if held.id == second.id
            && second
                .try_lock(LockKind::Exclusive)
                .map_err(|error| self.lock_error(&self.names.lock, error))?
        {
            let text = format!(
                "{}: the file system lets two holders have the same lock; use a local one",
                path.display()
            );
            return Err(Error::new(ErrorKind::UnsafeFilesystem, text).at(path));
        }
        self.proved.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn give_back(&self, guarded: bool, brought: usize) {
        let files = self.files();
        if let Some(guard) = files.guard.as_ref().filter(|_| guarded) {
            let _ = guard.unlock();
        }
        if let Some(lock) = &files.lock {
            let ring = self.bell().before_release(brought);
            if cfg!(mutant = "lock_unlinked") {
                let _ = self.store.remove(&self.names.lock);
            }
            // Explicitly, not by closing: a child that was forked meanwhile shares the descriptor.
            let _ = lock.unlock();
            self.bell().after_release(&ring);
        }
    }

    fn bell(&self) -> &Bell {
        self.bell
            .get_or_init(|| Bell::open(&self.store, &self.names, self.mode))
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        // Slots are set and cleared whole.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusal(&self, refused: Refused, patience: &Patience) -> Error {
        let path = self.store.root().join(&self.names.lock);
        match refused {
            Refused::TimedOut => self.timed_out(&self.names.lock, None, patience),
            Refused::Failed(error) => error,
            Refused::WouldDeadlock => {
                let text = format!(
                    "this thread already holds {} or waits for it; finish the open change, release the lock, or leave the signal handler first",
                    path.display()
                );
                Error::new(ErrorKind::WouldDeadlock, text).at(path)
            }
        }
    }

    fn timed_out(&self, path: &str, file: Option<&LockFile>, patience: &Patience) -> Error {
        let mut counts = self.new_counts();
        // Who tries once has not waited in vain.
        counts.new.timed_out += u64::from(!patience.tries_once());
        counts.new.waited(patience.waited());
        drop(counts);
        let path = self.store.root().join(path);
        let holder = match file.map(|file| file.lock_holder()) {
            None => "another thread of this process".to_owned(),
            Some(Some(pid)) => format!("process {pid}"),
            Some(None) => "another process".to_owned(),
        };
        let waited = patience.waited().as_millis();
        let text = format!(
            "{} is held by {holder}; gave up after {waited} ms, nothing was changed",
            path.display()
        );
        Error::new(ErrorKind::LockTimeout, text).at(path)
    }

    fn lock_error(&self, path: &str, error: io::Error) -> Error {
        let path = self.store.root().join(path);
        match error.raw_os_error() {
            Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::ENOLCK | libc::EBADF) => {
                Error::io("lock", path, error).into_kind(
                    ErrorKind::UnsafeFilesystem,
                    "locks do not work on this file system: ",
                )
            }
            _ => Error::io("lock", path, error),
        }
    }
}

/// Makes a directory below the root, and those on the way to it.
pub(crate) fn make_directories(store: &dyn Store, directory: &str, mode: u32) -> io::Result<()> {
    let ends = directory
        .match_indices('/')
        .map(|(end, _)| end)
        .chain([directory.len()]);
    for end in ends {
        if let Some(part) = directory.get(..end) {
            store.make_directory(part, mode)?;
        }
    }
    Ok(())
}

impl Hold {
    /// Whether the lock file is still the file at its path; asked again just before a file is replaced.
    pub(crate) fn is_current(&self) -> Result<bool> {
        self.check_process()?;
        Ok(self.has_its_lock()? && (!self.is_guarded() || self.has_its_guard()?))
    }

    /// Whether nobody can have begun a new generation of the journal that belongs to the lock file that is held: it still has
    /// its name, or the guard is held, which that takes.
    pub(crate) fn keeps_its_journal(&self) -> Result<bool> {
        if self.is_guarded() {
            return self.has_its_guard();
        }
        let has_its_lock = self.has_its_lock()?;
        self.lock.lost.store(!has_its_lock, Ordering::Relaxed);
        Ok(has_its_lock)
    }

    /// Whether nobody appends from now on to a journal that belongs to this lock file without learning that it has been
    /// replaced: it is the one that is held, or has lost its name, which whoever appends finds out afterwards.
    pub(crate) fn ends_journal_of(&self, lock: u64) -> Result<bool> {
        if !self.has_its_guard()? {
            return Ok(false);
        }
        let at_path = self.lock.look_at(&self.lock.names.lock)?;
        let (held, at_path) = (self.lock_file()?, at_path.map(|stat| stat.id.inode));
        self.lock
            .lost
            .store(at_path != Some(held), Ordering::Relaxed);
        Ok(held == lock || at_path != Some(lock))
    }

    fn has_its_lock(&self) -> Result<bool> {
        let files = self.lock.files();
        self.lock
            .is_at_its_path(&self.lock.names.lock, files.lock.as_ref())
    }

    fn has_its_guard(&self) -> Result<bool> {
        let files = self.lock.files();
        self.lock
            .is_at_its_path(&self.lock.names.guard, files.guard.as_ref())
    }

    /// The inode number of the lock file that is held. No other file can have it as long as this one is open.
    pub(crate) fn lock_file(&self) -> Result<u64> {
        self.check_process()?;
        let files = self.lock.files();
        Ok(files.lock.as_ref().map_or(0, |file| file.id.inode))
    }

    pub(crate) fn is_guarded(&self) -> bool {
        self.guarded.load(Ordering::Relaxed)
    }

    /// So many messages were made ready.
    pub(crate) fn brought(&self, messages: usize) {
        self.brought.fetch_add(messages, Ordering::Relaxed);
    }

    /// Takes the guard as well. What was read under the lock alone may be old.
    pub(crate) fn guard(&self, patience: &Patience) -> Result<()> {
        self.check_process()?;
        self.guarded.store(true, Ordering::Relaxed);
        self.lock.take_guard(patience, &mut false)
    }

    /// Takes the lock again from the start, because its file was replaced. What was read under it may be old.
    pub(crate) fn renew(&self, patience: &Patience) -> Result<()> {
        self.check_process()?;
        // Everything is let go first: another process may hold the new lock file and wait for the guard.
        self.lock.give_back(self.is_guarded(), 0);
        let care = if self.is_guarded() {
            Care::Guarded
        } else {
            Care::AtCommit
        };
        self.lock.lost.store(true, Ordering::Relaxed);
        let guarded =
            self.lock
                .take(LockKind::Exclusive, care, patience, &mut false, &mut || ())?;
        self.guarded.store(guarded, Ordering::Relaxed);
        Ok(())
    }

    /// A hold does not survive a fork: the child has neither the lock nor the descriptor.
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.generation == generation() {
            Ok(())
        } else {
            Err(Error::new(
                ErrorKind::Closed,
                "the change was begun by the process before the fork; begin it again in this one",
            ))
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.generation != generation() {
            return;
        }
        match &self.place {
            Place::Inside => {
                let brought = self.brought.load(Ordering::Relaxed);
                self.lock.give_back(self.is_guarded(), brought);
                self.lock.gate.leave(&self.pass);
            }
            Place::Beside(file) => {
                if let Some(file) = file {
                    let ring = self.lock.bell().before_release(0);
                    let _ = file.unlock();
                    self.lock.bell().after_release(&ring);
                }
                self.lock.gate.leave_beside(&self.pass);
            }
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::store::fault::FaultStore;
    use crate::store::patience::LockWait;

    /// Whoever cannot have a shared lock has nothing to give back.
    #[test]
    fn a_shared_lock_that_cannot_be_had_takes_the_lock_from_nobody() {
        let store = FaultStore::new();
        let lock_of = |store: FaultStore| {
            let store: Arc<dyn Store> = Arc::new(store);
            let names = LockNames::new(".gastown/locks", "inbound.json");
            Arc::new(Lock::new(&store, names, 0o644, true))
        };
        let (here, there) = (lock_of(store.clone()), lock_of(store.another_process()));
        let at_once = || Patience::new(LockWait::NoWait, None);
        let try_exclusive = |lock: &Arc<Lock>| {
            lock.acquire(LockKind::Exclusive, Care::Guarded, Tie::None, &at_once())
        };
        let held = try_exclusive(&here).unwrap();
        for lock in [&here, &there] {
            assert!(lock.acquire_beside(Tie::None, &at_once()).is_err());
            for lock in [&here, &there] {
                let refused = try_exclusive(lock).unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::LockTimeout);
            }
        }
        assert!(held.is_current().unwrap());
        drop(held);
        drop(try_exclusive(&there).unwrap());
        let shared = here.acquire_beside(Tie::None, &at_once()).unwrap();
        assert!(try_exclusive(&there).is_err());
        drop(shared);
        drop(try_exclusive(&here).unwrap());
    }

    #[test]
    fn the_first_change_under_a_lock_file_holds_the_guard_also_when_it_was_opened_to_look() {
        let store: Arc<dyn Store> = Arc::new(FaultStore::new());
        let names = LockNames::new(".gastown/locks", "inbound.json");
        let lock = Arc::new(Lock::new(&store, names, 0o644, true));
        let acquire = |kind, care| {
            let patience = Patience::new(LockWait::NoWait, None);
            lock.acquire(kind, care, Tie::Thread, &patience).unwrap()
        };
        drop(acquire(LockKind::Shared, Care::Checked));
        assert!(acquire(LockKind::Exclusive, Care::AtCommit).is_guarded());
        assert!(!acquire(LockKind::Exclusive, Care::AtCommit).is_guarded());
        store.remove(".gastown/locks/inbound.json.lock").unwrap();
        drop(acquire(LockKind::Shared, Care::Checked));
        assert!(acquire(LockKind::Exclusive, Care::AtCommit).is_guarded());
    }
}
