//! Receiving, with and without waiting.

use std::time::Duration;

use crate::LockWait;
use crate::delivery::Delivery;
use crate::envelope::Envelope;
use crate::error::Result;
use crate::format::name::CONSUMERS_DIRECTORY;
use crate::index::plan::{self, Grant, Taken};
use crate::store::consumer;
use crate::store::files::Need;
use crate::store::lock::make_directories;
use crate::store::patience::Patience;
use crate::wait::Waiting;

use super::handle::{Attached, Probe};
use super::{Handle, Queue};

/// The lease of a receive that names none.
const DEFAULT_LEASE: Duration = Duration::from_secs(300);

/// How to receive.
#[derive(Debug, Clone)]
#[must_use = "it does nothing until it is given to `receive`"]
pub struct Receive {
    lease: Duration,
    wait: Option<LockWait>,
    detached: bool,
}

impl Receive {
    /// A lease of five minutes; not waiting.
    pub fn new() -> Self {
        Self {
            lease: DEFAULT_LEASE,
            wait: None,
            detached: false,
        }
    }

    /// How long the message is this consumer's.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Wait this long for a message.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = (!wait.is_zero()).then_some(LockWait::For(wait));
        self
    }

    /// Wait until a message comes.
    pub fn wait_forever(mut self) -> Self {
        self.wait = Some(LockWait::Forever);
        self
    }

    /// A lease that ends at its deadline or a reboot, but not with this process.
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }
}

impl Default for Receive {
    fn default() -> Self {
        Self::new()
    }
}

impl Queue {
    /// Takes the next ready message under a lease; `None` when none came.
    ///
    /// The attempt is counted before this returns. Fails with `Interrupted` when a wait was ended.
    pub fn receive(&self, how: Receive) -> Result<Option<Delivery>> {
        Ok(self.receive_many(1, how)?.pop())
    }

    /// Takes up to `max` ready messages in one commit; waiting ends with the first that come.
    pub fn receive_many(&self, max: usize, how: Receive) -> Result<Vec<Delivery>> {
        if max == 0 {
            return Ok(Vec::new());
        }
        // Without waiting, or with something there, listening would be work for nothing.
        let taken = self.take(max, &how, Probe::Sometimes)?;
        let (true, Some(wait)) = (taken.is_empty(), how.wait) else {
            return Ok(taken);
        };
        let patience = Patience::new(wait, self.handle.spool.check.clone());
        let attached = self.handle.attached()?;
        let mut waiting = self.handle.listen(&attached)?;
        loop {
            let (ready, due) = self.handle.peek_ready(&attached);
            if ready {
                let taken = self.take(max, &how, Probe::Now)?;
                if !taken.is_empty() {
                    waiting.end(&attached.watches);
                    return Ok(taken);
                }
            }
            let slept = waiting.sleep(due, &patience);
            // Closing the handle interrupts its waits: then that is what is to be told.
            self.handle.attached()?;
            if !slept? {
                waiting.end(&attached.watches);
                return self.take(max, &how, Probe::Now);
            }
        }
    }

    /// Receive and ack in one commit: the message is the caller's, and gone if he dies with it. Does not wait.
    pub fn pop(&self) -> Result<Option<Envelope>> {
        let durable = self.handle.durable(None, true);
        let once = |probe| {
            self.handle
                .change(durable, Need::Index, probe, |index, now, _| {
                    plan::pop(index, now, 1)
                })
        };
        let mut popped = once(Probe::Sometimes)?;
        if popped.is_empty() {
            popped = once(Probe::Now)?;
        }
        Ok(popped.pop().map(Envelope::from))
    }

    /// One try. When nothing is ready, a consumer may have died since the last look.
    fn take(&self, max: usize, how: &Receive, probe: Probe) -> Result<Vec<Delivery>> {
        let taken = self.take_once(max, how, probe)?;
        if taken.is_empty() && probe == Probe::Sometimes {
            return self.take_once(max, how, Probe::Now);
        }
        Ok(taken)
    }

    fn take_once(&self, max: usize, how: &Receive, probe: Probe) -> Result<Vec<Delivery>> {
        let handle = &self.handle;
        let store = &*handle.spool.store;
        let durable = handle.durable(None, true);
        let taken: Vec<Taken> = handle.change(durable, Need::Index, probe, |index, now, _| {
            // A consumer's file is made only when there is something to lease.
            let consumer = if how.detached || !index.has_ready(now) {
                None
            } else {
                Some(consumer::consumer(store, handle.spool.root)?)
            };
            let random = || store.system().random();
            let fresh_id = || store.system().fresh_id();
            plan::receive(
                index,
                now,
                max,
                &Grant {
                    lease: how.lease,
                    consumer,
                    random: &random,
                    fresh_id: &fresh_id,
                },
            )
        })?;
        let attached = handle.attached()?;
        if !how.detached {
            attached
                .leases()
                .extend(taken.iter().map(|taken| taken.receipt.clone()));
        }
        Ok(taken
            .into_iter()
            .map(|taken| Delivery::new(self, taken))
            .collect())
    }
}

impl Handle {
    /// Begins to listen for changes of the queue's file and for dying consumers.
    fn listen<'a>(&self, attached: &'a Attached) -> Result<Waiting<'a>> {
        let store = &*self.spool.store;
        // Best effort, as the watch is: without it the wait polls.
        if let Ok(root) = store.root_stat() {
            let _ = make_directories(store, CONSUMERS_DIRECTORY, root.directory_mode());
        }
        let watch = attached.watches.take(
            store,
            &self.name.snapshot(),
            &self.name.journal(),
            CONSUMERS_DIRECTORY,
        );
        Waiting::begin(&attached.interrupts, watch)
    }

    /// Whether a receive would find something, and else when that can change by itself. Looks without
    /// the queue's lock, so that a crowd of waiters does not queue for it: a whole file is whole at any
    /// time, and what a program that writes in place leaves half done is read again at the next look.
    fn peek_ready(&self, attached: &Attached) -> (bool, Option<Duration>) {
        let mut state = attached.entry.state();
        let probed_ms = &mut state.probed_ms.clone();
        let Ok(index) = state
            .files
            .refresh(&*self.spool.store, &self.name, Need::Index)
        else {
            // Under the lock it is damage or not.
            return (true, None);
        };
        let now = self.now(index, Probe::Now, probed_ms);
        (index.has_ready(&now), index.next_due(&now))
    }
}
