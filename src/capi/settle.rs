//! Settling by receipt.

use std::time::Duration;

use super::guard::{Out, borrow, guard, options, texts};
use super::options::nack;
use super::{flockq_bytes, flockq_error, flockq_nack_options, flockq_queue, flockq_status};
use crate::{Queue, Result};

/// Runs a settlement and writes a status per receipt.
fn settle(
    queue: *const flockq_queue,
    receipts: *const flockq_bytes,
    count: usize,
    results: *mut flockq_status,
    run: impl FnOnce(&Queue, &[&str]) -> Result<Vec<Result<()>>>,
) -> Result<()> {
    let queue = borrow(queue, "queue")?;
    let receipts = texts(receipts, count, "a receipt")?;
    if count == 0 {
        return Ok(());
    }
    Out::new(results, "results")?;
    for (place, result) in run(&queue.0, &receipts)?.into_iter().enumerate() {
        let status = result.map_or_else(
            |error| flockq_status::of(error.kind()),
            |()| flockq_status::Ok,
        );
        Out::new(results.wrapping_add(place), "results")?.put(status);
    }
    Ok(())
}

/// Removes the messages that these receipts name: they are done. One commit. `results` is an array of `count` statuses,
/// written in order: FLOCKQ_STATUS_OK, FLOCKQ_STATUS_STALE_RECEIPT (the lease has ended), FLOCKQ_STATUS_INVALID_ARGUMENT
/// (no receipt). The good ones are done also when others are not; the function then returns FLOCKQ_STATUS_OK.
///
/// FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CLOSED: nothing was changed.
/// FLOCKQ_STATUS_OUTCOME_UNKNOWN: the change may not be durable.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_ack(
    queue: *const flockq_queue,
    receipts: *const flockq_bytes,
    count: usize,
    results: *mut flockq_status,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        settle(queue, receipts, count, results, |queue, receipts| {
            queue.ack(receipts)
        })
    })
}

/// Gives the messages back; `options` may be NULL. Otherwise as flockq_queue_ack(); but where messages are to go to another queue
/// and cannot, the status is that of why, they were given back all the same, and the message of the error says so.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_nack(
    queue: *const flockq_queue,
    receipts: *const flockq_bytes,
    count: usize,
    options: *const flockq_nack_options,
    results: *mut flockq_status,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let nack = nack(&self::options(options)?)?;
        settle(queue, receipts, count, results, |queue, receipts| {
            queue.nack(receipts, &nack)
        })
    })
}

/// Lets the leases run for `lease_ms` from now; FLOCKQ_STATUS_INVALID_ARGUMENT when that is 0. Otherwise as flockq_queue_ack().
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_extend(
    queue: *const flockq_queue,
    receipts: *const flockq_bytes,
    count: usize,
    lease_ms: u64,
    results: *mut flockq_status,
    error: *mut *mut flockq_error,
) -> flockq_status {
    let lease = Duration::from_millis(lease_ms);
    guard(error, || {
        settle(queue, receipts, count, results, |queue, receipts| {
            queue.extend(receipts, lease)
        })
    })
}

/// Unties the leases from their process: from now on they end at their deadline or a reboot. Otherwise as
/// flockq_queue_ack().
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_detach(
    queue: *const flockq_queue,
    receipts: *const flockq_bytes,
    count: usize,
    results: *mut flockq_status,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        settle(queue, receipts, count, results, |queue, receipts| {
            queue.detach(receipts)
        })
    })
}
