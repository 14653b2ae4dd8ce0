//! The way of every look: read what is there, mend what another program has replaced, ask who is dead.

use std::collections::HashSet;

use crate::error::{ErrorKind, Result};
use crate::index::{Index, Now};
use crate::store::consumer;
use crate::store::files::{Files, Need};
use crate::store::lock::Hold;
use crate::store::patience::{LockWait, Patience};
use crate::store::registry::State;

use super::Handle;
use super::attached::Attached;

/// After this long (in milliseconds) the consumers are looked at again even when something is ready.
pub(super) const PROBE_EVERY_MS: u64 = 1000;

/// Which consumers an operation has to know the death of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// None: it looks at no lease.
    None,
    /// All, if that was not asked lately.
    Sometimes,
    /// All, now.
    Now,
}

impl Handle {
    /// Does `job`, which takes the lock itself; when another program has replaced the snapshot of a journalled queue, mends
    /// that and does it again.
    pub(crate) fn mending<T>(
        &self,
        attached: &Attached,
        job: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        self.mending_within(attached, &self.patience(), job)
    }

    /// The same, for which the lock is waited for so long.
    pub(super) fn mending_within<T>(
        &self,
        attached: &Attached,
        patience: &Patience,
        mut job: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        // Another thread may have mended it meanwhile: then it is done again, once, as damage looks the same.
        let mut is_again = false;
        loop {
            let done = job();
            let Err(error) = &done else { return done };
            if attached.entry.state().files.is_replaced() {
                let hold = attached.hold(patience)?;
                self.mend(attached, &hold)?;
            } else if is_again || error.kind() != ErrorKind::Corrupt {
                return done;
            } else {
                is_again = true;
            }
        }
    }

    pub(super) fn mend(&self, attached: &Attached, hold: &Hold) -> Result<()> {
        if !hold.is_guarded() {
            hold.guard(&self.patience())?;
        }
        let store = &*self.spool.store;
        while !{
            let files = &mut attached.entry.state().files;
            // Somebody else may have mended it meanwhile.
            files.refresh(store, &self.name, Need::Index).is_ok()
                || !files.is_replaced()
                || files.mend(store, &self.name, hold)?
        } {
            hold.renew(&self.patience())?;
        }
        Ok(())
    }

    /// One look, under the shared lock: programs without the library may be writing.
    pub(crate) fn look<T>(
        &self,
        probe: Probe,
        mut look: impl FnMut(&mut Index, &Now) -> Result<T>,
    ) -> Result<T> {
        self.look_at_files(probe, |files, now| look(files.index(), now))
    }

    /// The same, at all that is known of the queue.
    pub(crate) fn look_at_files<T>(
        &self,
        probe: Probe,
        look: impl FnMut(&mut Files, &Now) -> Result<T>,
    ) -> Result<T> {
        self.look_within(self.spool.lock_wait, probe, look)
    }

    /// The same, for which the lock is waited for so long.
    pub(super) fn look_within<T>(
        &self,
        wait: LockWait,
        probe: Probe,
        mut look: impl FnMut(&mut Files, &Now) -> Result<T>,
    ) -> Result<T> {
        let attached = self.attached()?;
        let mut once = || {
            self.mending(&attached, || {
                let _hold = attached.hold_shared(&self.patience_of(wait))?;
                let mut state = attached.entry.state();
                let State {
                    files, probed_ms, ..
                } = &mut *state;
                let index = files.refresh(&*self.spool.store, &self.name, Need::Index)?;
                let now = self.now(index, probe, probed_ms);
                look(files, &now)
            })
        };
        let seen = once()?;
        if self.go_on_with_moves(&attached) {
            return once();
        }
        Ok(seen)
    }

    /// The time, and who is known to be dead.
    pub(crate) fn now(&self, index: &mut Index, probe: Probe, probed_ms: &mut u64) -> Now {
        let store = &*self.spool.store;
        let system = store.system();
        let mut now = Now {
            wall: system.wall(),
            boot_ms: system.boot_ms(),
            boot_id: system.boot_id(),
            dead: HashSet::new(),
        };
        let due = match probe {
            Probe::None => false,
            Probe::Sometimes => now.boot_ms.abs_diff(*probed_ms) >= PROBE_EVERY_MS,
            Probe::Now => true,
        };
        if due {
            *probed_ms = now.boot_ms;
            now.dead = index
                .consumers(&now)
                .into_iter()
                .filter(|name| consumer::is_dead(store, name))
                .collect();
        }
        now
    }

    /// Reads what is new without the lock, so that little is left to be read under it: nobody waits while a long queue is
    /// read for the first time. What comes of it is looked at again under the lock.
    pub(super) fn catch_up(&self, attached: &Attached, need: Need) {
        let files = &mut attached.entry.state().files;
        let _ = files.look_ahead(&*self.spool.store, &self.name, need);
    }
}
