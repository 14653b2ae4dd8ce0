//! Settling what was received: ack, nack, extend, detach, by receipt.

use std::cell::Cell;
use std::time::Duration;

use crate::LockWait;
use crate::config::Policy;
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::QueueName;
use crate::format::receipt::Receipt;
use crate::index::plan::{self, Back, Mover};
use crate::index::{Change, Index, Now, Plan};
use crate::store::files::Need;

use super::change::{Told, Wish};
use super::look::Probe;
use super::moves::Begun;
use super::receive::require_lease;
use super::{Handle, Queue};

/// How a message is given back.
#[derive(Debug, Clone, Default)]
#[must_use = "it does nothing until it is given to `nack`"]
pub struct Nack {
    pub(crate) error: Option<String>,
    pub(crate) delay: Option<Duration>,
}

impl Nack {
    /// Given back without a reason, ready at once; given up if that was the last attempt.
    pub fn new() -> Self {
        Self::default()
    }

    /// Why it failed; kept in the envelope.
    pub fn error(mut self, error: impl Into<String>) -> Self {
        self.error = Some(error.into());
        self
    }

    /// Not to be received again before this time has passed.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }
}

/// How receipts are settled.
struct Settling {
    /// How long the lock is waited for.
    wait: LockWait,
    wish: Wish,
    /// A receipt that was good is not this handle's to give back any more.
    ends: bool,
}

impl Queue {
    /// Removes the messages that these receipts name: they are done. One commit; a result per receipt, in order.
    ///
    /// A receipt whose lease has ended is `StaleReceipt`, a text that is no receipt `InvalidArgument`; the others
    /// are done all the same.
    pub fn ack<R: AsRef<str>>(&self, receipts: &[R]) -> Result<Vec<Result<()>>> {
        let told = self.settle(&self.settling(), receipts, |index, now, receipts, told| {
            plan::ack(index, now, receipts, &told.policy)
        })?;
        self.handle.go_on();
        Ok(told)
    }

    /// Gives messages back, with a reason and a delay. One commit; a result per receipt as for [`Queue::ack`].
    pub fn nack<R: AsRef<str>>(&self, receipts: &[R], nack: &Nack) -> Result<Vec<Result<()>>> {
        let system = self.handle.spool.store.system();
        let begun = Begun::default();
        let begin = |back| begun.note(system.fresh_id(), back);
        let mover = Mover {
            own: &self.handle.name,
            begin: &begin,
        };
        // Where messages cannot be moved to now, they are not sent on their way.
        let policy = self.handle.policy()?;
        let wait = self.handle.spool.lock_wait;
        let unusable: Vec<(&QueueName, Error)> = self
            .targets(receipts, nack, &policy)
            .filter_map(|queue| Some((queue, self.handle.require_usable(queue, wait).err()?)))
            .collect();
        let stayed = Cell::new(None);
        let is_usable = |queue: &QueueName| {
            let place = unusable.iter().position(|(name, _)| *name == queue);
            if place.is_some() {
                stayed.set(place);
            }
            place.is_none()
        };
        let mut how = self.settling();
        if nack.error.is_some() {
            how.wish = Wish::Keep(None);
        }
        let mut moves = false;
        let told = self.settle(&how, receipts, |index, now, receipts, told| {
            let back = Back {
                error: nack.error.as_deref(),
                delay: nack.delay.filter(|delay| !delay.is_zero()),
                policy: &told.policy,
                mover: &mover,
                is_usable: &is_usable,
                random: &|| system.random(),
            };
            let plan = plan::nack(index, now, receipts, &back)?;
            let is_moved = |change: &Change| {
                matches!(change, Change::Envelope(_, element) if element.transit().is_some())
            };
            moves = plan.changes.iter().any(is_moved);
            Ok(plan)
        })?;
        if moves {
            // Not on the side: why a message could not be moved is told.
            self.handle.finish_begun(&begun)?;
        }
        let why = stayed
            .take()
            .and_then(|place| unusable.into_iter().nth(place));
        if let Some((queue, why)) = why {
            return Err(why.saying(|why| {
                format!(
                    "given back, and kept in queue {}, because it cannot be moved to {queue}: {why}",
                    self.name()
                )
            }));
        }
        Ok(told)
    }

    /// The queues that these messages may go to when they are given back; nobody has to wait for another one's lock.
    fn targets<'a, R: AsRef<str>>(
        &self,
        receipts: &[R],
        nack: &Nack,
        policy: &'a Policy,
    ) -> impl Iterator<Item = &'a QueueName> {
        let (retry, last) = (&policy.retry_queue, &policy.dead_letter_queue);
        let retry = retry.as_ref().filter(|_| nack.error.is_some());
        let is_last = |attempts| policy.is_last(attempts);
        let (mut retried, mut given_up) = (false, false);
        if retry.is_some() || last.is_some() {
            for attempts in self.handle.attempts(receipts) {
                retried |= !attempts.is_some_and(is_last);
                given_up |= attempts.is_none_or(is_last);
            }
        }
        let retry = retry.filter(|_| retried).into_iter();
        retry.chain(last.as_ref().filter(|_| given_up))
    }

    /// Lets the leases run for `lease` from now, which is not zero. One commit; a result per receipt as for [`Queue::ack`].
    pub fn extend<R: AsRef<str>>(
        &self,
        receipts: &[R],
        lease: Duration,
    ) -> Result<Vec<Result<()>>> {
        self.extend_within(self.handle.spool.lock_wait, receipts, lease)
    }

    /// The same, for which the lock is waited for so long.
    pub(super) fn extend_within<R: AsRef<str>>(
        &self,
        wait: LockWait,
        receipts: &[R],
        lease: Duration,
    ) -> Result<Vec<Result<()>>> {
        require_lease(lease)?;
        let how = Settling {
            wait,
            ends: false,
            ..self.settling()
        };
        let told = self.settle(&how, receipts, |index, now, receipts, _| {
            plan::extend(index, now, receipts, lease)
        })?;
        self.handle.go_on();
        Ok(told)
    }

    /// Unties the leases from their process: from now on they end at their deadline or a reboot. One commit; a result per
    /// receipt as for [`Queue::ack`].
    pub fn detach<R: AsRef<str>>(&self, receipts: &[R]) -> Result<Vec<Result<()>>> {
        let told = self.settle(&self.settling(), receipts, |index, now, receipts, _| {
            plan::detach(index, now, receipts)
        })?;
        self.handle.go_on();
        Ok(told)
    }

    fn settling(&self) -> Settling {
        Settling {
            wait: self.handle.spool.lock_wait,
            wish: Wish::MayForget,
            ends: true,
        }
    }

    fn settle<R: AsRef<str>>(
        &self,
        how: &Settling,
        receipts: &[R],
        mut decide: impl FnMut(&mut Index, &Now, &[Receipt], &Told) -> Result<Plan<Vec<bool>>>,
    ) -> Result<Vec<Result<()>>> {
        let parsed: Vec<Result<Receipt>> = receipts
            .iter()
            .map(|text| Receipt::parse(text.as_ref()))
            .collect();
        let good: Vec<Receipt> = parsed
            .iter()
            .filter_map(|receipt| receipt.as_ref().ok().cloned())
            .collect();
        let (need, probe) = (Need::Index, Probe::Sometimes);
        let done =
            self.handle
                .change_within(how.wait, how.wish, need, probe, |index, now, told| {
                    decide(index, now, &good, told)
                })?;
        if how.ends
            && let Ok(attached) = self.handle.attached()
        {
            let mut leases = attached.leases();
            for text in receipts {
                leases.receipts.remove(text.as_ref());
            }
        }
        let mut done = done.into_iter();
        let told = parsed
            .into_iter()
            .map(|receipt| match (receipt?, done.next()) {
                (_, Some(true)) => Ok(()),
                (receipt, _) => Err(self.stale(&receipt)),
            });
        Ok(told.collect())
    }

    fn stale(&self, receipt: &Receipt) -> Error {
        let id: String = receipt.id.chars().take(100).collect();
        let text = format!(
            "the lease on message {id:?} of queue {} has ended; nothing was changed, the message may be delivered again",
            self.name()
        );
        Error::new(ErrorKind::StaleReceipt, text)
    }
}

impl Handle {
    /// How often the messages that receipts name have been delivered, as far as can be seen without the lock: that does not change
    /// as long as a receipt is good.
    fn attempts<R: AsRef<str>>(&self, receipts: &[R]) -> Vec<Option<u64>> {
        let nobody_knows = vec![None; receipts.len()];
        let Ok(attached) = self.attached() else {
            return nobody_knows;
        };
        let mut state = attached.entry.state();
        let store = &*self.spool.store;
        let Ok(index) = state.files.refresh(store, &self.name, Need::Index) else {
            return nobody_knows;
        };
        let attempts = |text: &R| {
            let receipt = Receipt::parse(text.as_ref()).ok()?;
            let mut leases = index.leases_of(&receipt.id);
            let (seq, ..) = leases.find(|(_, token, _)| *token == receipt.token)?;
            Some(index.element_of(seq).ok()?.attempts())
        };
        receipts.iter().map(attempts).collect()
    }
}

/// The one result of a settlement of one receipt.
pub(crate) fn single(mut results: Vec<Result<()>>) -> Result<()> {
    results.pop().unwrap_or_else(|| {
        Err(Error::new(
            ErrorKind::Internal,
            "a settlement returned no result",
        ))
    })
}
