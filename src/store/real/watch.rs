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
use crate::store::{Waker, Watch, Watched, Woken};

#[derive(Debug)]
pub(super) struct RealWatch {
    inotify: OwnedFd,
    /// The watch on the root, of which only events on the queue's files count.
    root: i32,
    snapshot: String,
    journal: String,
    /// The watch on the slot.
    slot: Option<i32>,
    /// Without a slot: the journal at the path when it was last looked for. Appending to it is no event of the root.
    path: PathBuf,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct Bell(OwnedFd);

impl RealWatch {
    pub(super) fn new(root: &Path, what: &Watched) -> io::Result<Self> {
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
                root.join(what.directory),
                WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR,
            )
        })?;
        let bell = retry(|| eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK))?;
        let written = WatchFlags::MODIFY | WatchFlags::DONT_FOLLOW;
        let slot = what
            .slot
            .as_ref()
            .and_then(|slot| retry(|| inotify::add_watch(&inotify, root.join(slot), written)).ok());
        let watch = Self {
            inotify,
            root: watched,
            snapshot: what.snapshot.clone(),
            journal: what.journal.clone(),
            slot,
            path: root.join(&what.journal),
            bell: Arc::new(Bell(bell)),
        };
        watch.follow_journal();
        Ok(watch)
    }

    /// Watches the journal that stands at the path now. There need not be one.
    fn follow_journal(&self) {
        if self.slot.is_some() {
            return;
        }
        let flags = WatchFlags::MODIFY | WatchFlags::DONT_FOLLOW;
        let _ = retry(|| inotify::add_watch(&self.inotify, &self.path, flags));
    }

    /// Reads what is there; what of it counts.
    fn read(&self) -> Option<Woken> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut counts = None;
        while let Ok(event) = reader.next() {
            let is = |file: &str| {
                let name = event.file_name();
                name.is_some_and(|name| name.to_bytes() == file.as_bytes())
            };
            if event.wd() == self.root && is(&self.journal) {
                self.follow_journal();
            }
            if Some(event.wd()) == self.slot {
                counts = Some(Woken::Chosen);
            } else if event.wd() != self.root || is(&self.snapshot) || is(&self.journal) {
                // An overflow has no name and no watch: everything may have changed.
                counts = counts.or(Some(Woken::Changed));
            }
        }
        counts
    }
}

impl Watch for RealWatch {
    fn drain(&mut self) {
        self.read();
        self.bell.silence();
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
                // Once for a ring: whoever rings has told why before.
                self.bell.silence();
                return Ok(Woken::Rung);
            }
            if let Some(woken) = self.read() {
                return Ok(woken);
            }
        }
    }

    fn waker(&self) -> Arc<dyn Waker> {
        Arc::clone(&self.bell) as Arc<dyn Waker>
    }
}

impl Bell {
    fn silence(&self) {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&self.0, &mut count);
    }
}

impl Waker for Bell {
    fn ring(&self) {
        // It can only fail when the count is full, and then the bell is ringing.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::RealStore;
    use super::*;
    use crate::store::Store;
    use crate::store::make_directories;

    #[test]
    fn a_ring_ends_one_wait() {
        let directory = tempfile::tempdir().unwrap();
        let store = RealStore::open(directory.path()).unwrap();
        make_directories(&store, "consumers", 0o700).unwrap();
        let what = Watched {
            snapshot: "inbound.json".to_owned(),
            journal: "inbound.json.journal".to_owned(),
            directory: "consumers",
            slot: None,
        };
        let mut watch = store.watch(&what).unwrap();
        watch.waker().ring();
        let mut wait = || watch.wait(Duration::from_millis(20)).unwrap();
        assert_eq!([wait(), wait()], [Woken::Rung, Woken::TimedOut]);
    }
}
