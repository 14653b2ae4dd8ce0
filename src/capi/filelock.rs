//! The lock protocol for any other file.

use super::guard::{Out, free, guard, look, options};
use super::options::{interrupt_check, lock_wait};
use super::spool::path;
use super::{flockq_bytes, flockq_error, flockq_file_lock_options, flockq_status};
use crate::{FileLock, LockKind};

/// A held lock on a file. Taken by flockq_file_lock_acquire(), given back by flockq_file_lock_free(), from any thread.
#[derive(Debug)]
pub struct flockq_file_lock(FileLock);

/// Takes the lock of `file`, by the protocol of a queue's: `DIR/.gastown/locks/NAME.lock` for `DIR/NAME`. The file itself
/// is not touched and need not exist; the lock of a queue's file is that queue's lock.
///
/// FLOCKQ_STATUS_LOCK_TIMEOUT: somebody else keeps it. FLOCKQ_STATUS_WOULD_DEADLOCK: this thread has it.
/// FLOCKQ_STATUS_NOT_FOUND: the directory. FLOCKQ_STATUS_INVALID_ARGUMENT: no path, or a name of more than 200 bytes or not in UTF-8.
/// FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_VERSION: a flockq.json in the directory, which may name another lock directory.
/// FLOCKQ_STATUS_UNSAFE_FILESYSTEM, FLOCKQ_STATUS_INTERRUPTED, FLOCKQ_STATUS_IO.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_file_lock_acquire(
    file: flockq_bytes,
    options: *const flockq_file_lock_options,
    lock: *mut *mut flockq_file_lock,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(lock, "lock")?;
        let options: flockq_file_lock_options = self::options(options)?;
        let mut builder = FileLock::builder(path(file, "file")?)
            .kind(if options.shared == 0 {
                LockKind::Exclusive
            } else {
                LockKind::Shared
            })
            .wait(lock_wait(options.wait_ms))
            .allow_unverified_fs(options.allow_unverified_fs != 0)
            .untied(options.untied != 0);
        if let Some(check) = interrupt_check(options.interrupt_check, options.interrupt_context) {
            builder = builder.interrupt_check(check);
        }
        out.give(flockq_file_lock(builder.acquire()?));
        Ok(())
    })
}

/// How long it took to get the lock, in microseconds.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_file_lock_waited_us(lock: *const flockq_file_lock) -> u64 {
    look(lock, 0, |lock| {
        u64::try_from(lock.0.waited().as_micros()).unwrap_or(u64::MAX)
    })
}

/// Gives the lock back and frees the handle; NULL does nothing.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_file_lock_free(lock: *mut flockq_file_lock) {
    free(lock);
}
