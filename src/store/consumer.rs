//! Consumers: a file per process and spool that shows by a record lock that its process lives.
//!
//! The record lock belongs to the process: a forked child does not have it, and the system drops
//! it the moment the process dies. It would also be dropped if the process closed *any* descriptor
//! of that file, so nothing here ever opens this process's own file again.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::make_directories;
use super::own_file::OwnFile;
use super::real::{descriptors, generation};
use super::{FileId, Open, Store};
use crate::error::{Error, Result};
use crate::format::name::{CONSUMERS_DIRECTORY, JOURNAL, QueueName};

/// This process as a consumer of one spool. Lives until the process ends.
#[derive(Debug)]
pub(crate) struct Consumer {
    name: Arc<str>,
    /// Holds the record lock.
    file: OwnFile,
    /// When its file was last looked for, on the boot clock.
    looked_ms: AtomicU64,
    /// The one before, whose file somebody has moved away: it lives on for the leases that name it.
    _before: Option<Arc<Consumer>>,
}

/// By fork generation and spool. Taken only under the descriptors' mutex, so that no fork finds it locked.
static CONSUMERS: Mutex<Option<Consumers>> = Mutex::new(None);
type Consumers = HashMap<(u64, FileId), Arc<Consumer>>;

/// More dead files than this are swept.
const SWEEP_ABOVE: usize = 64;

/// So often (in milliseconds) the consumer's file is looked for.
const LOOK_EVERY_MS: u64 = 1000;

impl Consumer {
    /// Whether others find its file. Who has removed it has taken the sign of life away; and of a spool that is gone another one
    /// may have got the inode number.
    fn is_there(&self, store: &dyn Store) -> bool {
        let now = store.system().boot_ms();
        if now.abs_diff(self.looked_ms.load(Ordering::Relaxed)) < LOOK_EVERY_MS {
            return true;
        }
        let looked = store.stat(&path_of(&self.name));
        // A look that fails proves nothing.
        let is_there = looked.map_or(true, |stat| {
            stat.is_some_and(|stat| stat.id == self.file.id)
        });
        if is_there {
            self.looked_ms.store(now, Ordering::Relaxed);
        }
        is_there
    }
}

/// This process's consumer of the spool; made at the first call.
pub(crate) fn consumer(store: &dyn Store, spool: FileId) -> Result<Arc<str>> {
    let key = (generation(), spool);
    let known = with_consumers(|all| all.get(&key).map(Arc::clone));
    let before = match known {
        Some(known) if known.is_there(store) => return Ok(Arc::clone(&known.name)),
        gone => gone,
    };
    // One without a name shows nobody that this process lives.
    let shows = |known: &Arc<Consumer>| known.file.stat().is_ok_and(|stat| stat.links > 0);
    let made = make(store, before.clone().filter(shows)).map_err(|error| {
        Error::io(
            "make a consumer's file in",
            store.root().join(CONSUMERS_DIRECTORY),
            error,
        )
    })?;
    sweep(store);
    let made = Arc::new(made);
    let kept = with_consumers(|all| {
        let is_gone =
            |known: &Arc<Consumer>| before.as_ref().is_some_and(|gone| Arc::ptr_eq(gone, known));
        match all.get(&key) {
            // Two threads at once.
            Some(other) if !is_gone(other) => Arc::clone(other),
            _ => {
                all.insert(key, Arc::clone(&made));
                Arc::clone(&made)
            }
        }
    });
    if !Arc::ptr_eq(&kept, &made) {
        // No lease names it.
        let _ = store.remove(&path_of(&made.name));
    }
    Ok(Arc::clone(&kept.name))
}

fn with_consumers<T>(job: impl FnOnce(&mut Consumers) -> T) -> T {
    let _no_fork = descriptors();
    let mut all = CONSUMERS.lock().unwrap_or_else(PoisonError::into_inner);
    job(all.get_or_insert_default())
}

/// Forgets the file systems that a schedule had.
#[cfg(all(test, shuttle))]
pub(crate) fn forget() {
    *CONSUMERS.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Forgets the consumer of a simulated process that has ended.
#[cfg(all(test, not(shuttle)))]
pub(crate) fn forget_that_of(spool: FileId) {
    let forgotten = with_consumers(|all| all.remove(&(generation(), spool)));
    // Without the mutex: closing its lock file takes it.
    drop(forgotten);
}

/// Locked before it is linked into place: whoever finds the name finds the lock.
fn make(store: &dyn Store, before: Option<Arc<Consumer>>) -> io::Result<Consumer> {
    let root = store.root_stat()?;
    make_directories(store, CONSUMERS_DIRECTORY, root.directory_mode())?;
    let (pid, start) = store.system().process()?;
    let name = format!("{pid}-{start}-{:016x}", store.system().random());
    let unlocked = path_of(&format!(".{name}"));
    let file = OwnFile::open(
        store,
        &unlocked,
        Open::New {
            mode: root.file_mode(),
        },
    )?;
    file.lock_record()?;
    store.rename(&unlocked, &path_of(&name))?;
    Ok(Consumer {
        name: Arc::from(name),
        file,
        looked_ms: AtomicU64::new(store.system().boot_ms()),
        _before: before,
    })
}

/// Whether the consumer is known to be dead. Everything else, a missing file too, proves nothing.
pub(crate) fn is_dead(store: &dyn Store, name: &str) -> bool {
    let Some((pid, start)) = parts(name) else {
        return false;
    };
    // This process, perhaps through another copy of the library: alive, and its file must not be opened here.
    let is_own = |own: (u32, u64)| (pid, start) == own;
    if store
        .system()
        .process()
        .map_or(pid == std::process::id(), is_own)
    {
        return false;
    }
    match store.open(&path_of(name), Open::Read) {
        Ok(file) => matches!(file.record_is_locked(), Ok(false)),
        Err(_) => false,
    }
}

/// `PID-STARTTIME-RANDOM`. A lease is read from a file that anybody may have written.
fn parts(name: &str) -> Option<(u32, u64)> {
    let mut parts = name.split('-');
    let (pid, start, random) = (
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
        parts.next()?,
    );
    let sound = random.len() == 16
        && random.bytes().all(|byte| byte.is_ascii_hexdigit())
        && parts.next().is_none();
    sound.then_some((pid, start))
}

fn path_of(name: &str) -> String {
    format!("{CONSUMERS_DIRECTORY}/{name}")
}

/// Removes the files of dead consumers that no lease names, in a snapshot or in a journal. A dead one takes no new lease: what is
/// named nowhere stays so.
fn sweep(store: &dyn Store) {
    let names: Vec<String> = store.list(CONSUMERS_DIRECTORY).unwrap_or_default();
    if names.len() <= SWEEP_ABOVE {
        return;
    }
    let mut dead: Vec<String> = names
        .into_iter()
        .filter(|name| is_dead(store, name))
        .collect();
    let mut files = store.list("").unwrap_or_default();
    files.retain(|file| QueueName::of_file(file).is_some());
    // Journals first: a checkpoint takes a lease from a journal into a snapshot, and never back.
    files.sort_by_key(|file| !file.ends_with(JOURNAL));
    for file in files {
        // What cannot be read may name any of them.
        let Ok(bytes) = store
            .open(&file, Open::Read)
            .and_then(|opened| opened.read_all())
        else {
            return;
        };
        let text = String::from_utf8_lossy(&bytes);
        dead.retain(|name| !text.contains(name.as_str()));
    }
    for name in dead {
        let _ = store.remove(&path_of(&name));
    }
}
