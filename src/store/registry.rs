//! One in-memory state per queue and process, whoever opens it and how often.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, Weak};

use super::files::Files;
use super::lock::Lock;
use super::real::{descriptors, generation};
use super::{FileId, Store};
use crate::format::name::LockNames;
use crate::format::time::Timestamp;
use crate::sync::{Mutex, MutexGuard};

/// What all handles of one file share.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) lock: Arc<Lock>,
    state: Mutex<State>,
}

/// What is known of a queue; used by whoever holds its lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) files: Files,
    /// The latest `queued_at` that this process has written: a clock that jumps back must not reorder its messages.
    pub(crate) last_queued: Option<Timestamp>,
    /// When (boot clock) the consumers were last looked at.
    pub(crate) probed_ms: u64,
    /// When (boot clock) moves could not be brought to their end.
    pub(crate) stuck_ms: Option<u64>,
    /// Whether left-over temporary files have been removed.
    pub(crate) swept: bool,
}

/// Fork generation, directory, path of the lock file. A new generation finds nothing of the old one.
type Key = (u64, FileId, String);

/// Taken only under the descriptors' mutex, so that no fork finds it locked.
static ENTRIES: std::sync::Mutex<Option<HashMap<Key, Weak<Entry>>>> = std::sync::Mutex::new(None);

/// The entry of a file; a lock that is already in use keeps the options of its first user.
pub(crate) fn entry(
    store: &Arc<dyn Store>,
    root: FileId,
    names: &LockNames,
    mode: u32,
    allow_unverified: bool,
) -> Arc<Entry> {
    let _no_fork = descriptors();
    let mut entries = ENTRIES.lock().unwrap_or_else(PoisonError::into_inner);
    let entries = entries.get_or_insert_default();
    let key = (generation(), root, names.lock.clone());
    if let Some(found) = entries.get(&key).and_then(Weak::upgrade) {
        return found;
    }
    entries.retain(|_, entry| entry.strong_count() > 0);
    let lock = Arc::new(Lock::new(store, names.clone(), mode, allow_unverified));
    let made = Arc::new(Entry {
        lock,
        state: Mutex::new(State::new()),
    });
    entries.insert(key, Arc::downgrade(&made));
    made
}

impl Entry {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            // A panic halfway through a change: forget what was known and read the file again.
            let mut state = poisoned.into_inner();
            *state = State::new();
            self.state.clear_poison();
            state
        })
    }
}

impl State {
    fn new() -> Self {
        Self {
            files: Files::new(),
            last_queued: None,
            probed_ms: 0,
            stuck_ms: None,
            swept: false,
        }
    }
}
