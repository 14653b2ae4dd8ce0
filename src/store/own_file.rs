//! Files whose descriptors end with the process that opened them.

use std::io;
use std::sync::{Arc, PoisonError};

use super::real::{descriptors, generation};
use super::{File, FileId, Open, Store};

/// An open file that a forked child must not share: the lock on it, or the place in it, is this process's. The fork handler knows
/// it.
#[derive(Debug)]
pub(crate) struct OwnFile {
    file: Arc<dyn File>,
    /// Which file it is: while it is open no other file can be that.
    pub(super) id: FileId,
    generation: u64,
}

impl OwnFile {
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

impl std::ops::Deref for OwnFile {
    type Target = dyn File;

    fn deref(&self) -> &(dyn File + 'static) {
        &*self.file
    }
}

/// Files of a parent that the fork handler closed in this process. Only a child uses it, and only after the fork.
static CLOSED_BY_FORK: std::sync::Mutex<Vec<Arc<dyn File>>> = std::sync::Mutex::new(Vec::new());

impl Drop for OwnFile {
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
