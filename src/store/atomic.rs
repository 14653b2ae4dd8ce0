//! Replacing a whole file so that every reader, and every crash, sees the old one or the new one.

use std::io;
use std::sync::Arc;

use super::{Attributes, File, Store};
use crate::error::{Error, ErrorKind, Result};

/// How a file is replaced.
#[derive(Debug)]
pub(crate) struct Replacement<'a> {
    /// The file's name in the root.
    pub(crate) name: &'a str,
    /// What the temporary file's name begins and ends with, so that its owner knows it again after a crash.
    pub(crate) temporary: (&'a str, &'a str),
    pub(crate) attributes: &'a Attributes,
    /// Sync the new bytes before the rename: without it a power cut can leave an empty or zeroed file.
    pub(crate) sync_content: bool,
    /// Sync the directory after the rename: without it a power cut can bring the old file back.
    pub(crate) sync_name: bool,
}

/// Writes `bytes` under a temporary name, syncs, asks `still_ours`, renames, syncs the directory.
/// `None`: the answer was no, and nothing was changed.
pub(crate) fn replace(
    store: &dyn Store,
    how: &Replacement<'_>,
    bytes: &[u8],
    still_ours: impl FnOnce() -> Result<bool>,
) -> Result<Option<Arc<dyn File>>> {
    let path = || store.root().join(how.name);
    let made = store.temporary(how.temporary.0, how.temporary.1);
    let (file, name) =
        made.map_err(|error| Error::io("make a temporary file for", path(), error))?;
    let written = write(&*file, how, bytes)
        .map_err(|error| Error::io("write a new version of", path(), error));
    match written.and_then(|()| still_ours()) {
        Ok(true) => {}
        other => {
            // Best effort: a left-over file is removed by the next process that takes the queue's lock.
            let _ = store.remove(&name);
            return other.map(|_| None);
        }
    }
    if let Err(error) = store.rename(&name, how.name) {
        let _ = store.remove(&name);
        return Err(Error::io("replace", path(), error));
    }
    if how.sync_name && !cfg!(mutant = "no_directory_sync") {
        // Makes the rename durable. From here on the change is visible, so a failure is not "not done".
        store.sync_directory("").map_err(|error| {
            Error::io("sync the directory of", path(), error)
                .into_kind(
                    ErrorKind::OutcomeUnknown,
                    &format!("{} is written but may not outlive a power cut: ", how.name),
                )
                .made()
        })?;
    }
    Ok(Some(file))
}

fn write(file: &dyn File, how: &Replacement<'_>, bytes: &[u8]) -> io::Result<()> {
    file.set_attributes(how.attributes)?;
    file.write_all(bytes)?;
    if how.sync_content {
        // Makes the new bytes durable before any name leads to them.
        file.sync()?;
    }
    Ok(())
}
