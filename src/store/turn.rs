//! Whose turn it is to make a checkpoint: one process, and in it one thread, at a time. Kept apart from the queue's lock,
//! so that the others go on sending and receiving meanwhile.

use std::time::Duration;

use super::own_file::OwnFile;
use super::patience::Patience;
use super::{LockKind, Open, Store};
use crate::error::{Error, Result};

/// How often it is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(1);

/// The turn; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(OwnFile);

/// Waits for the turn as long as the patience allows; `None` when somebody else has it for longer.
pub(crate) fn take(
    store: &dyn Store,
    path: &str,
    mode: u32,
    patience: &Patience,
) -> Result<Option<Turn>> {
    let failed = |error| Error::io("lock", store.root().join(path), error);
    let file = OwnFile::open(store, path, Open::Shared { mode }).map_err(failed)?;
    loop {
        if file.try_lock(LockKind::Exclusive).map_err(failed)? {
            return Ok(Some(Turn(file)));
        }
        let Some(slice) = patience.slice(ASK_AGAIN) else {
            return Ok(None);
        };
        store.system().sleep(slice);
        patience.ask_sometimes()?;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Explicitly: a child that was forked meanwhile shares the descriptor. In that child it is not the turn.
        if self.0.is_ours() {
            let _ = self.0.unlock();
        }
    }
}
