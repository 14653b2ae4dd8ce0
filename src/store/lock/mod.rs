//! The lock protocol of `docs/format.md`: flock(2) on a file that is never unlinked, renamed or
//! truncated here, proved after every acquisition to be still the file at its path, and a second
//! lock that other programs do not know.

mod hold;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use super::counters::LockCounts;
use super::gate::{Gate, Refused, Tie};
use super::own_file::OwnFile;
use super::patience::Patience;
use super::real::generation;
use super::sleepers::Sleepers;
use super::wake::Bell;
use super::{LockKind, Open, Stat, Store, make_directories};
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::LockNames;
use crate::sync::{Mutex, MutexGuard};
pub(crate) use hold::Hold;
use hold::Place;

/// How long (in microseconds) a lock that somebody has is left alone between the first tries. Most holds are shorter than the
/// time it takes to be woken, and eight processes get more done when one of them has the lock several times before it goes to
/// another processor.
const PAUSES: [u64; 14] = [0, 0, 0, 0, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50];

/// So often (in milliseconds) the use of a lock is written down.
const COUNT_EVERY_MS: u64 = 1000;

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
    lock: Option<OwnFile>,
    guard: Option<OwnFile>,
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
        let proved = self.prove(lock);
        // Also when it could not be asked what it is: it stays open.
        files.is_fresh |= is_new;
        proved?;
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
        slot: &'a mut Option<OwnFile>,
        path: &str,
        kind: LockKind,
        check: bool,
        patience: &Patience,
        waited: &mut bool,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(&'a OwnFile, bool)> {
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
        file: &OwnFile,
        kind: LockKind,
        path: &str,
        patience: &Patience,
        waited: &mut bool,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<()> {
        let tried = |file: &OwnFile| {
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

    fn open(&self, path: &str) -> Result<OwnFile> {
        let open = || OwnFile::open(&*self.store, path, Open::Shared { mode: self.mode });
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

    fn is_at(&self, path: &str, file: &OwnFile) -> Result<bool> {
        let stat = self.look_at(path)?;
        Ok(cfg!(mutant = "no_inode_check") || stat.is_some_and(|stat| stat.id == file.id))
    }

    fn is_at_its_path(&self, path: &str, file: Option<&OwnFile>) -> Result<bool> {
        file.map_or(Ok(false), |file| self.is_at(path, file))
    }

    fn look_at(&self, path: &str) -> Result<Option<Stat>> {
        self.store.stat(path).map_err(|error| {
            Error::io("look at the lock file", self.store.root().join(path), error)
        })
    }

    /// Once per process and lock: a second descriptor must be refused while this process holds the lock.
    fn prove(&self, held: &OwnFile) -> Result<()> {
        let is_trusted = self.allow_unverified || cfg!(mutant = "lock_unproved");
        if is_trusted || self.proved.load(Ordering::Relaxed) {
            return Ok(());
        }
        let path = self.store.root().join(&self.names.lock);
        let second = match OwnFile::open(&*self.store, &self.names.lock, Open::Read) {
            // Somebody removed it just now; the check before the commit will see that.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|error| Error::io("open the lock file", &path, error))?,
        };
        if held.id != second.id {
            // Somebody has put another one there just now: the next one is tried.
            return Ok(());
        }
        if second
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

    fn timed_out(&self, path: &str, file: Option<&OwnFile>, patience: &Patience) -> Error {
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
