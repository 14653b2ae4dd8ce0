//! The shared page: words moved by pread and pwrite, the mapping only a key for the futex.
//!
//! A load through the mapping would die of SIGBUS when another program truncates the file; a
//! futex call on it returns EFAULT instead.

#![expect(
    unsafe_code,
    reason = "mapping a file, and naming it to the futex call"
)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::mm::{MapFlags, ProtFlags};
use rustix::thread::futex;

use super::retry;
use crate::store::{File, Page};

const PAGE_BYTES: usize = 4096;
/// Not PRIVATE: the sleepers are other processes.
const SHARED: futex::Flags = if cfg!(mutant = "private_futex") {
    futex::Flags::PRIVATE
} else {
    futex::Flags::empty()
};
/// No word is behind these.
const USED_BYTES: usize = 1024;

#[derive(Debug)]
pub(super) struct RealPage {
    // Field order: the mapping goes before the file it maps, though either order would do.
    key: NonNull<AtomicU32>,
    /// Owns the descriptor.
    _file: Arc<dyn File>,
    descriptor: i32,
}

// SAFETY: the mapping is never read or written by this process, only named to the kernel.
unsafe impl Send for RealPage {}
// SAFETY: as above; the file is used by position only.
unsafe impl Sync for RealPage {}

impl RealPage {
    pub(super) fn new(file: Arc<dyn File>) -> io::Result<Self> {
        let descriptor = file.descriptor().ok_or(io::ErrorKind::Unsupported)?;
        // SAFETY: `file` owns the descriptor and is kept beside the borrowed number.
        let fd = unsafe { BorrowedFd::borrow_raw(descriptor) };
        if file.stat()?.size < PAGE_BYTES as u64 {
            retry(|| rustix::fs::ftruncate(fd, PAGE_BYTES as u64))?;
        }
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new shared mapping at an address that the kernel chooses overlaps nothing.
        let address = unsafe {
            rustix::mm::mmap(
                ptr::null_mut(),
                PAGE_BYTES,
                protection,
                MapFlags::SHARED,
                fd,
                0,
            )
        }?;
        let key = NonNull::new(address.cast::<AtomicU32>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            key,
            _file: file,
            descriptor,
        })
    }

    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `self._file` owns the descriptor and lives as long as `self`.
        unsafe { BorrowedFd::borrow_raw(self.descriptor) }
    }

    fn key(&self) -> &AtomicU32 {
        // SAFETY: the mapping lives as long as `self` and is aligned to a page. The reference is
        // passed to the kernel only; nothing loads or stores through it.
        unsafe { self.key.as_ref() }
    }
}

impl Drop for RealPage {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length, and no reference to it is left.
        let _ = unsafe { rustix::mm::munmap(self.key.as_ptr().cast(), PAGE_BYTES) };
    }
}

impl Page for RealPage {
    fn read(&self, words: &mut [u64]) -> io::Result<()> {
        // A page that was cut short reads as zeros: every value is only a hint.
        let mut bytes = [0u8; USED_BYTES];
        let length = (words.len() * 8).min(USED_BYTES);
        retry(|| rustix::io::pread(self.fd().as_fd(), &mut bytes[..length], 0))?;
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Ok(())
    }

    fn write(&self, word: usize, value: u64) -> io::Result<()> {
        retry(|| rustix::io::pwrite(self.fd().as_fd(), &value.to_le_bytes(), (word * 8) as u64))
            .map(drop)
    }

    fn wait(&self, seen: u64, timeout: Duration) -> io::Result<()> {
        let timeout = rustix::thread::Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the futex compares the low half, which on a little-endian machine comes first"
        )]
        let seen = seen as u32;
        match futex::wait(self.key(), SHARED, seen, Some(&timeout)) {
            Ok(()) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::TIMEDOUT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn wake_one(&self) -> io::Result<u32> {
        let woken = futex::wake(self.key(), SHARED, 1)?;
        Ok(u32::try_from(woken).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::store::Store;
    use crate::store::real::RealStore;

    #[test]
    fn a_sleeper_is_woken_through_another_mapping_of_the_page() {
        let directory = tempfile::tempdir().unwrap();
        let open = || {
            let store = RealStore::open(directory.path()).unwrap();
            store.page("page", 0o600).unwrap()
        };
        let (mine, other) = (open(), open());
        let sleeper = std::thread::spawn(move || {
            let began = Instant::now();
            mine.wait(0, Duration::from_secs(20)).unwrap();
            began.elapsed()
        });
        while other.wake_one().unwrap() == 0 && !sleeper.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(sleeper.join().unwrap() < Duration::from_secs(20));
    }

    #[test]
    fn a_page_that_was_cut_short_kills_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let store = RealStore::open(directory.path()).unwrap();
        let page = store.page("page", 0o600).unwrap();
        page.write(3, 7).unwrap();
        let path = directory.path().join("page");
        std::process::Command::new("truncate")
            .args(["-s", "0"])
            .arg(path)
            .status()
            .unwrap();
        let mut words = [1; 4];
        page.read(&mut words).unwrap();
        assert_eq!(words, [0; 4]);
        // The futex call says that there is nothing to wait on.
        assert!(page.wait(0, Duration::from_millis(1)).is_err());
        page.write(3, 8).unwrap();
        page.read(&mut words).unwrap();
        assert_eq!(words[3], 8);
    }
}
