//! What fork(2) does to locks, and the answer to it.
//!
//! A child shares its parent's open descriptions: an unlock in the child would take the parent's
//! lock away, and a descriptor that the child keeps would hold the lock after the parent's death.
//! So the child closes every registered descriptor without unlocking, before it runs anything
//! else, and a new generation begins, in which every handle opens its own.

#![expect(unsafe_code, reason = "pthread_atfork has no safe wrapper")]

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use crate::error::{Error, ErrorKind, Result};

static GENERATION: AtomicU64 = AtomicU64::new(0);
static DESCRIPTORS: Mutex<Vec<i32>> = Mutex::new(Vec::new());
static HELD: Held = Held(UnsafeCell::new(None));
static REGISTERED: Once = Once::new();

/// The mutex of [`DESCRIPTORS`], held from just before a fork until just after it.
struct Held(UnsafeCell<Option<MutexGuard<'static, Vec<i32>>>>);

// SAFETY: the cell is touched only by the fork handlers, and only while the mutex is theirs.
unsafe impl Sync for Held {}

/// How many forks lie between this process and the one that loaded the library.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Acquire)
}

/// Fails in another process than the one in which a change was begun.
pub(crate) fn require_generation(begun: u64) -> Result<()> {
    if begun == generation() {
        return Ok(());
    }
    let text = "the change was begun by the process before the fork; begin it again in this one";
    Err(Error::new(ErrorKind::Closed, text))
}

/// The descriptors that a child must close. While the guard lives no fork happens, so opening and
/// registering under it leaves no descriptor that a child would inherit unseen.
pub(crate) fn descriptors() -> MutexGuard<'static, Vec<i32>> {
    // Miri knows no fork.
    #[cfg(not(miri))]
    REGISTERED.call_once(|| {
        // SAFETY: the three handlers are functions of this library, which is never unloaded while
        // a handle is in use; they take no argument and do not unwind.
        unsafe {
            libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child));
        }
    });
    DESCRIPTORS.lock().unwrap_or_else(PoisonError::into_inner)
}

extern "C" fn before() {
    let guard = DESCRIPTORS.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the mutex was just taken, so no other thread is between `before` and the end of its fork.
    unsafe { *HELD.0.get() = Some(guard) }
}

extern "C" fn in_parent() {
    // SAFETY: this thread holds the mutex since `before`.
    let guard = unsafe { (*HELD.0.get()).take() };
    drop(guard);
}

extern "C" fn in_child() {
    // SAFETY: the child has one thread, the copy of the one that holds the mutex since `before`.
    let guard = unsafe { (*HELD.0.get()).take() };
    if let Some(mut descriptors) = guard {
        for descriptor in descriptors.drain(..) {
            #[cfg(mutant = "unlock_in_child")]
            // SAFETY: the descriptor is open, and is not closed by anybody else.
            unsafe {
                libc::flock(descriptor, libc::LOCK_UN);
            }
            // SAFETY: the number was registered by its owner, which since the new generation
            // never uses or closes it again (`OwnFile` checks).
            unsafe {
                libc::close(descriptor);
            }
        }
        GENERATION.fetch_add(1, Ordering::Release);
    }
}
