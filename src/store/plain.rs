//! A plain queue: one JSON array, read when it is another file than last time, replaced as a whole.

use std::sync::Arc;

use super::atomic::{Replacement, replace};
use super::{Attributes, File, Open, Stat, Store};
use crate::error::{Error, Result};
use crate::format::name::{QueueName, TEMPORARY_SUFFIX};
use crate::index::Index;

/// How often a file that changes while it is read is read again: only a program that writes in place does that.
const READ_TRIES: u32 = 20;

/// The version of the snapshot that the index was made from. The open descriptor keeps its inode number from being
/// used again, so that the same number at the path means the same file.
#[derive(Debug)]
pub(crate) struct Plain {
    file: Arc<dyn File>,
    stat: Stat,
    attributes: Attributes,
    /// No sync of this file has failed. After one that has, the next may succeed although the bytes are gone.
    is_sound: bool,
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

impl Plain {
    /// Reads the snapshot.
    pub(crate) fn open(store: &dyn Store, name: &QueueName) -> Result<(Self, Index)> {
        let path = || store.root().join(name.snapshot());
        let (plain, bytes) =
            read(store, &name.snapshot()).map_err(|error| Error::io("read", path(), error))?;
        let index = Index::parse(&bytes)
            .map_err(|damage| Error::corrupt(path(), damage.offset, &damage.rule))?;
        Ok((plain, index))
    }

    /// Whether this is what was read.
    pub(crate) fn is(&self, stat: &Stat) -> bool {
        self.stat.same_content(stat)
    }

    pub(crate) fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Writes the array with these changes. None: the lock is no longer ours, and nothing was changed.
    pub(crate) fn commit(
        before: Option<&Self>,
        file_mode: Option<u32>,
        store: &dyn Store,
        name: &QueueName,
        image: &[u8],
        durable: Durable,
        still_ours: impl FnOnce() -> Result<bool>,
    ) -> Result<Option<Self>> {
        let attributes = match before {
            Some(before) => before.attributes.clone(),
            None => new_attributes(store, file_mode)?,
        };
        let file_name = name.snapshot();
        let how = Replacement {
            name: &file_name,
            temporary: (&name.temp_prefix(), TEMPORARY_SUFFIX),
            attributes: &attributes,
            sync_content: durable != Durable::No,
            sync_name: durable == Durable::Yes,
        };
        let Some(file) = replace(store, &how, image, still_ours)? else {
            return Ok(None);
        };
        // The rename changed the file's change time: this is how the next look will see it. The change is made: where it
        // cannot be seen how the file is now, it is another one at the next look, and read again.
        let stat = file.stat().unwrap_or(Stat::UNSEEN);
        Ok(Some(Self {
            file,
            stat,
            attributes,
            is_sound: true,
        }))
    }

    /// The file as it was when it was read or written.
    pub(crate) fn stat(&self) -> &Stat {
        &self.stat
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.is_sound
    }

    /// Makes the file's content durable.
    pub(crate) fn sync(&mut self, store: &dyn Store, name: &QueueName) -> Result<()> {
        self.file.sync().map_err(|error| {
            self.is_sound = false;
            Error::io("sync", store.root().join(name.snapshot()), error)
        })
    }
}

/// Replaces the snapshot, durably.
pub(crate) fn replace_snapshot(
    store: &dyn Store,
    name: &QueueName,
    attributes: &Attributes,
    image: &[u8],
) -> Result<()> {
    let file_name = name.snapshot();
    let how = Replacement {
        name: &file_name,
        temporary: (&name.temp_prefix(), TEMPORARY_SUFFIX),
        attributes,
        sync_content: true,
        sync_name: true,
    };
    replace(store, &how, image, || Ok(true)).map(drop)
}

/// The bytes of a file that did not change while it was read.
pub(crate) fn read(store: &dyn Store, file_name: &str) -> std::io::Result<(Plain, Vec<u8>)> {
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
                Plain {
                    file,
                    stat,
                    attributes,
                    is_sound: true,
                },
                bytes,
            ));
        }
    }
}

/// A new file takes its permissions from the directory's, unless others are configured.
pub(crate) fn new_attributes(store: &dyn Store, mode: Option<u32>) -> Result<Attributes> {
    let root = store
        .root_stat()
        .map_err(|error| Error::io("look at", store.root(), error))?;
    Ok(Attributes {
        mode: mode.unwrap_or(root.file_mode()),
        owner: None,
        acl: None,
    })
}
