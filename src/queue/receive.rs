//! Receiving, with and without waiting.

use std::time::Duration;

use crate::LockWait;
use crate::delivery::Delivery;
use crate::envelope::Envelope;
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::CONSUMERS_DIRECTORY;
use crate::index::plan::{self, Grant, Received};
use crate::store::consumer;
use crate::store::files::Need;
use crate::store::journal::is_full;
use crate::store::make_directories;
use crate::store::patience::Patience;
use crate::wait::{Cancel, Slept, Waiting};

use super::attached::Attached;
use super::change::Wish;
use super::look::Probe;
use super::{Handle, Queue};

/// How to receive.
#[derive(Debug, Clone)]
#[must_use = "it does nothing until it is given to `receive`"]
pub struct Receive {
    lease: Option<Duration>,
    wait: Option<LockWait>,
    cancel: Option<Cancel>,
    detached: bool,
}

impl Receive {
    /// The lease that the queue's policy says (five minutes, if it says nothing); not waiting.
    pub fn new() -> Self {
        Self {
            lease: None,
            wait: None,
            cancel: None,
            detached: false,
        }
    }

    /// How long the message is this consumer's.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
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

    /// What ends this wait by itself. Waiting for the lock goes on; and a message that has come at that moment is delivered.
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.cancel = Some(cancel.clone());
        self
    }

    /// A lease that ends at its deadline or a reboot, but not with this process.
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// Fails when the wait is cancelled.
    fn require_wanted(&self) -> Result<()> {
        self.cancel.as_ref().map_or(Ok(()), Cancel::ask)
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

    /// Takes up to `max` ready messages in one commit; waiting ends with the first that come. `InvalidArgument` when `max`
    /// is 0: a wait for nothing would have no end.
    pub fn receive_many(&self, max: usize, how: Receive) -> Result<Vec<Delivery>> {
        how.lease.map(require_lease).transpose()?;
        if max == 0 {
            let text = "max is 0; ask for at least one message";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        if how.wait.is_some() {
            // Also when there is something: a worker with a backlog would never hear of it.
            let interrupted = self.handle.attached()?.interrupts.take_pending();
            self.handle.unless_closed(interrupted)?;
            how.require_wanted()?;
        }
        // Without waiting, or with something there, listening would be work for nothing.
        let taken = self.take(max, &how, Probe::Sometimes)?;
        let (true, Some(wait)) = (taken.is_empty(), how.wait) else {
            return Ok(taken);
        };
        let patience = Patience::new(wait, self.handle.spool.check.clone());
        let attached = self.handle.attached()?;
        // Closed since it was asked: that interrupted the waits there were then.
        let mut waiting = self.handle.unless_closed(self.handle.listen(&attached))?;
        let _waking = how.cancel.as_ref().map(|cancel| cancel.wakes(&waiting));
        let mut in_vain = false;
        loop {
            how.require_wanted()?;
            waiting.lie_down();
            self.handle.bring_back();
            let (ready, due) = self.handle.peek_ready(&attached);
            let due = due.into_iter().chain(self.handle.retry_due()).min();
            let (mut probe, mut over) = (Probe::Now, false);
            if ready {
                // What is there may be taken by others, or given up, each time.
                if in_vain {
                    over = self.handle.unless_closed(waiting.is_over(&patience))?;
                }
            } else {
                match self.handle.unless_closed(waiting.sleep(due, &patience))? {
                    Slept::Woken => continue,
                    Slept::Chosen => probe = Probe::Sometimes,
                    Slept::Over => over = true,
                }
            }
            waiting.get_up();
            let taken = self.take_once(max, &how, probe)?;
            if over || !taken.is_empty() {
                waiting.end();
                return Ok(taken);
            }
            in_vain = ready;
        }
    }

    /// Receive and ack in one commit: the message is the caller's, and gone if he dies with it. Does not wait.
    ///
    /// When it is taken out and nobody can say whether that is durable, it is returned all the same: nobody else will have it, but
    /// after a power cut.
    pub fn pop(&self) -> Result<Option<Envelope>> {
        let once = |probe| {
            let mut last = None;
            let popped =
                self.handle
                    .change(Wish::MayForget, Need::Index, probe, |index, now, told| {
                        let plan = plan::pop(index, now, &told.policy)?;
                        last.clone_from(&plan.result.0);
                        Ok(plan)
                    });
            match popped {
                Err(error) if error.is_made() && last.is_some() => Ok((last, false)),
                other => other,
            }
        };
        self.handle.bring_back();
        let mut probe = Probe::Sometimes;
        loop {
            match once(probe)? {
                (Some(popped), _) => return Ok(Some(Envelope::from(popped))),
                // What is over is in the way.
                (None, true) if self.handle.give_up()? > 0 => {}
                (None, _) if probe == Probe::Sometimes => probe = Probe::Now,
                (None, _) => return Ok(None),
            }
        }
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
        self.handle.bring_back();
        loop {
            let (taken, over) = self.take_ready(max, how, probe)?;
            if !over {
                return Ok(taken);
            }
            let given_up = self.handle.give_up();
            // What was taken is told, whatever became of the others.
            if !taken.is_empty() || given_up? == 0 {
                return Ok(taken);
            }
        }
    }

    /// What is ready; true: something before that is to be given up.
    fn take_ready(&self, max: usize, how: &Receive, probe: Probe) -> Result<(Vec<Delivery>, bool)> {
        let handle = &self.handle;
        let store = &*handle.spool.store;
        let wish = Wish::MayForget;
        let mut granted: Vec<String> = Vec::new();
        let received = handle.change(wish, Need::Index, probe, |index, now, told| {
            handle.attach().forget_ended(index);
            // A consumer's file is made only when there is something to lease. On a full disk there may be no space for it: then the
            // lease ends at its deadline only, as a detached one does.
            let consumer = if how.detached || !index.has_ready(now) {
                None
            } else {
                match consumer::consumer(store, handle.spool.root) {
                    Err(error) if is_full(&error) => None,
                    made => Some(made?),
                }
            };
            let random = || store.system().random();
            let fresh_id = || store.system().fresh_id();
            let grant = Grant {
                lease: how.lease,
                consumer,
                random: &random,
                fresh_id: &fresh_id,
            };
            let plan = plan::receive(index, now, max, &grant, &told.policy)?;
            granted.clear();
            granted.extend(plan.result.taken.iter().map(|taken| taken.receipt.clone()));
            Ok(plan)
        });
        let Received { taken, over } = match received {
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
                // Nobody is told of these leases, if they are there.
                let _ = handle.give_back(&handle.attach(), granted);
                return Err(error);
            }
            other => other?,
        };
        if !how.detached {
            let attached = handle.attach();
            attached.leases().receipts.extend(granted.iter().cloned());
        }
        if let Err(closed) = handle.attached() {
            // Whoever closed it may have given back what was taken before these were known.
            let _ = handle.give_back(&handle.attach(), granted);
            return Err(closed);
        }
        let deliveries = taken.into_iter().map(|taken| Delivery::new(self, taken));
        Ok((deliveries.collect(), over))
    }
}

/// A lease of no time would be over when it is taken.
pub(super) fn require_lease(lease: Duration) -> Result<()> {
    if lease.is_zero() {
        let text = "a lease has to last for some time; to give a message back, nack it";
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    Ok(())
}

impl Handle {
    /// Begins to listen for changes of the queue's file and for dying consumers.
    fn listen<'a>(&self, attached: &'a Attached) -> Result<Waiting<'a>> {
        let store = &*self.spool.store;
        self.make_consumers_directory();
        let sleepers = attached.entry.lock.sleepers();
        Waiting::begin(
            &attached.interrupts,
            &attached.beds,
            store,
            &self.name,
            Some(sleepers),
        )
    }

    /// What is watched has to be there. Best effort, as the watch is: without it the wait polls.
    pub(super) fn make_consumers_directory(&self) {
        let store = &*self.spool.store;
        if let Ok(root) = store.root_stat() {
            let _ = make_directories(store, CONSUMERS_DIRECTORY, root.directory_mode());
        }
    }

    /// Whether a receive would find something, and else when that can change by itself. Looks without
    /// the queue's lock, so that a crowd of waiters does not queue for it: a whole file is whole at any
    /// time, and what a program that writes in place leaves half done is read again at the next look.
    pub(super) fn peek_ready(&self, attached: &Attached) -> (bool, Option<Duration>) {
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
