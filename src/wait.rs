//! Waiting for a message: interrupts, cancels, and what a waiting receiver sleeps on.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::error::Result;
use crate::format::name::{CONSUMERS_DIRECTORY, QueueName};
use crate::store::patience::{Patience, interrupted};
use crate::store::sleepers::{Sleepers, Slot};
use crate::store::{Store, Waker, Watch, Watched, Woken};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// The longest sleep: it heals a lost event, and notices a dead consumer where events are not to be had.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);
/// The longest sleep where the system refuses to report changes.
const POLL: Duration = Duration::from_millis(50);

/// The interrupts of one queue handle. An interrupt ends the waits in progress; when there is none, the next one.
#[derive(Debug, Default)]
pub(crate) struct Interrupts {
    state: Mutex<State>,
    changed: Condvar,
    /// How many waits were ended, for those who ask without the lock.
    ended: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// How often somebody has interrupted.
    calls: u64,
    pending: bool,
    waiting: usize,
    wakers: Vec<Arc<dyn Waker>>,
}

impl Interrupts {
    /// Ends waits.
    pub(crate) fn interrupt(&self) {
        let mut state = self.state();
        state.calls += 1;
        if state.waiting == 0 {
            state.pending = true;
        } else {
            self.ended.fetch_add(1, Ordering::Release);
            state.wakers.iter().for_each(|waker| waker.ring());
            self.changed.notify_all();
        }
    }

    /// Fails when a wait is to be ended that had not begun.
    pub(crate) fn take_pending(&self) -> Result<()> {
        if std::mem::take(&mut self.state().pending) {
            return Err(interrupted());
        }
        Ok(())
    }

    /// How often somebody has interrupted so far.
    pub(crate) fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Whether somebody has interrupted since there were so many; who asks takes it for himself, so that it ends no wait later.
    /// For those who are interrupted in what they do between two waits, also while others wait.
    pub(crate) fn have_come_since(&self, calls: u64) -> bool {
        let mut state = self.state();
        let have_come = state.calls != calls;
        state.pending &= !have_come;
        have_come
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the wait that it is given to ([`Receive::cancel`](crate::Receive::cancel)), and no other of the same handle: for a task or
/// a request that is given up. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Mutex<Cancelled>>);

#[derive(Debug, Default)]
struct Cancelled {
    is_cancelled: bool,
    wakers: Vec<Arc<dyn Waker>>,
}

impl Cancel {
    /// Nothing is cancelled yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The wait ends with `Interrupted`, whether it has begun or not; and so does every one that this is given to later.
    pub fn cancel(&self) {
        let mut state = self.state();
        state.is_cancelled = true;
        state.wakers.iter().for_each(|waker| waker.ring());
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.state().is_cancelled
    }

    /// Fails when it is cancelled.
    pub(crate) fn ask(&self) -> Result<()> {
        if self.is_cancelled() {
            return Err(interrupted());
        }
        Ok(())
    }

    /// From here on it wakes this one; so the caller asks once more before it sleeps.
    pub(crate) fn wakes(&self, waiting: &Waiting<'_>) -> Waking<'_> {
        let waker = waiting.waker.clone();
        self.state().wakers.extend(waker.clone());
        Waking {
            cancel: self,
            waker,
        }
    }

    fn state(&self) -> MutexGuard<'_, Cancelled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until it is dropped, a cancel wakes a wait.
#[derive(Debug)]
pub(crate) struct Waking<'a> {
    cancel: &'a Cancel,
    waker: Option<Arc<dyn Waker>>,
}

impl Drop for Waking<'_> {
    fn drop(&mut self) {
        if let Some(waker) = &self.waker {
            forget(&mut self.cancel.state().wakers, waker);
        }
    }
}

fn forget(wakers: &mut Vec<Arc<dyn Waker>>, one: &Arc<dyn Waker>) {
    if let Some(place) = wakers.iter().position(|waker| Arc::ptr_eq(waker, one)) {
        wakers.swap_remove(place);
    }
}

/// One wait in progress.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    interrupts: &'a Interrupts,
    beds: &'a Beds,
    seen: u64,
    bed: Option<Bed>,
    waker: Option<Arc<dyn Waker>>,
    is_chosen: bool,
    /// Whether an interrupt has ended it.
    is_interrupted: bool,
}

/// What ended a sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slept {
    /// A commit chose this receiver for one of the messages it brought.
    Chosen,
    /// Something changed, something may be due, or the heartbeat.
    Woken,
    /// The patience is at its end.
    Over,
}

/// What a receiver sleeps on: the changes of files, and a slot in which it can be chosen.
#[derive(Debug)]
struct Bed {
    watch: Box<dyn Watch>,
    slot: Option<Slot>,
}

/// Beds that are not in use; making one costs several system calls.
#[derive(Debug, Default)]
pub(crate) struct Beds(Mutex<Vec<Bed>>);

impl Beds {
    fn spare(&self) -> MutexGuard<'_, Vec<Bed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A bed, or none where the system refuses one. Without sleepers, one that no commit chooses: every change wakes it.
    fn take(
        &self,
        store: &dyn Store,
        name: &QueueName,
        sleepers: Option<&Arc<Sleepers>>,
    ) -> Option<Bed> {
        if sleepers.is_some()
            && let Some(spare) = self.spare().pop()
        {
            return Some(spare);
        }
        let slot = sleepers.and_then(Sleepers::slot);
        let what = Watched {
            snapshot: name.snapshot(),
            journal: name.journal(),
            directory: CONSUMERS_DIRECTORY,
            slot: slot.as_ref().map(Slot::path),
        };
        let watch = store.watch(&what).ok()?;
        Some(Bed { watch, slot })
    }
}

impl<'a> Waiting<'a> {
    /// Begins to listen. From here on no change goes unseen, so the caller looks once more before it sleeps.
    pub(crate) fn begin(
        interrupts: &'a Interrupts,
        beds: &'a Beds,
        store: &dyn Store,
        name: &QueueName,
        sleepers: Option<&Arc<Sleepers>>,
    ) -> Result<Self> {
        let mut bed = beds.take(store, name, sleepers);
        if let Some(bed) = &mut bed {
            bed.watch.drain();
        }
        let waker = bed.as_ref().map(|bed| bed.watch.waker());
        let mut state = interrupts.state();
        if std::mem::take(&mut state.pending) {
            return Err(interrupted());
        }
        state.waiting += 1;
        state.wakers.extend(waker.clone());
        let seen = interrupts.ended.load(Ordering::Acquire);
        drop(state);
        Ok(Self {
            interrupts,
            beds,
            seen,
            bed,
            waker,
            is_chosen: false,
            is_interrupted: false,
        })
    }

    /// From here on a commit may choose this receiver, so it looks once more before it sleeps.
    pub(crate) fn lie_down(&mut self) {
        self.is_chosen = false;
        if let Some(slot) = self.slot() {
            slot.fall_asleep();
        }
    }

    /// From here on no commit chooses this receiver: it goes to take what is there.
    pub(crate) fn get_up(&self) {
        if !self.is_chosen
            && let Some(slot) = self.slot()
        {
            slot.wake();
        }
    }

    fn slot(&self) -> Option<&Slot> {
        self.bed.as_ref()?.slot.as_ref()
    }

    /// Sleeps until something changed, something is due, or the heartbeat.
    pub(crate) fn sleep(&mut self, due: Option<Duration>, patience: &Patience) -> Result<Slept> {
        let longest = due.unwrap_or(HEARTBEAT).min(HEARTBEAT);
        let Some(left) = patience.left() else {
            return Ok(Slept::Over);
        };
        // A timer that ends a moment before the due time would only look once more for nothing.
        let timeout = left.min(longest + Duration::from_millis(1));
        let woken = if let Some(bed) = &mut self.bed {
            bed.watch.wait(timeout).unwrap_or(Woken::TimedOut)
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
        self.heed()?;
        self.is_chosen = woken == Woken::Chosen;
        match woken {
            Woken::Changed | Woken::Chosen => patience.ask_sometimes()?,
            // After a signal at once; otherwise the heartbeat is often enough.
            _ => patience.ask()?,
        }
        Ok(if self.is_chosen {
            Slept::Chosen
        } else {
            Slept::Woken
        })
    }

    /// Whether the patience of one who does not sleep is at its end.
    pub(crate) fn is_over(&mut self, patience: &Patience) -> Result<bool> {
        self.heed()?;
        patience.ask_sometimes()?;
        Ok(patience.left().is_none())
    }

    /// Fails when an interrupt has ended the wait.
    fn heed(&mut self) -> Result<()> {
        if self.interrupts.ended.load(Ordering::Acquire) != self.seen {
            self.is_interrupted = true;
            return Err(interrupted());
        }
        Ok(())
    }

    /// Ends the wait of one who got up; the bed can serve the next one.
    pub(crate) fn end(mut self) {
        if let Some(bed) = self.bed.take() {
            self.beds.spare().push(bed);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Whoever was chosen and leaves without having taken anything has to say so.
        if let Some(slot) = self.slot() {
            slot.wake_and_pass_on();
        }
        let mut state = self.interrupts.state();
        state.waiting -= 1;
        // It came when there was something to take already: then it is the next wait that it ends.
        let came = self.interrupts.ended.load(Ordering::Acquire) != self.seen;
        state.pending |= came && !self.is_interrupted;
        if let Some(waker) = &self.waker {
            forget(&mut state.wakers, waker);
        }
    }
}
