//! An open file of the real file system.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt as _;

use fs2::FileExt;
use rustix::fs::{Gid, Mode, Uid, XattrFlags};
use rustix::process::{Flock, FlockType};

use super::retry;
use crate::store::{Attributes, File, FileId, Kind, LockKind, Stat};

/// Where Linux keeps a POSIX access control list.
const ACL: &str = "system.posix_acl_access";
/// No access control list is longer.
const ACL_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct RealFile(fs::File);

impl RealFile {
    pub(super) fn new(file: fs::File) -> Self {
        Self(file)
    }

    /// The access control list, if it has one.
    fn acl(&self) -> Option<Vec<u8>> {
        let mut acl = vec![0; 256];
        loop {
            match rustix::fs::fgetxattr(&self.0, ACL, &mut acl[..]) {
                Ok(length) => {
                    acl.truncate(length);
                    return Some(acl);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::RANGE) if acl.len() < ACL_MAX => acl.resize(ACL_MAX, 0),
                // No list, or a file system without lists.
                Err(_) => return None,
            }
        }
    }

    /// One that names users or groups which do not exist in this process's user namespace cannot be given. What is left without
    /// them would shut them out unsaid, so that is an error, unless the file has inherited from its directory what looks the same
    /// from here.
    fn set_acl(&self, acl: &[u8]) -> io::Result<()> {
        match retry(|| rustix::fs::fsetxattr(&self.0, ACL, acl, XattrFlags::empty())) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                if self.acl().is_some_and(|inherited| inherited == acl) {
                    Ok(())
                } else {
                    Err(io::Error::from_raw_os_error(libc::EOVERFLOW))
                }
            }
            set => set,
        }
    }
}

/// Translates `stat`.
#[expect(
    clippy::unnecessary_cast,
    reason = "the widths of these fields differ between platforms"
)]
pub(super) fn stat_of(stat: &rustix::fs::Stat) -> Stat {
    let time = |seconds: i64, nanoseconds: i64| {
        i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
    };
    Stat {
        id: FileId {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
        },
        kind: match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            rustix::fs::FileType::RegularFile => Kind::Regular,
            rustix::fs::FileType::Directory => Kind::Directory,
            rustix::fs::FileType::Symlink => Kind::Symlink,
            _ => Kind::Other,
        },
        size: u64::try_from(stat.st_size).unwrap_or_default(),
        modified: time(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        changed: time(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        mode: stat.st_mode & 0o7777,
        owner: stat.st_uid,
        group: stat.st_gid,
        links: stat.st_nlink as u64,
    }
}

impl File for RealFile {
    fn stat(&self) -> io::Result<Stat> {
        Ok(stat_of(&retry(|| rustix::fs::fstat(&self.0))?))
    }

    fn read_all(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&self.0).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.0).write_all(bytes)
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut read = 0;
        while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, offset + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn attributes(&self) -> io::Result<Attributes> {
        let stat = self.stat()?;
        Ok(Attributes {
            mode: stat.mode,
            owner: Some((stat.owner, stat.group)),
            acl: self.acl(),
        })
    }

    fn set_attributes(&self, attributes: &Attributes) -> io::Result<()> {
        if let Some((owner, group)) = attributes.owner {
            let stat = self.stat()?;
            let (uid, gid) = (Uid::from_raw(owner), Gid::from_raw(group));
            if stat.owner != owner
                && retry(|| rustix::fs::fchown(&self.0, Some(uid), None)).is_err()
            {
                // Only root may give a file away. The group is what lets the others go on; it comes next.
            }
            if stat.group != group {
                match retry(|| rustix::fs::fchown(&self.0, None, Some(gid))) {
                    // This process is not in that group, or there is no such group in its user namespace.
                    Err(error)
                        if matches!(
                            error.kind(),
                            io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput
                        ) => {}
                    other => other?,
                }
            }
        }
        retry(|| rustix::fs::fchmod(&self.0, Mode::from_raw_mode(attributes.mode)))?;
        attributes
            .acl
            .as_ref()
            .map_or(Ok(()), |acl| self.set_acl(acl))
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        loop {
            // Called by path: the standard library has methods of the same names with other rules.
            let tried = match kind {
                LockKind::Shared => FileExt::try_lock_shared(&self.0),
                LockKind::Exclusive => FileExt::try_lock_exclusive(&self.0),
            };
            match tried {
                Ok(()) => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    fn unlock(&self) -> io::Result<()> {
        FileExt::unlock(&self.0)
    }

    fn lock_record(&self) -> io::Result<()> {
        retry(|| {
            rustix::fs::fcntl_lock(
                &self.0,
                rustix::fs::FlockOperation::NonBlockingLockExclusive,
            )
        })
    }

    fn record_is_locked(&self) -> io::Result<bool> {
        Ok(
            retry(|| rustix::process::fcntl_getlk(&self.0, &Flock::from(FlockType::WriteLock)))?
                .is_some(),
        )
    }

    fn lock_holder(&self) -> Option<u32> {
        let id = self.stat().ok()?.id;
        let device = format!(
            "{:02x}:{:02x}:{}",
            rustix::fs::major(id.device),
            rustix::fs::minor(id.device),
            id.inode
        );
        #[expect(clippy::disallowed_methods, reason = "the kernel's table of locks")]
        let table = fs::read_to_string("/proc/locks").ok()?;
        // 1: FLOCK  ADVISORY  WRITE 4242 fd:01:1234 0 EOF
        table.lines().find_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let held = words.next()? == "FLOCK";
            let pid = words.nth(2)?;
            (held && words.next()? == device).then(|| pid.parse().ok())?
        })
    }

    fn descriptor(&self) -> Option<i32> {
        Some(self.0.as_raw_fd())
    }
}
