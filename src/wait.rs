//! Waiting for a message: interrupts, and what a waiting receiver sleeps on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::Result;
use crate::store::patience::{Patience, interrupted};
use crate::store::{Store, Waker, Watch, Woken};

/// The longest sleep: it heals a lost event, and notices a dead consumer where events are not to be had.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The longest sleep where the system refuses to report changes.
const POLL: Duration = Duration::from_millis(50);

/// The interrupts of one queue handle. An interrupt ends the waits in progress; when there is none, the next one.
#[derive(Debug, Default)]
pub(crate) struct Interrupts {
    state: Mutex<State>,
    changed: Condvar,
    count: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    pending: bool,
    waiting: usize,
    wakers: Vec<Arc<dyn Waker>>,
}

impl Interrupts {
    /// Ends waits.
    pub(crate) fn interrupt(&self) {
        let mut state = self.state();
        if state.waiting == 0 {
            state.pending = true;
        } else {
            self.count.fetch_add(1, Ordering::Release);
            state.wakers.iter().for_each(|waker| waker.ring());
            self.changed.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One wait in progress.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    interrupts: &'a Interrupts,
    seen: u64,
    watch: Option<Box<dyn Watch>>,
    waker: Option<Arc<dyn Waker>>,
}

/// Watches that are not in use; making one costs several system calls.
#[derive(Debug, Default)]
pub(crate) struct Watches(Mutex<Vec<Box<dyn Watch>>>);

impl Watches {
    fn spare(&self) -> MutexGuard<'_, Vec<Box<dyn Watch>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A watch, or none where the system refuses one.
    pub(crate) fn take(
        &self,
        store: &dyn Store,
        snapshot: &str,
        journal: &str,
        directory: &str,
    ) -> Option<Box<dyn Watch>> {
        self.spare()
            .pop()
            .or_else(|| store.watch(snapshot, journal, directory).ok())
    }
}

impl<'a> Waiting<'a> {
    /// Begins to listen. From here on no change goes unseen, so the caller looks once more before it sleeps.
    pub(crate) fn begin(
        interrupts: &'a Interrupts,
        mut watch: Option<Box<dyn Watch>>,
    ) -> Result<Self> {
        if let Some(watch) = &mut watch {
            watch.drain();
        }
        let waker = watch.as_ref().map(|watch| watch.waker());
        let mut state = interrupts.state();
        if std::mem::take(&mut state.pending) {
            return Err(interrupted());
        }
        state.waiting += 1;
        state.wakers.extend(waker.clone());
        let seen = interrupts.count.load(Ordering::Acquire);
        drop(state);
        Ok(Self {
            interrupts,
            seen,
            watch,
            waker,
        })
    }

    /// Sleeps until something changed, something is due, or the heartbeat. False: the patience is at its end.
    pub(crate) fn sleep(&mut self, due: Option<Duration>, patience: &Patience) -> Result<bool> {
        let longest = due.unwrap_or(HEARTBEAT).min(HEARTBEAT);
        let Some(left) = patience.left() else {
            return Ok(false);
        };
        // A timer that ends a moment before the due time would only look once more for nothing.
        let timeout = left.min(longest + Duration::from_millis(1));
        let woken = if let Some(watch) = &mut self.watch {
            watch.wait(timeout).unwrap_or(Woken::TimedOut)
        } else {
            let state = self.interrupts.state();
            drop(
                self.interrupts
                    .changed
                    .wait_timeout(state, timeout.min(POLL))
                    .unwrap_or_else(PoisonError::into_inner),
            );
            Woken::Changed
        };
        if self.interrupts.count.load(Ordering::Acquire) != self.seen {
            return Err(interrupted());
        }
        if woken == Woken::Changed {
            patience.ask_sometimes()?;
        } else {
            // After a signal at once; otherwise the heartbeat is often enough.
            patience.ask()?;
        }
        Ok(true)
    }

    /// Ends the wait; the watch can serve the next one.
    pub(crate) fn end(mut self, watches: &Watches) {
        if let Some(watch) = self.watch.take() {
            watches.spare().push(watch);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.interrupts.state();
        state.waiting -= 1;
        let mine = |waker: &Arc<dyn Waker>| {
            self.waker
                .as_ref()
                .is_some_and(|mine| Arc::ptr_eq(waker, mine))
        };
        if let Some(place) = state.wakers.iter().position(mine) {
            state.wakers.swap_remove(place);
        }
    }
}
