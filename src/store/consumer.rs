//! Consumers: a file per process and spool that shows by a record lock that its process lives.
//!
//! The record lock belongs to the process: a forked child does not have it, and the system drops
//! it the moment the process dies. It would also be dropped if the process closed *any* descriptor
//! of that file, so nothing here ever opens this process's own file again.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::lock::{LockFile, make_directories};
use super::real::{descriptors, generation};
use super::{FileId, Open, Store};
use crate::error::{Error, Result};
use crate::format::name::{CONSUMERS_DIRECTORY, QueueName};

/// This process as a consumer of one spool. Lives until the process ends.
#[derive(Debug)]
pub(crate) struct Consumer {
    name: Arc<str>,
    /// Holds the record lock; only kept.
    _file: LockFile,
}

/// By fork generation and spool. Taken only under the descriptors' mutex, so that no fork finds it locked.
static CONSUMERS: Mutex<Option<Consumers>> = Mutex::new(None);
type Consumers = HashMap<(u64, FileId), Arc<Consumer>>;

/// More dead files than this are swept.
const SWEEP_ABOVE: usize = 64;

/// This process's consumer of the spool; made at the first call.
pub(crate) fn consumer(store: &dyn Store, spool: FileId) -> Result<Arc<str>> {
    let known = |made: Option<Consumer>| {
        let no_fork = descriptors();
        let mut all = CONSUMERS.lock().unwrap_or_else(PoisonError::into_inner);
        let all = all.get_or_insert_default();
        let key = (generation(), spool);
        let found = match (all.get(&key), made) {
            (Some(found), loser) => {
                // Two threads at once: the second one's file has no lease that names it.
                let name = Arc::clone(&found.name);
                return (Some(name), loser);
            }
            (None, Some(made)) => all.entry(key).or_insert(Arc::new(made)),
            (None, None) => return (None, None),
        };
        let name = Arc::clone(&found.name);
        drop(no_fork);
        (Some(name), None)
    };
    if let (Some(name), _) = known(None) {
        return Ok(name);
    }
    let made = make(store).map_err(|error| {
        Error::io(
            "make a consumer's file in",
            store.root().join(CONSUMERS_DIRECTORY),
            error,
        )
    })?;
    sweep(store);
    let own = Arc::clone(&made.name);
    let (name, loser) = known(Some(made));
    if let Some(loser) = loser {
        let _ = store.remove(&path_of(&loser.name));
    }
    Ok(name.unwrap_or(own))
}

/// Forgets the file systems that a schedule had.
#[cfg(all(test, shuttle))]
pub(crate) fn forget() {
    *CONSUMERS.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Forgets the consumer of a simulated process that has ended.
#[cfg(all(test, not(shuttle)))]
pub(crate) fn forget_that_of(spool: FileId) {
    let no_fork = descriptors();
    let mut all = CONSUMERS.lock().unwrap_or_else(PoisonError::into_inner);
    let forgotten = all
        .as_mut()
        .and_then(|all| all.remove(&(generation(), spool)));
    drop((all, no_fork));
    // Behind the guards: closing its lock file takes the descriptors' mutex again.
    drop(forgotten);
}

/// Locked before it is linked into place: whoever finds the name finds the lock.
fn make(store: &dyn Store) -> io::Result<Consumer> {
    let root = store.root_stat()?;
    make_directories(store, CONSUMERS_DIRECTORY, root.directory_mode())?;
    let (pid, start) = store.system().process()?;
    let name = format!("{pid}-{start}-{:016x}", store.system().random());
    let unlocked = path_of(&format!(".{name}"));
    let file = LockFile::open(
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
        _file: file,
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

/// Removes the files of dead consumers that no lease names, in a snapshot or in a journal. A dead one takes no new lease, so the
/// answer cannot become wrong between the look and the removal.
fn sweep(store: &dyn Store) {
    let names: Vec<String> = store.list(CONSUMERS_DIRECTORY).unwrap_or_default();
    if names.len() <= SWEEP_ABOVE {
        return;
    }
    let mut dead: Vec<String> = names
        .into_iter()
        .filter(|name| is_dead(store, name))
        .collect();
    for file in store.list("").unwrap_or_default() {
        if QueueName::of_file(&file).is_none() {
            continue;
        }
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
