//! The snapshot: one JSON array, read when it is another file than last time, replaced as a whole.

use std::sync::Arc;

use super::atomic::{Replacement, replace};
use super::{Attributes, File, Kind, Open, Stat, Store};
use crate::error::{Error, Result};
use crate::format::name::{QueueName, TEMPORARY_SUFFIX};
use crate::index::{Change, Index};

/// How often a file that changes while it is read is read again: only a program that writes in place does that.
const READ_TRIES: u32 = 20;

/// What this process knows of a queue's file.
#[derive(Debug)]
pub(crate) struct Snapshot {
    index: Index,
    seen: Seen,
}

#[derive(Debug)]
enum Seen {
    /// Not looked yet, or the last look failed.
    Nothing,
    /// There is no file: the queue is empty.
    Missing,
    File(SeenFile),
}

/// The version that the index was made from. The open descriptor keeps its inode number from being
/// used again, so that the same number at the path means the same file.
#[derive(Debug)]
struct SeenFile {
    file: Arc<dyn File>,
    stat: Stat,
    attributes: Attributes,
}

/// What a commit makes durable before it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    /// The change: content and name.
    Yes,
    /// The file is whole after a power cut, but it may be the one before.
    Whole,
    /// Nothing: left to the operating system.
    No,
}

impl Snapshot {
    pub(crate) fn new() -> Self {
        Self {
            index: Index::empty(),
            seen: Seen::Nothing,
        }
    }

    /// Brings the index up to date. Costs one look when nothing changed.
    pub(crate) fn refresh(&mut self, store: &dyn Store, name: &QueueName) -> Result<&mut Index> {
        let file_name = name.snapshot();
        let path = || store.root().join(&file_name);
        let looked = store
            .stat(&file_name)
            .map_err(|error| Error::io("look at", path(), error))?;
        match (&self.seen, looked) {
            (Seen::Missing, None) => return Ok(&mut self.index),
            (Seen::File(seen), Some(stat)) if seen.stat.same_content(&stat) => {
                return Ok(&mut self.index);
            }
            _ => {}
        }
        self.seen = Seen::Nothing;
        match looked {
            None => {
                self.index = Index::empty();
                self.seen = Seen::Missing;
            }
            Some(stat) if stat.kind != Kind::Regular => {
                return Err(Error::io(
                    "read",
                    path(),
                    super::real::not_regular(stat.kind),
                ));
            }
            Some(_) => {
                let (seen, bytes) =
                    read(store, &file_name).map_err(|error| Error::io("read", path(), error))?;
                self.index = Index::parse(&bytes)
                    .map_err(|damage| Error::corrupt(path(), damage.offset, &damage.rule))?;
                self.seen = Seen::File(seen);
            }
        }
        Ok(&mut self.index)
    }

    /// Writes the array with these changes. False: the lock is no longer ours, and nothing was changed.
    pub(crate) fn commit(
        &mut self,
        store: &dyn Store,
        name: &QueueName,
        changes: Vec<Change>,
        durable: Durable,
        still_ours: impl FnOnce() -> Result<bool>,
    ) -> Result<bool> {
        let file_name = name.snapshot();
        let attributes = match &self.seen {
            Seen::File(seen) => seen.attributes.clone(),
            _ => new_attributes(store)?,
        };
        let how = Replacement {
            name: &file_name,
            temporary: (&name.temp_prefix(), TEMPORARY_SUFFIX),
            attributes: &attributes,
            sync_content: durable != Durable::No,
            sync_name: durable == Durable::Yes,
        };
        let image = self.index.image(&changes);
        let replaced = replace(store, &how, &image, still_ours);
        let Some(file) = replaced.inspect_err(|_| self.seen = Seen::Nothing)? else {
            return Ok(false);
        };
        self.index.apply(changes);
        // The rename changed the file's change time: this is how the next look will see it.
        self.seen = match file.stat() {
            Ok(stat) => Seen::File(SeenFile {
                file,
                stat,
                attributes,
            }),
            Err(_) => Seen::Nothing,
        };
        Ok(true)
    }

    /// Makes what is there durable: the file's content, and its name.
    pub(crate) fn sync(&self, store: &dyn Store, name: &QueueName) -> Result<()> {
        let path = || store.root().join(name.snapshot());
        if let Seen::File(seen) = &self.seen {
            seen.file
                .sync()
                .map_err(|error| Error::io("sync", path(), error))?;
        }
        store
            .sync_directory("")
            .map_err(|error| Error::io("sync the directory of", path(), error))
    }
}

/// Removes what a process that died in a commit left behind. Under the queue's lock and guard:
/// nobody else is writing this queue's temporary files then.
pub(crate) fn remove_left_over(store: &dyn Store, name: &QueueName) {
    let prefix = name.temp_prefix();
    for found in store.list("").unwrap_or_default() {
        // Behind the prefix of `a` may stand a temporary file of the queue `a.json.b`; a random part has no dot.
        let random = found
            .strip_prefix(&prefix)
            .and_then(|rest| rest.strip_suffix(TEMPORARY_SUFFIX));
        if random.is_some_and(|random| !random.contains('.')) {
            let _ = store.remove(&found);
        }
    }
}

/// A new file takes its permissions from the directory's.
fn new_attributes(store: &dyn Store) -> Result<Attributes> {
    let root = store
        .root_stat()
        .map_err(|error| Error::io("look at", store.root(), error))?;
    Ok(Attributes {
        mode: root.file_mode(),
        owner: None,
        acl: None,
    })
}

fn read(store: &dyn Store, file_name: &str) -> std::io::Result<(SeenFile, Vec<u8>)> {
    let mut tries = 0;
    loop {
        let file = store.open(file_name, Open::Read)?;
        let before = file.stat()?;
        let bytes = file.read_all()?;
        let stat = file.stat()?;
        tries += 1;
        if stat.same_content(&before) || tries == READ_TRIES {
            let attributes = file.attributes()?;
            return Ok((
                SeenFile {
                    file,
                    stat,
                    attributes,
                },
                bytes,
            ));
        }
    }
}
