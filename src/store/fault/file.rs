//! An open file of the simulated disk.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::{Inode, What};
use super::{Disk, pause};
use crate::store::{Attributes, File, LockKind, Stat};

pub(super) struct FaultFile {
    pub(super) disk: Arc<Mutex<Disk>>,
    pub(super) inode: u64,
    pub(super) open: u64,
    /// How many failed syncs of the file it has been told of.
    pub(super) told: AtomicU64,
}

impl FaultFile {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    fn inode<T>(&self, look: impl FnOnce(&mut Inode) -> T) -> T {
        look(self.disk().contents.inode(self.inode))
    }

    /// Gives the locks of this descriptor up.
    fn give_up(&self) {
        let open = self.open;
        self.inode(|inode| {
            inode.shared.retain(|holder| *holder != open);
            inode.exclusive = inode.exclusive.filter(|holder| *holder != open);
        });
    }

    /// Writes there, or behind what is there; when it fails, half of the bytes have been written; on a disk that fills up, as
    /// many as it has space for.
    fn write(&self, bytes: &[u8], at: Option<usize>) -> io::Result<()> {
        pause();
        let mut disk = self.disk();
        let failed = disk.effect_on("write", self.inode).err();
        if failed.is_some() && disk.is_dead() {
            return failed.map_or(Ok(()), Err);
        }
        let wanted = if failed.is_some() {
            bytes.len() / 2
        } else {
            bytes.len()
        };
        let is_refused = disk.unwritable.as_ref() == Some(&disk.short_name(self.inode));
        let length = if is_refused {
            0
        } else {
            disk.take_space(wanted)
        };
        let full = || io::Error::from_raw_os_error(libc::ENOSPC);
        let failed = failed.or_else(|| (length < wanted).then(full));
        let at = at.unwrap_or_else(|| disk.contents.inode(self.inode).content.len());
        let what = What::Write(at, Arc::from(&bytes[..length]));
        disk.change(self.inode, what, failed.is_some());
        #[cfg(shuttle)]
        {
            let name = disk.short_name(self.inode);
            let watches = disk.waiting.written(&name);
            drop(disk);
            super::waiting::tell(&watches);
        }
        failed.map_or(Ok(()), Err)
    }
}

impl File for FaultFile {
    fn stat(&self) -> io::Result<Stat> {
        let disk = self.disk();
        Ok(disk.contents.inodes[&self.inode].stat(disk.number, self.inode))
    }

    fn read_all(&self) -> io::Result<Vec<u8>> {
        self.disk().files_read += 1;
        Ok(self.inode(|inode| inode.content.to_vec()))
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes, None)
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        pause();
        let from = usize::try_from(offset).unwrap();
        Ok(self.inode(|inode| {
            let end = from.saturating_add(length).min(inode.content.len());
            inode.content.get(from..end).unwrap_or_default().to_vec()
        }))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write(bytes, Some(usize::try_from(offset).unwrap()))
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        pause();
        let mut disk = self.disk();
        disk.effect_on("cut", self.inode)?;
        let size = usize::try_from(size).unwrap();
        let before = disk.contents.inodes[&self.inode].content.len();
        disk.free_space(before.saturating_sub(size));
        disk.change(self.inode, What::Size(size), false);
        Ok(())
    }

    /// As on Linux: when it fails, what was not durable is thrown away, and is still there to be read. Each descriptor that
    /// was open then is told once, by its own next sync, which makes durable what was written since; one that was opened
    /// later is never told.
    fn sync(&self) -> io::Result<()> {
        pause();
        let mut disk = self.disk();
        let done = disk.effect_on("sync", self.inode);
        #[cfg(shuttle)]
        let done = done.and_then(|()| disk.sync_fails());
        if done.is_err() && disk.is_dead() {
            // A process that is dead has not made the system throw anything away.
            return done;
        }
        let inode = disk.contents.inode(self.inode);
        match done {
            Ok(()) => inode.synced(),
            Err(_) => inode.sync_failed(),
        }
        let told = self.told.swap(inode.failures, Ordering::Relaxed);
        if done.is_ok() && told < inode.failures {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        done
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn attributes(&self) -> io::Result<Attributes> {
        Ok(Attributes {
            mode: self.inode(|inode| inode.mode),
            owner: None,
            acl: None,
        })
    }

    fn set_attributes(&self, attributes: &Attributes) -> io::Result<()> {
        self.inode(|inode| inode.mode = attributes.mode);
        Ok(())
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        pause();
        let open = self.open;
        Ok(self.inode(|inode| {
            let others_share = inode.shared.iter().any(|holder| *holder != open);
            let other_has = inode.exclusive.is_some_and(|holder| holder != open);
            if other_has || (kind == LockKind::Exclusive && others_share) {
                return false;
            }
            inode.shared.retain(|holder| *holder != open);
            inode.exclusive = None;
            match kind {
                LockKind::Shared => inode.shared.push(open),
                LockKind::Exclusive => inode.exclusive = Some(open),
            }
            true
        }))
    }

    fn unlock(&self) -> io::Result<()> {
        pause();
        self.give_up();
        Ok(())
    }

    fn lock_record(&self) -> io::Result<()> {
        Ok(())
    }

    fn record_is_locked(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn lock_holder(&self) -> Option<u32> {
        None
    }

    fn descriptor(&self) -> Option<i32> {
        None
    }
}

impl Drop for FaultFile {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl fmt::Debug for FaultFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultFile({})", self.inode)
    }
}
