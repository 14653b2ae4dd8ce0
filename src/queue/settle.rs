//! Settling what was received: ack, nack, extend, detach, by receipt.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::format::receipt::Receipt;
use crate::format::time::after;
use crate::index::{Index, Now, Plan, plan};
use crate::store::files::Need;

use super::Queue;
use super::handle::Probe;

/// How a message is given back.
#[derive(Debug, Clone, Default)]
#[must_use = "it does nothing until it is given to `nack`"]
pub struct Nack {
    pub(crate) error: Option<String>,
    pub(crate) delay: Duration,
}

impl Nack {
    /// Given back without a reason, ready at once.
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
        self.delay = delay;
        self
    }
}

impl Queue {
    /// Removes the messages that these receipts name: they are done. One commit; a result per receipt, in order.
    ///
    /// A receipt whose lease has ended is `StaleReceipt`, a text that is no receipt `InvalidArgument`; the others
    /// are done all the same.
    pub fn ack<R: AsRef<str>>(&self, receipts: &[R]) -> Result<Vec<Result<()>>> {
        self.settle(receipts, true, true, plan::ack)
    }

    /// Gives messages back, with a reason and a delay. One commit; a result per receipt as for [`Queue::ack`].
    pub fn nack<R: AsRef<str>>(&self, receipts: &[R], nack: &Nack) -> Result<Vec<Result<()>>> {
        self.settle(
            receipts,
            nack.error.is_none(),
            true,
            |index, now, receipts| {
                let not_before = (!nack.delay.is_zero()).then(|| after(now.wall, nack.delay));
                plan::nack(index, now, receipts, nack.error.as_deref(), not_before)
            },
        )
    }

    /// Lets the leases run for `lease` from now. One commit; a result per receipt as for [`Queue::ack`].
    pub fn extend<R: AsRef<str>>(
        &self,
        receipts: &[R],
        lease: Duration,
    ) -> Result<Vec<Result<()>>> {
        self.settle(receipts, true, false, |index, now, receipts| {
            plan::extend(index, now, receipts, lease)
        })
    }

    /// Unties the leases from their process: from now on they end at their deadline or a reboot. One commit; a result per
    /// receipt as for [`Queue::ack`].
    pub fn detach<R: AsRef<str>>(&self, receipts: &[R]) -> Result<Vec<Result<()>>> {
        self.settle(receipts, true, true, plan::detach)
    }

    /// `ends`: a receipt that was good is not this handle's to give back any more.
    fn settle<R: AsRef<str>>(
        &self,
        receipts: &[R],
        forgettable: bool,
        ends: bool,
        mut decide: impl FnMut(&mut Index, &Now, &[Receipt]) -> Result<Plan<Vec<bool>>>,
    ) -> Result<Vec<Result<()>>> {
        let parsed: Vec<Result<Receipt>> = receipts
            .iter()
            .map(|text| Receipt::parse(text.as_ref()))
            .collect();
        let good: Vec<Receipt> = parsed
            .iter()
            .filter_map(|receipt| receipt.as_ref().ok().cloned())
            .collect();
        let durable = self.handle.durable(None, forgettable);
        let done =
            self.handle
                .change(durable, Need::Index, Probe::Sometimes, |index, now, _| {
                    decide(index, now, &good)
                })?;
        if ends {
            let attached = self.handle.attached()?;
            let mut leases = attached.leases();
            for text in receipts {
                leases.remove(text.as_ref());
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

/// The one result of a settlement of one receipt.
pub(crate) fn single(mut results: Vec<Result<()>>) -> Result<()> {
    results.pop().unwrap_or_else(|| {
        Err(Error::new(
            ErrorKind::Internal,
            "a settlement returned no result",
        ))
    })
}
