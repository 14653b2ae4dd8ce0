//! Errors, and what can be asked of statuses.

use std::os::unix::ffi::OsStrExt;

use super::guard::{Out, free, guard, look, text};
use super::{flockq_bytes, flockq_status};
use crate::{Error, ErrorKind};

/// What went wrong, in full. Freed by flockq_error_free().
#[derive(Debug)]
pub struct flockq_error {
    error: Error,
    message: String,
}

impl From<Error> for flockq_error {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        Self { error, message }
    }
}

/// The status that the failed function returned; FLOCKQ_STATUS_OK for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_error_status(error: *const flockq_error) -> flockq_status {
    look(error, flockq_status::Ok, |error| {
        flockq_status::of(error.error.kind())
    })
}

/// One line that says what was found, where, and what to do. Borrowed from `error`.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_error_message(error: *const flockq_error) -> flockq_bytes {
    look(error, flockq_bytes::NONE, |error| {
        flockq_bytes::of(error.message.as_bytes())
    })
}

/// The file that the error is about, or no bytes. Borrowed from `error`; bytes as the system has them.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_error_path(error: *const flockq_error) -> flockq_bytes {
    look(error, flockq_bytes::NONE, |error| {
        error.error.path().map_or(flockq_bytes::NONE, |path| {
            flockq_bytes::of(path.as_os_str().as_bytes())
        })
    })
}

/// The operating system's error number, or 0.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_error_errno(error: *const flockq_error) -> i32 {
    look(error, 0, |error| error.error.errno().unwrap_or(0))
}

/// Where in the file, or in the payload, the rule is broken, in bytes; -1 where that does not apply.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_error_offset(error: *const flockq_error) -> i64 {
    look(error, -1, |error| {
        error
            .error
            .offset()
            .and_then(|offset| i64::try_from(offset).ok())
            .unwrap_or(-1)
    })
}

/// Frees an error; NULL does nothing.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_error_free(error: *mut flockq_error) {
    free(error);
}

/// The name of a status ("StaleReceipt"), the same in every language; no bytes for an unknown one. Lives for ever.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_status_name(status: i32) -> flockq_bytes {
    match status {
        0 => flockq_bytes::of(b"Ok"),
        other => ErrorKind::from_code(other).map_or(flockq_bytes::NONE, |kind| {
            flockq_bytes::of(kind.name().as_bytes())
        }),
    }
}

/// One sentence that says what a status means; no bytes for an unknown one. Lives for ever.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_status_summary(status: i32) -> flockq_bytes {
    match status {
        0 => flockq_bytes::of(b"Success."),
        other => ErrorKind::from_code(other).map_or(flockq_bytes::NONE, |kind| {
            flockq_bytes::of(kind.summary().as_bytes())
        }),
    }
}

/// The version of the library that is running, such as "0.1.0". Lives for ever. Compare it with FLOCKQ_VERSION.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_version() -> flockq_bytes {
    flockq_bytes::of(env!("CARGO_PKG_VERSION").as_bytes())
}

/// Reads a duration such as `30s`, `5m`, `1h30m` or `250ms` into milliseconds, rounded down.
///
/// FLOCKQ_STATUS_INVALID_ARGUMENT for anything else.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_parse_duration(
    duration: flockq_bytes,
    milliseconds: *mut u64,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(milliseconds, "milliseconds")?;
        let read = crate::parse_duration(text(duration, "duration")?)?;
        out.put(u64::try_from(read.as_millis()).unwrap_or(u64::MAX));
        Ok(())
    })
}
