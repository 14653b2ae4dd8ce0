//! Waiting for changes by inotify, in a poll that another thread can ring.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};

use super::retry;
use crate::store::{Waker, Watch, Woken};

#[derive(Debug)]
pub(super) struct RealWatch {
    inotify: OwnedFd,
    /// The watch on the root, of which only events on the queue's files count.
    root: i32,
    snapshot: String,
    journal: String,
    /// The journal at the path when it was last looked for: appending to it is no event of the root.
    path: PathBuf,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct Bell(OwnedFd);

impl RealWatch {
    /// Watches two files in `root`, and every file in `directory`, whose closing shows that a consumer died.
    pub(super) fn new(
        root: &Path,
        snapshot: &str,
        journal: &str,
        directory: &Path,
    ) -> io::Result<Self> {
        let inotify = retry(|| inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK))?;
        let changes = WatchFlags::MOVED_TO
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        let watched = retry(|| inotify::add_watch(&inotify, root, changes))?;
        // Probes open for reading only, so that they do not show here.
        retry(|| {
            inotify::add_watch(
                &inotify,
                directory,
                WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR,
            )
        })?;
        let bell = retry(|| eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK))?;
        let watch = Self {
            inotify,
            root: watched,
            snapshot: snapshot.to_owned(),
            journal: journal.to_owned(),
            path: root.join(journal),
            bell: Arc::new(Bell(bell)),
        };
        watch.follow_journal();
        Ok(watch)
    }

    /// Watches the journal that stands at the path now. There need not be one.
    fn follow_journal(&self) {
        let flags = WatchFlags::MODIFY | WatchFlags::DONT_FOLLOW;
        let _ = retry(|| inotify::add_watch(&self.inotify, &self.path, flags));
    }

    /// Reads what is there; whether any of it counts.
    fn read(&self) -> bool {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut counts = false;
        while let Ok(event) = reader.next() {
            let is = |file: &str| {
                let name = event.file_name();
                name.is_some_and(|name| name.to_bytes() == file.as_bytes())
            };
            if event.wd() == self.root && is(&self.journal) {
                self.follow_journal();
            }
            // An overflow has no name and no watch: everything may have changed.
            counts |= event.wd() != self.root || is(&self.snapshot) || is(&self.journal);
        }
        counts
    }
}

impl Watch for RealWatch {
    fn drain(&mut self) {
        self.read();
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&self.bell.0, &mut count);
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<Woken> {
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut ready = [
                PollFd::new(&self.bell.0, PollFlags::IN),
                PollFd::new(&self.inotify, PollFlags::IN),
            ];
            match poll(&mut ready, Some(&timeout)) {
                Ok(0) => return Ok(Woken::TimedOut),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => return Ok(Woken::Signal),
                Err(error) => return Err(error.into()),
            }
            if !ready[0].revents().is_empty() {
                return Ok(Woken::Rung);
            }
            if self.read() {
                return Ok(Woken::Changed);
            }
        }
    }

    fn waker(&self) -> Arc<dyn Waker> {
        Arc::clone(&self.bell) as Arc<dyn Waker>
    }
}

impl Waker for Bell {
    fn ring(&self) {
        // It can only fail when the count is full, and then the bell is ringing.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}
