//! Deliveries.

use std::time::Duration;

use super::guard::{borrow, free, guard, look, options};
use super::options::nack;
use super::{flockq_bytes, flockq_error, flockq_nack_options, flockq_priority, flockq_status};
use crate::Delivery;

/// A message under a lease. Made by flockq_queue_receive(), freed by flockq_delivery_free(). Freeing settles nothing: the
/// lease goes on. Use it from any thread, and also after its queue's handle was freed.
#[derive(Debug)]
pub struct flockq_delivery(pub(super) Delivery);

/// A list of deliveries. Freed by flockq_deliveries_free(), which frees the deliveries in it.
#[derive(Debug)]
pub struct flockq_deliveries(pub(super) Vec<flockq_delivery>);

/// The message's id. Borrowed from `delivery`, as are all its texts.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_delivery_id(delivery: *const flockq_delivery) -> flockq_bytes {
    look(delivery, flockq_bytes::NONE, |delivery| {
        flockq_bytes::of(delivery.0.id().as_bytes())
    })
}

/// The text that names this delivery of this message, for flockq_queue_ack() and its like in any process and language.
/// Its first part is a number that grows with each delivery of the message: a fencing token.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_delivery_receipt(delivery: *const flockq_delivery) -> flockq_bytes {
    look(delivery, flockq_bytes::NONE, |delivery| {
        flockq_bytes::of(delivery.0.receipt().as_bytes())
    })
}

/// The payload: JSON text, byte for byte as it was sent.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_delivery_payload(delivery: *const flockq_delivery) -> flockq_bytes {
    look(delivery, flockq_bytes::NONE, |delivery| {
        flockq_bytes::of(delivery.0.payload())
    })
}

/// When it was sent, as the file has it, or no bytes.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_delivery_queued_at(delivery: *const flockq_delivery) -> flockq_bytes {
    look(delivery, flockq_bytes::NONE, |delivery| {
        flockq_bytes::of_option(delivery.0.queued_at())
    })
}

/// How often the message has been delivered, this time included.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_delivery_attempts(delivery: *const flockq_delivery) -> u64 {
    look(delivery, 0, |delivery| delivery.0.attempts())
}

/// The priority.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_delivery_priority(delivery: *const flockq_delivery) -> flockq_priority {
    look(delivery, flockq_priority::Default, |delivery| {
        delivery.0.priority().into()
    })
}

/// Done: removes the message.
///
/// FLOCKQ_STATUS_STALE_RECEIPT: the lease has ended, nothing was changed. FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT,
/// FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CLOSED, FLOCKQ_STATUS_OUTCOME_UNKNOWN; for nack, extend and detach too.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_delivery_ack(
    delivery: *const flockq_delivery,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || borrow(delivery, "delivery")?.0.ack())
}

/// Failed or given back; `options` may be NULL. Where it is to go to another queue and cannot, the status is that of why, it was
/// given back all the same, and the message of the error says so.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_delivery_nack(
    delivery: *const flockq_delivery,
    options: *const flockq_nack_options,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        borrow(delivery, "delivery")?
            .0
            .nack(&nack(&self::options(options)?)?)
    })
}

/// Lets the lease run for `lease_ms` from now; FLOCKQ_STATUS_INVALID_ARGUMENT when that is 0.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_delivery_extend(
    delivery: *const flockq_delivery,
    lease_ms: u64,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        borrow(delivery, "delivery")?
            .0
            .extend(Duration::from_millis(lease_ms))
    })
}

/// Unties the lease from this process, before the receipt is handed to another: from now on it ends at its deadline or a
/// reboot.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_delivery_detach(
    delivery: *const flockq_delivery,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || borrow(delivery, "delivery")?.0.detach())
}

/// Frees the delivery; NULL does nothing. Not for one that was borrowed from a list.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_delivery_free(delivery: *mut flockq_delivery) {
    free(delivery);
}

/// How many deliveries there are.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_deliveries_size(deliveries: *const flockq_deliveries) -> usize {
    look(deliveries, 0, |deliveries| deliveries.0.len())
}

/// The delivery at `index`, counted from 0; NULL beyond the end. Borrowed from `deliveries`.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_deliveries_get(
    deliveries: *const flockq_deliveries,
    index: usize,
) -> *const flockq_delivery {
    look(deliveries, std::ptr::null(), |deliveries| {
        deliveries
            .0
            .get(index)
            .map_or(std::ptr::null(), std::ptr::from_ref)
    })
}

/// Frees the list and the deliveries in it; NULL does nothing.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_deliveries_free(deliveries: *mut flockq_deliveries) {
    free(deliveries);
}
