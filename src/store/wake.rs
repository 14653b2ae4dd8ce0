//! The doorbell of a lock: how a process that waits for it learns at once that it is free.
//!
//! The page holds two words. The *bell* counts releases at which somebody waited; a waiter sleeps
//! until it moves. The *stamp* is the time at which somebody last said that he waits; it goes stale
//! by itself, so that a waiter who was killed leaves nothing behind. Both are hints: without the
//! page, or with any nonsense in it, waiting still works, by looking again every few milliseconds.

use std::sync::Arc;
use std::time::Duration;

use super::patience::Patience;
use super::{Page, Store};
use crate::error::Result;

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
}

/// What a releaser owes to those who wait.
#[derive(Debug)]
#[must_use]
pub(crate) struct Ring(bool);

impl Bell {
    pub(crate) fn open(store: &Arc<dyn Store>, path: &str, mode: u32) -> Self {
        // Refused, read-only or no file at all: the page is never needed for correctness.
        Self {
            store: Arc::clone(store),
            page: store.page(path, mode).ok(),
        }
    }

    /// What the bell shows now; to be read before trying the lock, so that no release is missed.
    pub(crate) fn announce(&self) -> u64 {
        let Some(page) = &self.page else { return 0 };
        let _ = page.write(STAMP, self.store.system().boot_ms());
        page.read().map_or(0, |words| words[BELL])
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

    /// Under the lock, just before giving it up: moves the bell if somebody waits.
    pub(crate) fn before_release(&self) -> Ring {
        let Some(page) = &self.page else {
            return Ring(false);
        };
        let Ok([bell, stamp]) = page.read() else {
            return Ring(false);
        };
        if stamp == 0 || self.store.system().boot_ms().abs_diff(stamp) > STAMP_AGE_MS {
            return Ring(false);
        }
        Ring(page.write(BELL, bell.wrapping_add(1)).is_ok())
    }

    /// After giving the lock up: wakes one and lets it go first.
    pub(crate) fn after_release(&self, ring: &Ring) {
        let (true, Some(page)) = (ring.0, &self.page) else {
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
