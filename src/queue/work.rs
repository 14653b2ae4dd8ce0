//! The loop of a worker, and what keeps a lease while somebody works.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind, Result};
use crate::store::patience::{LockWait, Patience};
use crate::store::real::generation;

use super::receive::require_lease;
use super::{Nack, Queue, Receive};

/// A lease is extended when a third of it has passed: two tries may fail before it ends.
const PARTS: u32 = 3;
/// So long it waits for the lock at a time, because whoever ends it waits for that.
const SLICE: Duration = Duration::from_millis(500);
/// So soon it tries again when somebody has the lock.
const AGAIN: Duration = Duration::from_millis(10);
/// So long a worker that is to end goes on trying to settle what it has done.
const GRACE: Duration = Duration::from_secs(5);

/// Extends a lease until it is dropped, in a thread of its own; until the lease is lost, or the queue is closed.
#[derive(Debug)]
pub struct Keeper {
    stopped: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
    generation: u64,
}

/// How to work.
#[derive(Debug, Clone, Default)]
#[must_use = "it does nothing until it is given to `work`"]
pub struct Work {
    lease: Option<Duration>,
    let_go: bool,
}

impl Work {
    /// The lease that the queue's policy says, kept as long as the handler runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a message is this consumer's, at a time.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Whether the lease is kept while the handler runs, which takes a thread: so it is, unless this says otherwise.
    pub fn keep(mut self, keep: bool) -> Self {
        self.let_go = !keep;
        self
    }
}

impl Queue {
    /// Gives every message to `handler`: acks it when that is well, nacks it with the text when not, and waits for the next. What
    /// the handler itself acked, nacked or detached is left as it is.
    ///
    /// Ends with `Ok` when the queue is interrupted or closed: after the message that is worked on, so that nothing is left
    /// half done, or with `Interrupted` when that could not be settled. A receipt that has become stale meanwhile is no error: the message is delivered again, or was.
    pub fn work(
        &self,
        how: &Work,
        mut handler: impl FnMut(&Delivery) -> std::result::Result<(), String>,
    ) -> Result<()> {
        let mut receive = Receive::new().wait_forever();
        if let Some(lease) = how.lease {
            receive = receive.lease(lease);
        }
        let began = self.interrupts();
        while !self.is_interrupted_since(began) {
            let delivery = match self.receive(receive.clone()) {
                Ok(Some(delivery)) => delivery,
                Ok(None) => continue,
                Err(error) if has_ended(&error) => return Ok(()),
                Err(error) => return Err(error),
            };
            let keeper = (!how.let_go).then(|| self.keep(delivery.receipt(), how.lease));
            let keeper = match keeper.transpose() {
                Err(error) => {
                    // No fault of the message.
                    let _ = delivery.nack(&Nack::new());
                    let is_over = has_ended(&error);
                    return if is_over { Ok(()) } else { Err(error) };
                }
                Ok(keeper) => keeper,
            };
            let worked = handler(&delivery);
            drop(keeper);
            let settle = || match &worked {
                _ if delivery.is_settled() => Ok(()),
                Ok(()) => delivery.ack(),
                Err(text) => delivery.nack(&Nack::new().error(text)),
            };
            match settled(settle) {
                Err(error) if error.kind() == ErrorKind::StaleReceipt => {}
                Err(error) if error.kind() == ErrorKind::Closed => return Ok(()),
                settled => settled?,
            }
        }
        Ok(())
    }

    /// How often this handle has been interrupted; see [`Queue::is_interrupted_since`].
    pub(crate) fn interrupts(&self) -> u64 {
        self.handle.attach().interrupts.calls()
    }

    /// Whether this handle has been interrupted since then. Who works asks before each wait: an interrupt that came while he worked
    /// may have ended the wait of another thread.
    pub(crate) fn is_interrupted_since(&self, began: u64) -> bool {
        self.handle.attach().interrupts.have_come_since(began)
    }

    /// Keeps the lease that a receipt names until the keeper is dropped, or the lease is lost. `lease` is as long as the
    /// receive's; without it the policy's.
    pub fn keep(&self, receipt: &str, lease: Option<Duration>) -> Result<Keeper> {
        let lease = match lease {
            Some(lease) => lease,
            None => self.handle.policy()?.lease,
        };
        require_lease(lease)?;
        let stopped = Arc::new((Mutex::new(false), Condvar::new()));
        let (queue, receipt, seen) = (self.clone(), receipt.to_owned(), Arc::clone(&stopped));
        let wait = self.handle.at_most(SLICE);
        let keep = move || {
            let mut pause = lease / PARTS;
            while !is_stopped_within(&seen, pause) {
                let extended = queue.extend_within(wait, &[&receipt], lease);
                let failed = extended.and_then(super::single).err();
                pause = match failed.map(|error| error.kind()) {
                    Some(
                        ErrorKind::StaleReceipt | ErrorKind::InvalidArgument | ErrorKind::Closed,
                    ) => return,
                    // A check that says no to every wait is no reason to lose the lease.
                    Some(ErrorKind::LockTimeout | ErrorKind::Interrupted) => {
                        AGAIN.min(lease / PARTS)
                    }
                    _ => lease / PARTS,
                };
            }
        };
        let named = std::thread::Builder::new().name("flockq keeper".to_owned());
        let thread = named.spawn(keep).map_err(|error| {
            let text = format!("a keeper needs a thread: {error}");
            Error::new(ErrorKind::Io, text).because(error)
        })?;
        Ok(Keeper {
            stopped,
            thread: Some(thread),
            generation: generation(),
        })
    }
}

/// Settles what is done although a check says that waiting is to end, as long as nobody has to wait long for that.
fn settled(settle: impl Fn() -> Result<()>) -> Result<()> {
    let patience = Patience::new(LockWait::For(GRACE), None);
    loop {
        match settle() {
            Err(error) if error.kind() == ErrorKind::Interrupted && patience.left().is_some() => {}
            settled => return settled,
        }
    }
}

fn has_ended(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::Closed)
}

/// Waits for the end of the keeper, at most so long.
fn is_stopped_within(stopped: &(Mutex<bool>, Condvar), limit: Duration) -> bool {
    let (flag, changed) = stopped;
    let flag = held(flag);
    let waited = changed.wait_timeout_while(flag, limit, |stopped| !*stopped);
    *waited.unwrap_or_else(PoisonError::into_inner).0
}

fn held(flag: &Mutex<bool>) -> MutexGuard<'_, bool> {
    flag.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if self.generation != generation() {
            // A forked child has no such thread; what stands for it there may by now be another one.
            std::mem::forget(self.thread.take());
            return;
        }
        *held(&self.stopped.0) = true;
        self.stopped.1.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
