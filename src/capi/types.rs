//! The plain types of the C ABI.

use std::ffi::c_char;
use std::ptr;

use crate::{ErrorKind, Priority, State};

/// Borrowed bytes: a pointer and a size. Text is UTF-8 and not NUL-terminated. `data` may be NULL
/// only when `size` is 0.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct flockq_bytes {
    /// The first byte.
    pub data: *const c_char,
    /// How many bytes there are.
    pub size: usize,
}

impl flockq_bytes {
    /// No bytes.
    pub(super) const NONE: Self = Self {
        data: ptr::null(),
        size: 0,
    };

    /// Bytes that live as long as the handle that the caller was told of.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self {
            data: bytes.as_ptr().cast(),
            size: bytes.len(),
        }
    }

    pub(super) fn of_option(text: Option<&str>) -> Self {
        text.map_or(Self::NONE, |text| Self::of(text.as_bytes()))
    }
}

/// What every function returns: 0 for success, else what went wrong. Numbers are never used again
/// for another meaning.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum flockq_status {
    /// Success.
    Ok = 0,
    /// An argument is not allowed: a name, an option, a receipt that is no receipt, a NULL pointer.
    InvalidArgument = 1,
    /// The operating system refused; flockq_error_errno() has its error number.
    Io = 2,
    /// The lock could not be had in the time allowed; nothing was changed.
    LockTimeout = 3,
    /// The wait was ended by an interrupt or a signal; nothing was changed.
    Interrupted = 4,
    /// The spool directory or a file that must be there does not exist.
    NotFound = 5,
    /// The id is already in the queue, or the spool is already set up differently.
    AlreadyExists = 6,
    /// A file is damaged; the error names the file, the offset and the rule that it breaks.
    Corrupt = 7,
    /// A file was written by a newer version of flockq, or asks for what this one does not have.
    Version = 8,
    /// What is sent is larger than a limit.
    TooLarge = 9,
    /// The payload is not JSON that every language reads alike.
    InvalidJson = 10,
    /// The lease that the receipt names has ended; nothing was changed.
    StaleReceipt = 11,
    /// The queue has reached its limit.
    Full = 12,
    /// The handle was closed, or belongs to the process before a fork.
    Closed = 13,
    /// Reserved: no version of flockq returns it.
    Poisoned = 14,
    /// The change may or may not have become durable; look before doing it again.
    OutcomeUnknown = 15,
    /// The caller already holds this lock, or waits for it; waiting for it would never end.
    WouldDeadlock = 16,
    /// Locks do not exclude on this file system, or it is not known that they do.
    UnsafeFilesystem = 17,
    /// A bug in flockq; please report it.
    Internal = 18,
}

impl flockq_status {
    /// Every status that is an error, in order of its number.
    const ERRORS: [flockq_status; 18] = [
        Self::InvalidArgument,
        Self::Io,
        Self::LockTimeout,
        Self::Interrupted,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Corrupt,
        Self::Version,
        Self::TooLarge,
        Self::InvalidJson,
        Self::StaleReceipt,
        Self::Full,
        Self::Closed,
        Self::Poisoned,
        Self::OutcomeUnknown,
        Self::WouldDeadlock,
        Self::UnsafeFilesystem,
        Self::Internal,
    ];

    pub(super) fn of(kind: ErrorKind) -> Self {
        Self::ERRORS
            .into_iter()
            .find(|status| *status as i32 == kind.code())
            .unwrap_or(Self::Internal)
    }
}

/// How a message stands.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum flockq_state {
    /// Where a state is chosen: any.
    Any = 0,
    /// A receive would get it.
    Ready = 1,
    /// Its time has not come.
    Delayed = 2,
    /// Somebody has it under a lease.
    Leased = 3,
}

impl From<State> for flockq_state {
    fn from(state: State) -> Self {
        match state {
            State::Ready => Self::Ready,
            State::Delayed => Self::Delayed,
            State::Leased => Self::Leased,
        }
    }
}

/// Which messages go first.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum flockq_priority {
    /// Where a priority is given: the payload's own, else normal.
    Default = 0,
    /// Before all others.
    Urgent = 1,
    /// Before normal.
    High = 2,
    /// What a message has that says nothing.
    Normal = 3,
    /// After all others.
    Low = 4,
}

impl From<Priority> for flockq_priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Urgent => Self::Urgent,
            Priority::High => Self::High,
            Priority::Normal => Self::Normal,
            Priority::Low => Self::Low,
        }
    }
}

/// What is on stable storage when a call returns.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum flockq_sync {
    /// What the configuration says, else normal.
    Default = 0,
    /// Every commit.
    Full = 1,
    /// Every commit, except receive, pop, extend, detach, ack and a nack without a reason.
    Normal = 2,
    /// Nothing: left to the operating system.
    Off = 3,
}

/// How a queue commits.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum flockq_mode {
    /// None: a choice that was not made.
    Default = 0,
    /// Every commit writes the whole file: for queues that are shared with programs that do not use the library.
    Plain = 1,
    /// Every commit appends to a journal beside the file.
    Journal = 2,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statuses_are_the_error_kinds() {
        assert_eq!(flockq_status::ERRORS.len(), ErrorKind::ALL.len());
        for kind in ErrorKind::ALL {
            let status = flockq_status::of(*kind);
            assert_eq!(status as i32, kind.code());
            assert_eq!(format!("{status:?}"), kind.name());
        }
    }
}
