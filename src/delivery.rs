//! What was received.

use serde::de::DeserializeOwned;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::envelope::decode;
use crate::error::Result;
use crate::format::priority::Priority;
use crate::index::plan::Taken;
use crate::queue::{Nack, Queue};

/// A message under a lease.
///
/// Ack it when it is done, nack it when it failed. Dropping it does neither: the lease goes on until
/// its deadline, until the process ends, or until the queue is closed. Settling may be done from any
/// thread, and with [`Delivery::receipt`] from any process in any language.
#[derive(Debug)]
pub struct Delivery {
    queue: Queue,
    taken: Taken,
    /// Whether it was acked, nacked or detached through this object.
    settled: AtomicBool,
    /// Read when somebody asks for it.
    queued_at: OnceLock<Option<String>>,
}

impl Delivery {
    pub(crate) fn new(queue: &Queue, taken: Taken) -> Self {
        Self {
            queue: queue.clone(),
            taken,
            settled: AtomicBool::new(false),
            queued_at: OnceLock::new(),
        }
    }

    /// The message's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.taken.id
    }

    /// The text that names this delivery of this message. Its first part is a number that grows with each
    /// delivery of the message: a fencing token.
    #[must_use]
    pub fn receipt(&self) -> &str {
        &self.taken.receipt
    }

    /// How often the message has been delivered, this time included.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.taken.attempts
    }

    /// The priority.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.taken.element.priority()
    }

    /// When it was sent, as the file has it.
    #[must_use]
    pub fn queued_at(&self) -> Option<&str> {
        let read = || self.taken.element.texts().queued_at;
        self.queued_at.get_or_init(read).as_deref()
    }

    /// The payload: JSON text, byte for byte as it was sent.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.taken.element.payload()
    }

    /// The payload, decoded. `InvalidJson` when it does not fit the type.
    pub fn message<T: DeserializeOwned>(&self) -> Result<T> {
        decode(self.payload())
    }

    /// Done: removes the message. `StaleReceipt` when the lease has ended.
    pub fn ack(&self) -> Result<()> {
        self.settle(self.queue.ack(&[self.receipt()]))
    }

    /// Failed or given back. `StaleReceipt` when the lease has ended.
    pub fn nack(&self, nack: &Nack) -> Result<()> {
        self.settle(self.queue.nack(&[self.receipt()], nack))
    }

    /// Lets the lease run for `lease` from now. `StaleReceipt` when it has ended.
    pub fn extend(&self, lease: Duration) -> Result<()> {
        crate::queue::single(self.queue.extend(&[self.receipt()], lease)?)
    }

    /// Unties the lease from this process, before the receipt is handed to another: from now on it ends at its
    /// deadline or a reboot. `StaleReceipt` when it has ended.
    pub fn detach(&self) -> Result<()> {
        self.settle(self.queue.detach(&[self.receipt()]))
    }

    fn settle(&self, results: Result<Vec<Result<()>>>) -> Result<()> {
        crate::queue::single(results?)?;
        self.settled.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether nothing is left to be done with it: it is somebody else's, or nobody's.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }
}
