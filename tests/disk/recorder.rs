//! The disk itself: a file system in user space with one file.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyWrite, Request, WriteFlags,
};

use super::image;
use super::log::{Entry, Log};

const NAME: &str = "disk";
const INODE: INodeNo = INodeNo(2);
const FOR_EVER: Duration = Duration::from_secs(3600);

/// The image behind the file, and what it was told.
struct Disk {
    image: File,
    size: u64,
    log: Arc<Log>,
}

impl Disk {
    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let is_root = inode == INodeNo::ROOT;
        FileAttr {
            ino: inode,
            size: if is_root { 0 } else { self.size },
            blocks: self.size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_root {
                FileType::Directory
            } else {
                FileType::RegularFile
            },
            perm: 0o700,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

/// Refusals come from here only: nobody else fails a disk.
impl Filesystem for Disk {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == NAME {
            reply.entry(&FOR_EVER, &self.attributes(INODE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOR_EVER, &self.attributes(inode));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // No cache in between: what the loop device writes arrives at once, and in its order.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut bytes = vec![0; size.try_into().unwrap_or(0)];
        match self.image.read_at(&mut bytes, offset) {
            Ok(count) => reply.data(&bytes[..count]),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let is_refused = self.log.fails_writes.load(Ordering::SeqCst);
        if is_refused || self.image.write_all_at(bytes, offset).is_err() {
            return reply.error(Errno::EIO);
        }
        self.log.add(Entry::Write {
            offset,
            bytes: bytes.to_vec(),
        });
        reply.written(bytes.len().try_into().unwrap_or(u32::MAX));
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        if self.log.fails_flushes.load(Ordering::SeqCst) {
            return reply.error(Errno::EIO);
        }
        self.log.add(Entry::Flush);
        reply.ok();
    }
}

/// A disk that runs; gone when it is dropped.
pub struct Recorder {
    pub log: Arc<Log>,
    session: Option<BackgroundSession>,
    directory: tempfile::TempDir,
}

impl Recorder {
    /// One that begins with what is in this image, and writes to it.
    pub fn start(path: &Path) -> io::Result<Self> {
        let image = File::options().read(true).write(true).open(path)?;
        let log = Arc::new(Log::default());
        let disk = Disk {
            size: image.metadata()?.len(),
            image,
            log: Arc::clone(&log),
        };
        let directory = tempfile::tempdir()?;
        let session = fuser::spawn_mount(disk, directory.path(), &Config::default())?;
        Ok(Self {
            log,
            session: Some(session),
            directory,
        })
    }

    /// What a loop device can be made of.
    pub fn device(&self) -> PathBuf {
        self.directory.path().join(NAME)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // The loop device lets go of the file a moment after the file system on it is gone.
        image::wait_until_detached(&self.device());
        if let Some(session) = self.session.take() {
            let _ = session.umount_and_join();
        }
    }
}
