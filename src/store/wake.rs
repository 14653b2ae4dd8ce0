//! The doorbell of a lock: how a process that waits for it learns at once that it is free.
//!
//! The page's first two words are for the lock; [`super::sleepers`] has the others. The *bell* counts releases at which somebody waited; a waiter sleeps
//! until it moves. The *stamp* is the time at which somebody last said that he waits; it goes stale
//! by itself, so that a waiter who was killed leaves nothing behind. Both are hints: without the
//! page, or with any nonsense in it, waiting still works, by looking again every few milliseconds.

use std::sync::Arc;
use std::time::Duration;

use super::patience::Patience;
use super::sleepers::{Sleepers, WORDS};
use super::{Page, Store};
use crate::error::Result;
use crate::format::name::LockNames;

/// The longest sleep between two looks: programs without the library unlock without ringing.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// The sleep between two looks where there is no page.
const LOOK_AGAIN_BLIND: Duration = Duration::from_millis(1);
/// A stamp older than this (in milliseconds) is nobody's: a waiter renews his at every look.
const STAMP_AGE_MS: u64 = 30;
/// How long a releaser stands back for the one it woke.
const STAND_BACK: Duration = Duration::from_micros(50);

const BELL: usize = 0;
const STAMP: usize = 1;

#[derive(Debug)]
pub(crate) struct Bell {
    store: Arc<dyn Store>,
    page: Option<Arc<dyn Page>>,
    sleepers: Arc<Sleepers>,
}

/// What a releaser owes to those who wait.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Ring {
    /// Whether somebody waits for the lock.
    lock: bool,
    /// The receivers that are to be woken.
    receivers: Vec<usize>,
}

impl Bell {
    pub(crate) fn open(store: &Arc<dyn Store>, names: &LockNames, mode: u32) -> Self {
        // Refused, read-only or no file at all: the page is never needed for correctness.
        let page = store.page(&names.wake, mode).ok();
        let sleepers = Sleepers::new(store, page.as_ref(), &names.waiters, mode);
        Self {
            store: Arc::clone(store),
            page,
            sleepers: Arc::new(sleepers),
        }
    }

    /// The receivers that sleep on the queue.
    pub(crate) fn sleepers(&self) -> &Arc<Sleepers> {
        &self.sleepers
    }

    /// What the bell shows now; to be read before trying the lock, so that no release is missed.
    pub(crate) fn announce(&self) -> u64 {
        let Some(page) = &self.page else { return 0 };
        let _ = page.write(STAMP, self.store.system().boot_ms());
        let mut words = [0; 2];
        page.read(&mut words).map_or(0, |()| words[BELL])
    }

    /// Sleeps until the bell has moved on from `seen`, at most for one look.
    pub(crate) fn sleep(&self, seen: u64, patience: &Patience) -> Result<()> {
        let longest = if self.page.is_some() {
            LOOK_AGAIN
        } else {
            LOOK_AGAIN_BLIND
        };
        let Some(slice) = patience.slice(longest) else {
            return Ok(());
        };
        match &self.page {
            // A signal, or a page that was cut short: the check decides, and the loop looks again.
            Some(page) => {
                if let Err(error) = page.wait(seen, slice) {
                    patience.ask()?;
                    if error.kind() != std::io::ErrorKind::Interrupted {
                        self.store.system().sleep(slice.min(LOOK_AGAIN_BLIND));
                    }
                }
            }
            None => self.store.system().sleep(slice),
        }
        Ok(())
    }

    /// Under the lock, just before giving it up: moves the bell if somebody waits, and chooses receivers for what the holder
    /// `brought`.
    pub(crate) fn before_release(&self, brought: usize) -> Ring {
        let Some(page) = &self.page else {
            return Ring::default();
        };
        let mut words = [0; WORDS];
        let used = if brought == 0 { 2 } else { WORDS };
        if page.read(&mut words[..used]).is_err() {
            return Ring::default();
        }
        let (bell, stamp) = (words[BELL], words[STAMP]);
        let waits = stamp != 0 && self.store.system().boot_ms().abs_diff(stamp) <= STAMP_AGE_MS;
        Ring {
            lock: waits && page.write(BELL, bell.wrapping_add(1)).is_ok(),
            receivers: self.sleepers.choose(&words, brought),
        }
    }

    /// After giving the lock up: wakes the receivers, and one who waits for the lock, who goes first.
    pub(crate) fn after_release(&self, ring: &Ring) {
        self.sleepers.ring(&ring.receivers);
        let (true, Some(page)) = (ring.lock, &self.page) else {
            return;
        };
        if page.wake_one().is_ok_and(|woken| woken > 0) {
            // The woken one needs a moment to run; taking the lock again at once would starve it.
            self.store.system().sleep(STAND_BACK);
        } else {
            let _ = page.write(STAMP, 0);
        }
    }
}
