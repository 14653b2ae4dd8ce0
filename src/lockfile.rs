//! The lock protocol for any other file, and writing a file atomically.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::LockWait;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::LockNames;
use crate::spool::require_safe;
use crate::store::atomic::{Replacement, replace};
use crate::store::gate::Tie;
use crate::store::lock::{Care, Hold};
use crate::store::patience::{InterruptCheck, Patience};
use crate::store::real::RealStore;
use crate::store::registry::Entry;
use crate::store::{Attributes, Kind, LockKind, Open, Store, registry};

/// A held lock on a file, by the same protocol as a queue's: other processes in every language,
/// and programs without the library that take flock(2) on the same lock file, are kept out.
///
/// The lock of `DIR/NAME` is `DIR/.gastown/locks/NAME.lock` (or in the lock directory that
/// `DIR/flockq.json` names); the file itself is not touched and need not exist. So the lock of a
/// queue's file is that queue's lock. Dropping it gives the lock back.
#[derive(Debug)]
pub struct FileLock {
    // Field order: the lock is given back before the entry, through which the process's other callers find it, goes.
    hold: Option<Hold>,
    _entry: Arc<Entry>,
    waited: Duration,
}

/// Options of a [`FileLock`].
#[must_use = "nothing is locked until `acquire`"]
pub struct FileLockBuilder {
    path: PathBuf,
    kind: LockKind,
    wait: LockWait,
    allow_unverified: bool,
    tie: Tie,
    check: Option<InterruptCheck>,
}

impl FileLock {
    /// Takes the lock of the file at `path`.
    ///
    /// Fails with `LockTimeout` when somebody else keeps it, `WouldDeadlock` when this thread has it.
    pub fn acquire(path: impl AsRef<Path>, kind: LockKind, wait: LockWait) -> Result<Self> {
        Self::builder(path).kind(kind).wait(wait).acquire()
    }

    /// The same with options.
    pub fn builder(path: impl AsRef<Path>) -> FileLockBuilder {
        FileLockBuilder {
            path: path.as_ref().to_owned(),
            kind: LockKind::Exclusive,
            wait: LockWait::default(),
            allow_unverified: false,
            tie: Tie::Thread,
            check: None,
        }
    }

    /// How long it took to get the lock.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Gives the lock back; so does dropping it.
    pub fn release(mut self) {
        self.hold = None;
    }
}

impl FileLockBuilder {
    /// Shared or exclusive; exclusive by default.
    pub fn kind(mut self, kind: LockKind) -> Self {
        self.kind = kind;
        self
    }

    /// How long to wait; 30 seconds by default.
    pub fn wait(mut self, wait: LockWait) -> Self {
        self.wait = wait;
        self
    }

    /// Go on where it is not known that locks exclude.
    pub fn allow_unverified_fs(mut self, allow: bool) -> Self {
        self.allow_unverified = allow;
        self
    }

    /// The lock does not belong to the thread that takes it: for languages in which callers share threads. Whoever asks
    /// for a lock that he has then waits for himself, instead of being told `WouldDeadlock`.
    pub fn untied(mut self, untied: bool) -> Self {
        self.tie = if untied { Tie::None } else { Tie::Thread };
        self
    }

    /// Asked while the call waits, after every signal and at least once a second; true ends the wait with `Interrupted`.
    pub fn interrupt_check(mut self, check: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.check = Some(Arc::new(check));
        self
    }

    /// Takes the lock.
    pub fn acquire(self) -> Result<FileLock> {
        let patience = Patience::new(self.wait, self.check);
        let (store, file_name) = below_parent(&self.path)?;
        let store: Arc<dyn Store> = Arc::new(store);
        require_safe(&*store, self.allow_unverified)?;
        let root = store
            .root_stat()
            .map_err(|error| Error::io("look at", store.root(), error))?;
        let names = LockNames::new(&Config::load(&*store)?.lock_directory, &file_name);
        let entry = registry::entry(
            &store,
            root.id,
            &names,
            root.file_mode(),
            self.allow_unverified,
        );
        let hold = match self.kind {
            LockKind::Exclusive => {
                entry
                    .lock
                    .acquire(LockKind::Exclusive, Care::Checked, self.tie, &patience)?
            }
            LockKind::Shared => entry.lock.acquire_beside(self.tie, &patience)?,
        };
        Ok(FileLock {
            hold: Some(hold),
            _entry: entry,
            waited: patience.waited(),
        })
    }
}

impl std::fmt::Debug for FileLockBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileLockBuilder")
            .field("path", &self.path)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Replaces the file at `path` with `bytes`: readers and crashes see the old content or the new.
///
/// When it returns, the new content is on stable storage. Mode, owner and access control list of an
/// existing file are kept; a new one takes its mode from the directory. No lock is taken.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let (store, file_name) = below_parent(path)?;
    let failed = |error| Error::io("look at", path, error);
    let attributes = match store.stat(&file_name).map_err(failed)? {
        None => Attributes {
            mode: store.root_stat().map_err(failed)?.file_mode(),
            owner: None,
            acl: None,
        },
        Some(stat) if stat.kind != Kind::Regular => {
            return Err(Error::io(
                "replace",
                path,
                crate::store::real::not_regular(stat.kind),
            ));
        }
        Some(_) => store
            .open(&file_name, Open::Read)
            .and_then(|file| file.attributes())
            .map_err(failed)?,
    };
    let how = Replacement {
        name: &file_name,
        temporary: (&format!(".{file_name}."), ".part"),
        attributes: &attributes,
        sync_content: true,
        sync_name: true,
    };
    replace(&store, &how, bytes, || Ok(true)).map(drop)
}

/// The directory of a path, opened, and the name in it.
fn below_parent(path: &Path) -> Result<(RealStore, String)> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .filter(|name| name.len() <= 200);
    let Some(name) = name else {
        let text = format!(
            "{} does not end in a file name of at most 200 bytes in UTF-8",
            path.display()
        );
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    };
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    Ok((crate::spool::open_directory(parent)?, name.to_owned()))
}
