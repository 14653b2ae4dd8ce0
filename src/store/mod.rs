//! Effects. Everything that flockq does to the world goes through the traits on this page:
//! [`real`] does it, [`fault`] pretends to and fails on demand. Paths are relative to the
//! store's root and never leave it.
//!
//! Lock order, everywhere: the gate of a queue (threads of this process), its lock file, its
//! guard file, then the mutex of its state. The registry's mutex is taken last and briefly.

pub(crate) mod atomic;
pub(crate) mod consumer;
pub(crate) mod counters;
#[cfg(test)]
pub(crate) mod fault;
pub(crate) mod files;
pub(crate) mod gate;
pub(crate) mod journal;
pub(crate) mod lock;
pub(crate) mod own_file;
pub(crate) mod patience;
pub(crate) mod plain;
pub(crate) mod real;
pub(crate) mod registry;
pub(crate) mod repair;
pub(crate) mod sleepers;
pub(crate) mod turn;
pub(crate) mod wake;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::format::journal::Written;
use crate::format::time::Timestamp;

/// Which file a path or a descriptor stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// What `stat` says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) id: FileId,
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    /// Modification and change time in nanoseconds: a program that writes the file in place shows here.
    pub(crate) modified: i128,
    pub(crate) changed: i128,
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    pub(crate) group: u32,
    /// How many names it has.
    pub(crate) links: u64,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Regular,
    Directory,
    Symlink,
    Other,
}

/// How a file is opened. Never through a symbolic link, never truncating, never blocking on a FIFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Open {
    /// To read; the file must exist.
    Read,
    /// To read and write; the file must exist.
    Write,
    /// To read and write; made with this mode when it is missing.
    Shared { mode: u32 },
    /// To add to, whatever others add at the same time: what is written goes behind what is there by then. Made with this mode
    /// when it is missing.
    Append { mode: u32 },
    /// To read and write; it must not exist.
    New { mode: u32 },
}

/// Shared or exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockKind {
    /// Others may hold it shared at the same time.
    Shared,
    /// Nobody else holds it.
    Exclusive,
}

/// What a replaced file keeps: its mode, owner, group and access control list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) acl: Option<Vec<u8>>,
}

/// The root of the files that one spool (or one locked file's directory) has.
pub(crate) trait Store: Debug + Send + Sync {
    /// Where the root is, for messages.
    fn root(&self) -> &Path;
    /// What the root is.
    fn root_stat(&self) -> io::Result<Stat>;
    /// The name of the file system under the root, and whether locks are known to exclude on it.
    fn file_system(&self) -> io::Result<(String, bool)>;
    /// The bytes that are free for this user, and all bytes, of the file system under the root.
    fn space(&self) -> io::Result<(u64, u64)>;
    /// Opens a regular file; anything else at the path is an error.
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>>;
    /// A new file with a random name that begins with `prefix` and ends with `suffix`, in the root.
    fn temporary(&self, prefix: &str, suffix: &str) -> io::Result<(Arc<dyn File>, String)>;
    /// What stands at the path, not following a link; `None` when nothing does.
    fn stat(&self, path: &str) -> io::Result<Option<Stat>>;
    /// Renames over whatever is at `to`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Gives the file at `from` a second name, which must not be there yet.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Makes a directory with exactly this mode; that it exists is fine.
    fn make_directory(&self, path: &str, mode: u32) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &str) -> io::Result<()>;
    /// The names in a directory; none when it does not exist.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;
    /// A page of words that processes wait on; [`wake`] says what the words are.
    fn page(&self, path: &str, mode: u32) -> io::Result<Arc<dyn Page>>;
    /// A watch that reports when files change.
    fn watch(&self, what: &Watched) -> io::Result<Box<dyn Watch>>;
    /// Time, identity and chance.
    fn system(&self) -> &dyn System;
}

/// An open file.
pub(crate) trait File: Debug + Send + Sync {
    fn stat(&self) -> io::Result<Stat>;
    fn read_all(&self) -> io::Result<Vec<u8>>;
    fn write_all(&self, bytes: &[u8]) -> io::Result<()>;
    /// What stands at `offset`, at most so many bytes; fewer only where the file ends.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// Writes at `offset`; how far it got is unknown when it fails.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn set_size(&self, size: u64) -> io::Result<()>;
    /// Makes content and size durable, and when it was changed and by whom.
    fn sync(&self) -> io::Result<()>;
    /// Makes content and size durable.
    fn sync_data(&self) -> io::Result<()>;
    fn attributes(&self) -> io::Result<Attributes>;
    /// Gives the file these attributes, as far as this process may.
    fn set_attributes(&self, attributes: &Attributes) -> io::Result<()>;
    /// flock(2) without waiting; false when somebody else has it.
    fn try_lock(&self, kind: LockKind) -> io::Result<bool>;
    fn unlock(&self) -> io::Result<()>;
    /// The record lock by which a consumer shows that it lives; a forked child does not inherit it.
    fn lock_record(&self) -> io::Result<()>;
    /// Whether another process holds the record lock.
    fn record_is_locked(&self) -> io::Result<bool>;
    /// The process that holds a flock on this file, where the system tells.
    fn lock_holder(&self) -> Option<u32>;
    /// The descriptor's number, for the fork handler; none in a double.
    fn descriptor(&self) -> Option<i32>;
}

/// A small shared file whose words are moved by read and write, and whose mapping is only the key
/// to wait on, so that no other program can make this one fault by truncating it.
pub(crate) trait Page: Debug + Send + Sync {
    /// Reads words from the first on.
    fn read(&self, words: &mut [u64]) -> io::Result<()>;
    fn write(&self, word: usize, value: u64) -> io::Result<()>;
    /// Sleeps while word 0 still has the low half of `seen`, at most `timeout`. An `Interrupted` error is a signal.
    fn wait(&self, seen: u64, timeout: Duration) -> io::Result<()>;
    /// Wakes at most one sleeper; says how many it woke.
    fn wake_one(&self) -> io::Result<u32>;
}

/// What is watched.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    /// A queue's files in the root: that they are replaced.
    pub(crate) snapshot: String,
    pub(crate) journal: String,
    /// The files in it: that somebody who had one open for writing closes it.
    pub(crate) directory: &'static str,
    /// A file: that it is written. Without it, that the journal is.
    pub(crate) slot: Option<String>,
}

/// What ended a wait on a [`Watch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Something watched changed.
    Changed,
    /// The slot was written.
    Chosen,
    /// Nothing did in the time given.
    TimedOut,
    /// A signal arrived.
    Signal,
    /// The waker was rung.
    Rung,
}

/// Waits for changes of files.
pub(crate) trait Watch: Debug + Send {
    /// Forgets what has been reported so far.
    fn drain(&mut self);
    fn wait(&mut self, timeout: Duration) -> io::Result<Woken>;
    /// Rings this watch from another thread.
    fn waker(&self) -> Arc<dyn Waker>;
}

/// Ends one wait.
pub(crate) trait Waker: Debug + Send + Sync {
    fn ring(&self);
}

/// Time, identity and chance.
pub(crate) trait System: Debug + Send + Sync {
    fn wall(&self) -> Timestamp;
    /// Milliseconds on the clock that counts from the boot, also while suspended.
    fn boot_ms(&self) -> u64;
    fn boot_id(&self) -> Arc<str>;
    fn random(&self) -> u64;
    /// An id that nobody else makes: a UUIDv7. From this clock and this chance, and nothing that a fork could find
    /// locked.
    fn fresh_id(&self) -> String {
        let milliseconds = u64::try_from(self.wall().as_millisecond()).unwrap_or_default();
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.random().to_le_bytes());
        bytes[8..].copy_from_slice(&self.random().to_le_bytes()[..2]);
        let id = uuid::Builder::from_unix_timestamp_millis(milliseconds, &bytes);
        id.into_uuid().to_string()
    }
    /// This process: its id and its start time, which together tell it from a later one.
    fn process(&self) -> io::Result<(u32, u64)>;
    fn sleep(&self, duration: Duration);
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

/// How a file is known again that flockq wrote.
impl From<&Stat> for Written {
    fn from(stat: &Stat) -> Self {
        Self {
            inode: stat.id.inode,
            modified: i64::try_from(stat.modified).unwrap_or_default(),
        }
    }
}

impl Stat {
    /// A file that is none: nothing is like it.
    pub(crate) const UNSEEN: Self = Self {
        id: FileId {
            device: u64::MAX,
            inode: u64::MAX,
        },
        kind: Kind::Other,
        size: u64::MAX,
        modified: i128::MIN,
        changed: i128::MIN,
        mode: 0,
        owner: 0,
        group: 0,
        links: 0,
    };

    /// Whether two looks at a file saw the same content.
    pub(crate) fn same_content(&self, other: &Stat) -> bool {
        self.id == other.id
            && self.size == other.size
            && self.modified == other.modified
            && self.changed == other.changed
    }

    /// The mode of new files in this directory.
    pub(crate) fn file_mode(&self) -> u32 {
        self.mode & 0o666
    }

    /// The mode of new directories in this directory; set-group-id is handed down.
    pub(crate) fn directory_mode(&self) -> u32 {
        self.mode & 0o2777
    }
}
