//! The real effects: the only place that touches the disk, the clock or another process.

#![expect(
    clippy::disallowed_methods,
    reason = "this is where the store trait meets the system"
)]

mod file;
mod fork;
mod make;
mod page;
mod system;
mod watch;

pub(crate) use fork::{descriptors, generation, require_generation};

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};

use self::file::{RealFile, stat_of};
use self::system::RealSystem;
use super::{File, Kind, Open, Page, Stat, Store, System, Watch, Watched};

/// A directory of the real file system.
#[derive(Debug)]
pub(crate) struct RealStore {
    root: PathBuf,
    directory: OwnedFd,
    system: RealSystem,
}

/// The directory in which something is.
enum Parent<'a> {
    Root(BorrowedFd<'a>),
    Below(OwnedFd),
}

impl AsFd for Parent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Root(root) => *root,
            Self::Below(opened) => opened.as_fd(),
        }
    }
}

/// Set once the kernel has said that it has no openat2(2).
static NO_OPENAT2: AtomicBool = AtomicBool::new(false);

/// How often a file is opened or made that others make and remove all the time.
const TRIES: u32 = 20;

/// File systems on which flock(2) is known to exclude every process of the machine: their `statfs` magic and name.
const TRUSTED: &[(u64, &str)] = &[
    (0xEF53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683E, "btrfs"),
    (0x0102_1994, "tmpfs"),
    (0x794C_7630, "overlayfs"),
    (0x2FC1_2FC1, "zfs"),
    (0xF2F5_2010, "f2fs"),
    (0xCA45_1A4E, "bcachefs"),
    (0x8584_58F6, "ramfs"),
];

/// File systems worth calling by their name when they are refused.
const UNTRUSTED: &[(u64, &str)] = &[
    (0x6969, "nfs"),
    (0xFF53_4D42, "cifs"),
    (0xFE53_4D42, "smb2"),
    (0x6573_5546, "fuse"),
    (0x0102_1997, "9p"),
    (0x9FA0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x0BD0_0BD0, "lustre"),
    (0x00C3_6400, "ceph"),
];

impl RealStore {
    /// The directory at `path`; symbolic links on the way to it are followed, inside it none are.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        system::read_boot_id()?;
        let root = fs::canonicalize(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = retry(|| rustix::fs::open(&root, flags, Mode::empty()))?;
        Ok(Self {
            root,
            directory,
            system: RealSystem,
        })
    }

    /// Makes a directory and its missing parents.
    pub(crate) fn create(path: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = path
            .ancestors()
            .take_while(|part| !part.as_os_str().is_empty() && !part.exists())
            .collect();
        fs::create_dir_all(path)?;
        // Each new directory's name is in its parent: syncing the parent makes the name durable.
        for made in missing {
            let parent = made
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            fs::File::open(parent)?.sync_all()?;
        }
        Ok(())
    }

    fn open_below(&self, path: &str, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mode = Mode::from_raw_mode(mode);
        if !NO_OPENAT2.load(Ordering::Relaxed) {
            // The mode must be zero unless a file may be made.
            let mode = if flags.contains(OFlags::CREATE) {
                mode
            } else {
                Mode::empty()
            };
            let resolve =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match retry(|| rustix::fs::openat2(&self.directory, path, flags, mode, resolve)) {
                // EPERM: a sandbox that does not know the call.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    if error.raw_os_error() == Some(libc::ENOSYS) {
                        NO_OPENAT2.store(true, Ordering::Relaxed);
                    }
                }
                other => return other,
            }
        }
        self.below(path, |directory, name| {
            rustix::fs::openat(directory, name, flags, mode)
        })
    }

    /// Makes a call with the directory that a path below the root leads to, and the last part of the path.
    fn below<T>(
        &self,
        path: &str,
        mut call: impl FnMut(BorrowedFd<'_>, &str) -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        let (directory, name) = self.parent(path)?;
        retry(|| call(directory.as_fd(), name))
    }

    /// The directory that a path below the root leads to, and the last part of the path. What stands on the way is opened part by
    /// part, and no part of it may be a link.
    fn parent<'a>(&'a self, path: &'a str) -> io::Result<(Parent<'a>, &'a str)> {
        let Some((directories, name)) = path.rsplit_once('/') else {
            return Ok((Parent::Root(self.directory.as_fd()), path));
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut directory = Parent::Root(self.directory.as_fd());
        for part in directories.split('/') {
            let below = directory.as_fd();
            let opened = retry(|| rustix::fs::openat(below, part, flags, Mode::empty()))?;
            directory = Parent::Below(opened);
        }
        Ok((directory, name))
    }

    /// Opens a file, which is made when it is missing.
    fn open_or_make(&self, path: &str, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        let mut tries = 0;
        loop {
            match self.open_below(path, flags, 0) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                found => return found,
            }
            tries += 1;
            match self.make_file(path, flags, mode) {
                // Somebody else made it in between: theirs is as good, if it is not removed at once.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => {}
                made => return made,
            }
        }
    }

    /// Refuses everything but a regular file, without having blocked on it.
    fn regular(fd: OwnedFd) -> io::Result<Arc<dyn File>> {
        let file = RealFile::new(fs::File::from(fd));
        match file.stat()?.kind {
            Kind::Regular => Ok(Arc::new(file)),
            other => Err(not_regular(other)),
        }
    }

    /// Refuses to write to a file that somebody has given a second name: it may be another program's.
    fn with_one_name(file: Arc<dyn File>) -> io::Result<Arc<dyn File>> {
        if file.stat()?.links > 1 {
            return Err(io::Error::from_raw_os_error(libc::EMLINK));
        }
        Ok(file)
    }
}

/// The error for something at a path that is no regular file.
pub(crate) fn not_regular(kind: Kind) -> io::Error {
    io::Error::from_raw_os_error(match kind {
        Kind::Symlink => libc::ELOOP,
        Kind::Directory => libc::EISDIR,
        Kind::Regular | Kind::Other => libc::ENXIO,
    })
}

impl Store for RealStore {
    fn root(&self) -> &Path {
        &self.root
    }

    fn root_stat(&self) -> io::Result<Stat> {
        Ok(stat_of(&retry(|| rustix::fs::fstat(&self.directory))?))
    }

    fn space(&self) -> io::Result<(u64, u64)> {
        let found = retry(|| rustix::fs::fstatvfs(&self.directory))?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok((bytes(found.f_bavail), bytes(found.f_blocks)))
    }

    fn file_system(&self) -> io::Result<(String, bool)> {
        let magic = u64::try_from(retry(|| rustix::fs::fstatfs(&self.directory))?.f_type)
            .unwrap_or_default();
        let find = |table: &[(u64, &str)]| {
            table
                .iter()
                .find(|(known, _)| *known == magic)
                .map(|(_, name)| (*name).to_owned())
        };
        Ok(match find(TRUSTED) {
            Some(name) => (name, true),
            None => (
                find(UNTRUSTED).unwrap_or_else(|| format!("type {magic:#x}")),
                false,
            ),
        })
    }

    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>> {
        let ours = |file| Self::regular(file).and_then(Self::with_one_name);
        match how {
            Open::Read => Self::regular(self.open_below(path, OFlags::RDONLY, 0)?),
            Open::Write => ours(self.open_below(path, OFlags::RDWR, 0)?),
            Open::Shared { mode } => ours(self.open_or_make(path, OFlags::RDWR, mode)?),
            Open::Append { mode } => {
                let flags = OFlags::WRONLY | OFlags::APPEND;
                ours(self.open_or_make(path, flags, mode)?)
            }
            Open::New { mode } => Self::regular(self.make_file(path, OFlags::RDWR, mode)?),
        }
    }

    fn temporary(&self, prefix: &str, suffix: &str) -> io::Result<(Arc<dyn File>, String)> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let made = tempfile::Builder::new()
            .prefix(prefix)
            .suffix(suffix)
            .rand_bytes(10)
            // Of the path only the name is used; with a relative one the working directory would have to be there.
            .make_in("/", |path| {
                // Opened below the root's descriptor and not by the path, which another process may have renamed.
                let name = path
                    .file_name()
                    .map(OsStrExt::as_bytes)
                    .and_then(|name| std::str::from_utf8(name).ok());
                let name = name.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
                self.open_below(name, flags, 0o600)
            })?;
        let (fd, path) = made.keep().map_err(|kept| kept.error)?;
        let name = path
            .file_name()
            .map(OsString::from)
            .and_then(|name| name.into_string().ok());
        let name = name.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok((Arc::new(RealFile::new(fs::File::from(fd))), name))
    }

    fn stat(&self, path: &str) -> io::Result<Option<Stat>> {
        match retry(|| rustix::fs::statat(&self.directory, path, AtFlags::SYMLINK_NOFOLLOW)) {
            Ok(stat) => Ok(Some(stat_of(&stat))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.below(from, |one, from| {
            self.below(to, |other, to| {
                Ok(rustix::fs::renameat(one, from, other, to))
            })
            .unwrap_or_else(|error| Err(errno(&error)))
        })
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let flags = AtFlags::empty();
        self.below(from, |one, from| {
            self.below(to, |other, to| {
                Ok(rustix::fs::linkat(one, from, other, to, flags))
            })
            .unwrap_or_else(|error| Err(errno(&error)))
        })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.below(path, |directory, name| {
            rustix::fs::unlinkat(directory, name, AtFlags::empty())
        })
    }

    fn make_directory(&self, path: &str, mode: u32) -> io::Result<()> {
        let is_there = || match self.stat(path)?.map(|stat| stat.kind) {
            None => Ok(false),
            Some(Kind::Directory) => Ok(true),
            Some(Kind::Symlink) => Err(io::Error::from_raw_os_error(libc::ELOOP)),
            Some(_) => Err(io::Error::from_raw_os_error(libc::ENOTDIR)),
        };
        if is_there()? {
            return Ok(());
        }
        let made = self.make_new_directory(path, mode);
        let kind = made.as_ref().err().map(io::Error::kind);
        match kind {
            // Somebody else has made it in between.
            Some(io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) if is_there()? => Ok(()),
            _ => made,
        }
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        if path.is_empty() {
            return retry(|| rustix::fs::fsync(&self.directory));
        }
        let fd = self.open_below(path, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        retry(|| rustix::fs::fsync(&fd))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let path = if path.is_empty() { "." } else { path };
        let fd = match self.open_below(path, OFlags::RDONLY | OFlags::DIRECTORY, 0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        // One that was interrupted reads no further: from its start.
        retry(|| {
            let mut names = Vec::new();
            for entry in rustix::fs::Dir::read_from(&fd)? {
                // A name that is no text cannot be one of flockq's.
                if let Ok(name) = entry?.file_name().to_str() {
                    names.push(name.to_owned());
                }
            }
            Ok(names)
        })
    }

    fn page(&self, path: &str, mode: u32) -> io::Result<Arc<dyn Page>> {
        let file = self.open(path, Open::Shared { mode })?;
        page::RealPage::new(file).map(|page| Arc::new(page) as Arc<dyn Page>)
    }

    fn watch(&self, what: &Watched) -> io::Result<Box<dyn Watch>> {
        watch::RealWatch::new(&self.root, what).map(|watch| Box::new(watch) as Box<dyn Watch>)
    }

    fn system(&self) -> &dyn System {
        &self.system
    }
}

/// The number of an error that a call returned.
fn errno(error: &io::Error) -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(error).unwrap_or(rustix::io::Errno::IO)
}

/// A system call that a signal may break off, again.
fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}
