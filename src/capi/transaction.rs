//! The whole array.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::value::RawValue;

use super::guard::{Out, borrow, bytes, free, guard};
use super::{flockq_bytes, flockq_error, flockq_queue, flockq_status, flockq_text};
use crate::store::real::{generation, require_generation};
use crate::{Array, Error, ErrorKind, Result, Transaction};

/// A change of the whole array under one lock. Begun by flockq_queue_begin(), freed by flockq_transaction_free(), which
/// rolls back what was not committed. Any thread may use it; calls on one transaction take turns. While it is open,
/// other operations on the queue wait, and those of the thread that began it are FLOCKQ_STATUS_WOULD_DEADLOCK.
#[derive(Debug)]
pub struct flockq_transaction {
    open: Mutex<Option<Transaction>>,
    generation: u64,
}

impl flockq_transaction {
    fn new(open: Transaction) -> Self {
        Self {
            open: Mutex::new(Some(open)),
            generation: generation(),
        }
    }

    fn open(&self) -> Result<MutexGuard<'_, Option<Transaction>>> {
        // Asked before the mutex, which another thread may have had when this process was forked.
        require_generation(self.generation)?;
        Ok(self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with<T>(&self, job: impl FnOnce(&mut Transaction) -> T) -> Result<T> {
        self.open()?.as_mut().map(job).ok_or_else(ended)
    }
}

fn ended() -> Error {
    Error::new(
        ErrorKind::Closed,
        "the transaction was committed; begin another",
    )
}

/// An array as one text.
fn joined(array: &[Box<RawValue>]) -> String {
    let elements: Vec<&str> = array.iter().map(|element| element.get()).collect();
    format!("[{}]", elements.join(","))
}

/// The elements of an array that the caller wrote.
fn split(array: flockq_bytes) -> Result<Array> {
    let text = bytes(array, "array")?;
    let wrong = |error: serde_json::Error| {
        Error::new(
            ErrorKind::InvalidJson,
            format!("the array is not a JSON array: {error}; nothing was written"),
        )
    };
    serde_json::from_slice(text).map_err(wrong)
}

/// The whole array, read under a shared lock: one JSON text with every element byte for byte as in the file. To be freed
/// by flockq_text_free().
///
/// FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CLOSED.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_load(
    queue: *const flockq_queue,
    array: *mut *mut flockq_text,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(array, "array")?;
        out.give(flockq_text(joined(&borrow(queue, "queue")?.0.load()?)));
        Ok(())
    })
}

/// Replaces the whole array under an exclusive lock. Live leases are kept by message: an element without `lease` whose id
/// is that of a leased message gets that lease. What others changed since the load is lost; flockq_queue_begin() is the
/// change that loses nothing.
///
/// FLOCKQ_STATUS_INVALID_JSON: not a JSON array. FLOCKQ_STATUS_INVALID_ARGUMENT: an element is no envelope.
/// FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO: nothing was written. FLOCKQ_STATUS_OUTCOME_UNKNOWN.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_save(
    queue: *const flockq_queue,
    array: flockq_bytes,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || borrow(queue, "queue")?.0.save(&split(array)?))
}

/// Begins a change of the whole array: takes the exclusive lock and reads. This is what load and save should have been.
///
/// FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_WOULD_DEADLOCK, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CLOSED.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_begin(
    queue: *const flockq_queue,
    transaction: *mut *mut flockq_transaction,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(transaction, "transaction")?;
        out.give(flockq_transaction::new(borrow(queue, "queue")?.0.begin()?));
        Ok(())
    })
}

/// The array: as it was read, or as it was set. To be freed by flockq_text_free().
///
/// FLOCKQ_STATUS_CLOSED: committed already.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_transaction_get(
    transaction: *const flockq_transaction,
    array: *mut *mut flockq_text,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(array, "array")?;
        out.give(flockq_text(
            borrow(transaction, "transaction")?.with(|open| joined(open.array()))?,
        ));
        Ok(())
    })
}

/// Sets the array that the commit will write.
///
/// FLOCKQ_STATUS_INVALID_JSON: not a JSON array. FLOCKQ_STATUS_CLOSED: committed already.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_transaction_set(
    transaction: *const flockq_transaction,
    array: flockq_bytes,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let array = split(array)?;
        borrow(transaction, "transaction")?.with(|open| open.set(array))
    })
}

/// Writes the array and ends the change, whatever it returns. The handle still has to be freed.
///
/// FLOCKQ_STATUS_INVALID_ARGUMENT: an element is no envelope. FLOCKQ_STATUS_INTERRUPTED: a program without the library
/// replaced the lock file and changed the queue meanwhile; begin again. FLOCKQ_STATUS_CLOSED: committed already, or begun
/// before a fork. FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_LOCK_TIMEOUT (when the lock file was removed meanwhile): nothing was
/// written. FLOCKQ_STATUS_OUTCOME_UNKNOWN: written, perhaps not durably.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_transaction_commit(
    transaction: *const flockq_transaction,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let transaction = borrow(transaction, "transaction")?;
        let open = transaction.open()?.take();
        open.ok_or_else(ended)?.commit()
    })
}

/// Frees the handle, and rolls back what was not committed; NULL does nothing.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_transaction_free(transaction: *mut flockq_transaction) {
    free(transaction);
}
