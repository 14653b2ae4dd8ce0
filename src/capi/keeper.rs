//! Keepers of leases.

use std::time::Duration;

use super::guard::{Out, borrow, free, guard, text};
use super::{flockq_bytes, flockq_error, flockq_queue, flockq_status};
use crate::Keeper;

/// Extends a lease, in a thread of its own. Made by flockq_queue_keep(), ended by flockq_keeper_free().
#[derive(Debug)]
pub struct flockq_keeper(#[expect(dead_code, reason = "it works until it is freed")] Keeper);

/// Keeps the lease that a receipt names: extends it, in a thread of its own, until flockq_keeper_free(), or until the lease is
/// lost or the queue closed. `lease_ms` is as long as the receive's; 0 is as configured, else 5 minutes. `keeper` is to be freed
/// before the queue.
///
/// FLOCKQ_STATUS_IO: there is no thread to be had. FLOCKQ_STATUS_INVALID_ARGUMENT: the receipt is not UTF-8. FLOCKQ_STATUS_CLOSED. A stale receipt is no error: there is nothing to keep.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_keep(
    queue: *const flockq_queue,
    receipt: flockq_bytes,
    lease_ms: u64,
    keeper: *mut *mut flockq_keeper,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(keeper, "keeper")?;
        let lease = (lease_ms != 0).then(|| Duration::from_millis(lease_ms));
        let queue = &borrow(queue, "queue")?.0;
        out.give(flockq_keeper(queue.keep(text(receipt, "receipt")?, lease)?));
        Ok(())
    })
}

/// Ends the keeper, and waits until it does nothing more; the lease goes on until its deadline. NULL does nothing.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_keeper_free(keeper: *mut flockq_keeper) {
    free(keeper);
}
