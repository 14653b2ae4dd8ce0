//! The spool: a directory of queues.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::LockWait;
use crate::config::{Config, Init, Sync};
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::{CONFIG_FILE, LockNames, QueueName};
use crate::queue::{Handle, Queue};
use crate::store::gate::Tie;
use crate::store::lock::{Care, Hold};
use crate::store::make_directories;
use crate::store::patience::{InterruptCheck, Patience};
use crate::store::real::{RealStore, descriptors};
use crate::store::{FileId, LockKind, Store, registry};

/// A directory of queues, which any number of processes in any of the languages share.
///
/// Cheap to clone; all clones are one handle. Use it from any thread. A child made by `fork` may go
/// on using what it inherited: it opens what it needs anew.
#[derive(Debug, Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

/// What a spool's queues need of it.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) root: FileId,
    pub(crate) config: Config,
    pub(crate) file_mode: u32,
    pub(crate) lock_wait: LockWait,
    pub(crate) sync: Option<Sync>,
    pub(crate) check: Option<InterruptCheck>,
    pub(crate) allow_unverified: bool,
    closed: AtomicBool,
    /// Taken only under the descriptors' mutex, so that no fork finds it locked.
    handles: Mutex<Vec<Weak<Handle>>>,
}

/// Options of a spool that concern only this process.
#[must_use = "nothing is opened until `open`"]
pub struct SpoolBuilder {
    directory: std::path::PathBuf,
    create: bool,
    sync: Option<Sync>,
    lock_wait: LockWait,
    allow_unverified: bool,
    check: Option<InterruptCheck>,
}

impl Spool {
    /// Opens the spool in `directory`, which must exist.
    ///
    /// Fails with `NotFound` when there is no such directory, `UnsafeFilesystem` where locks are not known to
    /// exclude, `Corrupt` or `Version` when its `flockq.json` cannot be used.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        Self::builder(directory).open()
    }

    /// The same with options.
    pub fn builder(directory: impl AsRef<Path>) -> SpoolBuilder {
        SpoolBuilder {
            directory: directory.as_ref().to_owned(),
            create: false,
            sync: None,
            lock_wait: LockWait::default(),
            allow_unverified: false,
            check: None,
        }
    }

    /// Sets a spool up: makes the directory and its lock directory, and writes `flockq.json`.
    ///
    /// Doing it again with the same choice changes nothing; with another it is `AlreadyExists`. A directory
    /// that already has queue files may be set up; the files are not touched.
    pub fn init(directory: impl AsRef<Path>, init: &Init) -> Result<()> {
        let directory = directory.as_ref();
        let lock_directory = init.lock_directory()?;
        create_directory(directory)?;
        let store: Arc<dyn Store> = Arc::new(open_directory(directory)?);
        require_safe(&*store, false)?;
        let root = store
            .root_stat()
            .map_err(|error| Error::io("look at", store.root(), error))?;
        let failed = |error| Error::io("make", store.root().join(lock_directory), error);
        make_directories(&*store, lock_directory, root.directory_mode()).map_err(failed)?;
        let names = LockNames::new(lock_directory, CONFIG_FILE);
        let entry = registry::entry(&store, root.id, &names, root.file_mode(), false);
        let _hold = entry.lock.acquire(
            LockKind::Exclusive,
            Care::Checked,
            Tie::Thread,
            &Patience::new(LockWait::default(), None),
        )?;
        init.write(&*store)
    }

    /// The queue of this name. Checks the name and touches no file: a queue without a file is empty.
    pub fn queue(&self, name: &str) -> Result<Queue> {
        self.shared.require_open()?;
        let handle = Arc::new(Handle::new(&self.shared, QueueName::parse(name)?));
        let _no_fork = descriptors();
        let mut handles = self
            .shared
            .handles
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        handles.retain(|handle| handle.strong_count() > 0);
        handles.push(Arc::downgrade(&handle));
        Ok(Queue::from(handle))
    }

    /// A queue that is only looked at: no journal is folded when this goes.
    pub(crate) fn seen(&self, name: &str) -> Result<Queue> {
        self.shared.require_open()?;
        let handle = Handle::beside(&self.shared, QueueName::parse(name)?);
        Ok(Queue::from(Arc::new(handle)))
    }

    /// The names of the queues that have a file, in order.
    pub fn queues(&self) -> Result<Vec<String>> {
        self.shared.require_open()?;
        let names = self.shared.queues()?.into_iter();
        Ok(names.map(|name| name.to_string()).collect())
    }

    /// Opens the spool of a mail daemon: its queues `inbound`, `outbound` and `dead-letter` have the policy of the daemon
    /// that such files come from, as far as `flockq.json` says nothing else. Three attempts, five minutes between them, in
    /// `outbound`; then `dead-letter`. The directory is made when it is missing.
    pub fn mail(directory: impl AsRef<Path>) -> Result<Self> {
        let spool = Self::builder(directory).create(true).open()?;
        spool.adopt_mail()?;
        Ok(spool)
    }

    /// Sets the policy of a mail daemon, as far as `flockq.json` says nothing else.
    pub fn adopt_mail(&self) -> Result<()> {
        if self.change_config(Config::set_mail)? {
            self.announce()?;
        }
        Ok(())
    }

    /// The configuration, as JSON: what is said, and for `default` also what holds where nothing is said.
    pub fn config(&self) -> Result<String> {
        self.shared.require_open()?;
        let shown = Config::load(&*self.shared.store)?.show();
        Ok(format!("{shown:#}"))
    }

    /// Sets one setting, such as `inbound.backoff` or `default.sync`, for every process: those that run see it at their
    /// next operation. The value is as on the command line: `10s`, `3`, `journal`, `null` for nothing.
    ///
    /// `InvalidArgument` names the key, the value and what is allowed.
    pub fn set_config(&self, setting: &str, value: &str) -> Result<()> {
        let Some((owner, key)) = setting.rsplit_once('.') else {
            let text = format!(
                "{setting:?} is no setting; write a queue or default, a point and a key, as in inbound.backoff"
            );
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        };
        self.change_config(|store| Config::set(store, owner, key, value))?;
        // Also when it was set before: whoever set it may not have been able to tell everybody.
        self.announce()
    }

    fn change_config<T>(&self, change: impl FnOnce(&dyn Store) -> Result<T>) -> Result<T> {
        self.shared.require_open()?;
        let store = &*self.shared.store;
        let patience = Patience::new(self.shared.lock_wait, self.shared.check.clone());
        let _config = self.shared.lock_config(&patience)?;
        change(store)
    }

    /// Tells those who keep journals that the configuration was changed. A queue's lock is never waited for under the
    /// configuration's.
    fn announce(&self) -> Result<()> {
        let tell = |name: &String| self.seen(name)?.handle.announce();
        let told = self.queues().and_then(|names| {
            // One queue that cannot be told is no reason not to tell the others.
            let told: Vec<Result<()>> = names.iter().map(tell).collect();
            told.into_iter().collect()
        });
        told.map_err(|error: Error| {
            error.saying(|error| {
                format!(
                    "the configuration was changed, but not every process that runs was told: {error}; set a setting once more, which tells all of them"
                )
            })
        })
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.shared.store.root()
    }

    /// Closes every queue opened through this spool, which gives their leases back. Using it or them afterwards is
    /// `Closed`. The first failure is returned, after all have been tried.
    pub fn close(&self) -> Result<()> {
        self.shared.closed.store(true, Ordering::Release);
        let handles: Vec<Arc<Handle>> = {
            let _no_fork = descriptors();
            let handles = self
                .shared
                .handles
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            handles.iter().filter_map(Weak::upgrade).collect()
        };
        let closed: Vec<Result<()>> = handles.iter().map(|handle| handle.close()).collect();
        closed.into_iter().collect()
    }
}

impl Shared {
    /// The queues that have a file.
    pub(crate) fn queues(&self) -> Result<BTreeSet<QueueName>> {
        let files = self.store.list("");
        let files =
            files.map_err(|error| Error::io("read the directory", self.store.root(), error))?;
        Ok(files
            .iter()
            .filter_map(|file| QueueName::of_file(file))
            .collect())
    }

    /// Takes the lock of `flockq.json`. Last of all locks.
    pub(crate) fn lock_config(&self, patience: &Patience) -> Result<Hold> {
        let names = LockNames::new(&self.config.lock_directory, CONFIG_FILE);
        let entry = registry::entry(
            &self.store,
            self.root,
            &names,
            self.file_mode,
            self.allow_unverified,
        );
        entry
            .lock
            .acquire(LockKind::Exclusive, Care::Checked, Tie::Thread, patience)
    }

    pub(crate) fn require_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            let text = format!(
                "the spool {} was closed; open it again",
                self.store.root().display()
            );
            return Err(Error::new(ErrorKind::Closed, text));
        }
        Ok(())
    }
}

impl SpoolBuilder {
    /// Make the directory, and its parents, when it is missing.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// The durability of this process's commits, instead of the configured one.
    pub fn sync(mut self, sync: Sync) -> Self {
        self.sync = Some(sync);
        self
    }

    /// How long operations wait for a lock; 30 seconds by default.
    pub fn lock_wait(mut self, wait: LockWait) -> Self {
        self.lock_wait = wait;
        self
    }

    /// Go on where it is not known that locks exclude: network file systems, virtual ones. What is lost there is yours.
    pub fn allow_unverified_fs(mut self, allow: bool) -> Self {
        self.allow_unverified = allow;
        self
    }

    /// Asked while a call waits, after every signal and at least once a second; true ends the wait with `Interrupted`.
    /// It must not use the spool.
    pub fn interrupt_check(
        mut self,
        check: impl Fn() -> bool + Send + std::marker::Sync + 'static,
    ) -> Self {
        self.check = Some(Arc::new(check));
        self
    }

    /// Opens the spool.
    pub fn open(self) -> Result<Spool> {
        if self.create {
            create_directory(&self.directory)?;
        }
        let store = open_directory(&self.directory)?;
        self.open_on(Arc::new(store))
    }

    /// Opens the spool on a store, which may be a test double.
    pub(crate) fn open_on(self, store: Arc<dyn Store>) -> Result<Spool> {
        require_safe(&*store, self.allow_unverified)?;
        let root = store
            .root_stat()
            .map_err(|error| Error::io("look at", store.root(), error))?;
        let config = Config::load(&*store)?;
        let shared = Shared {
            store,
            root: root.id,
            config,
            file_mode: root.file_mode(),
            lock_wait: self.lock_wait,
            sync: self.sync,
            check: self.check,
            allow_unverified: self.allow_unverified,
            closed: AtomicBool::new(false),
            handles: Mutex::default(),
        };
        Ok(Spool {
            shared: Arc::new(shared),
        })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool")
            .field("path", &self.store.root())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SpoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpoolBuilder")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

fn create_directory(directory: &Path) -> Result<()> {
    RealStore::create(directory).map_err(|error| Error::io("make the directory", directory, error))
}

/// Opens a directory; that it is missing has an error of its own.
pub(crate) fn open_directory(directory: &Path) -> Result<RealStore> {
    RealStore::open(directory).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            let text = format!("there is no directory {}; make it, or let flockq make it (create, or `flockq init`)", directory.display());
            Error::new(ErrorKind::NotFound, text)
                .at(directory)
                .because(error)
        } else {
            Error::io("open the directory", directory, error)
        }
    })
}

/// Refuses a file system where locks are not known to exclude.
pub(crate) fn require_safe(store: &dyn Store, allow_unverified: bool) -> Result<()> {
    if allow_unverified {
        return Ok(());
    }
    match store
        .file_system()
        .map_err(|error| Error::io("look at the file system of", store.root(), error))?
    {
        (_, true) => Ok(()),
        (name, false) => {
            let text = format!(
                "{} is on a file system ({name}) where locks are not known to exclude; use a local one, or allow it (allow_unverified_fs)",
                store.root().display()
            );
            Err(Error::new(ErrorKind::UnsafeFilesystem, text).at(store.root()))
        }
    }
}
