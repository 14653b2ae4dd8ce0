//! New files and directories. They have their permissions before they have their name, so that whatever the umask says, and
//! wherever their making is cut short, nobody finds one that those whom the spool is for cannot use.
//!
//! A file is made without a name and linked into place; a directory, for which there is no such thing, under a name of
//! its own, and renamed. Where a file system has neither, they are made under their name, and a process that is killed at that
//! moment leaves what its umask says.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};

use super::{RealStore, retry};
use crate::store::System;

/// What a directory's name ends with that is being made; before it stand the name that it will have and a random number.
const UNFINISHED_SUFFIX: &str = ".new";
/// How a directory is opened.
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

impl RealStore {
    /// Makes a file with exactly this mode, and opens it. `AlreadyExists`: something is there.
    pub(super) fn make_file(&self, path: &str, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        let (directory, name) = self.parent(path)?;
        let (directory, mode) = (directory.as_fd(), Mode::from_raw_mode(mode));
        if let Some(file) = nameless(directory, flags, mode)? {
            match link(&file, directory, name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) => return Ok(file),
                // Not in this way, or not at all: the other way will say.
                Err(_) => {}
            }
        }
        let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = retry(|| rustix::fs::openat(directory, name, flags, mode))?;
        // Whatever the umask took away; this process made the file, so it may.
        retry(|| rustix::fs::fchmod(&file, mode))?;
        Ok(file)
    }

    /// Makes a directory with exactly this mode. `AlreadyExists`, and also `NotFound`: somebody else may have made it.
    pub(super) fn make_new_directory(&self, path: &str, mode: u32) -> io::Result<()> {
        let (directory, name) = self.parent(path)?;
        let (directory, mode) = (directory.as_fd(), Mode::from_raw_mode(mode));
        let unfinished = format!(".{name}.{:016x}{UNFINISHED_SUFFIX}", self.system.random());
        make_directory(directory, &unfinished, mode)?;
        let flags = RenameFlags::NOREPLACE;
        let renamed =
            retry(|| rustix::fs::renameat_with(directory, &unfinished, directory, name, flags));
        let Err(error) = renamed else {
            remove_unfinished(directory, name);
            return Ok(());
        };
        let _ = remove_directory(directory, &unfinished);
        match error.raw_os_error() {
            // The file system has no such rename, or a sandbox does not know the call.
            Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP | libc::EPERM) => {
                make_directory(directory, name, mode)
            }
            _ => Err(error),
        }
    }
}

/// A file in this directory that has its mode and no name; `None` where there are no such files.
fn nameless(directory: BorrowedFd<'_>, flags: OFlags, mode: Mode) -> io::Result<Option<OwnedFd>> {
    let flags = flags | OFlags::TMPFILE | OFlags::CLOEXEC;
    let Ok(file) = retry(|| rustix::fs::openat(directory, ".", flags, mode)) else {
        return Ok(None);
    };
    retry(|| rustix::fs::fchmod(&file, mode))?;
    Ok(Some(file))
}

/// Gives a file its first name.
fn link(file: &OwnedFd, directory: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let number = format!("/proc/thread-self/fd/{}", file.as_raw_fd());
    let flags = AtFlags::SYMLINK_FOLLOW;
    retry(|| rustix::fs::linkat(CWD, &number, directory, name, flags))
}

/// Makes a directory and gives it its mode; where that does not work, it is removed.
fn make_directory(directory: BorrowedFd<'_>, name: &str, mode: Mode) -> io::Result<()> {
    retry(|| rustix::fs::mkdirat(directory, name, mode))?;
    let set_mode = || {
        let made = retry(|| rustix::fs::openat(directory, name, DIRECTORY, Mode::empty()))?;
        // Whatever the umask took away.
        retry(|| rustix::fs::fchmod(&made, mode))
    };
    set_mode().inspect_err(|_| {
        let _ = remove_directory(directory, name);
    })
}

/// Only one that is empty is removed.
fn remove_directory(directory: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    retry(|| rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR))
}

/// Removes what was to become this directory, and is not needed now that it is there: somebody else's, or what a process left that
/// died at it.
fn remove_unfinished(directory: BorrowedFd<'_>, name: &str) {
    let prefix = format!(".{name}.");
    let is_unfinished = |found: &str| {
        let random = found.strip_prefix(&prefix);
        let random = random.and_then(|rest| rest.strip_suffix(UNFINISHED_SUFFIX));
        random.is_some_and(|random| random.len() == 16)
    };
    let opened = retry(|| rustix::fs::openat(directory, ".", DIRECTORY, Mode::empty()));
    let Ok(entries) = opened.and_then(|opened| Ok(rustix::fs::Dir::read_from(opened)?)) else {
        return;
    };
    for entry in entries.flatten() {
        if let Ok(found) = entry.file_name().to_str()
            && is_unfinished(found)
        {
            let _ = remove_directory(directory, found);
        }
    }
}
