//! Arguments from Python.

use std::time::Duration;

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;

use super::error::refused;
use crate::{ErrorKind, LockWait};

/// Seconds as a number or a timedelta; `None` stays none, infinity is its own answer.
pub(super) enum Time {
    Of(Duration),
    Forever,
}

/// Reads a duration.
pub(super) fn time(value: &Bound<'_, PyAny>, what: &str) -> PyResult<Time> {
    let seconds: f64 = match value.extract() {
        Ok(seconds) => seconds,
        Err(_) => match value
            .call_method0("total_seconds")
            .and_then(|seconds| seconds.extract())
        {
            Ok(seconds) => seconds,
            Err(_) => {
                return Err(PyTypeError::new_err(format!(
                    "{what} must be a number of seconds or a timedelta"
                )));
            }
        },
    };
    if seconds == f64::INFINITY {
        return Ok(Time::Forever);
    }
    // More than fits is as good as for ever; negative and NaN are mistakes.
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) => Ok(Time::Of(duration)),
        Err(_) if seconds > 0.0 => Ok(Time::Forever),
        Err(_) => {
            let text = format!("{what} is {seconds} seconds; it must be 0 or more");
            Err(refused(value.py(), ErrorKind::InvalidArgument, text))
        }
    }
}

/// Reads a duration that has an end.
pub(super) fn duration(value: &Bound<'_, PyAny>, what: &str) -> PyResult<Duration> {
    match time(value, what)? {
        Time::Of(duration) => Ok(duration),
        Time::Forever => {
            let text = format!("{what} must have an end; give a number of seconds");
            Err(refused(value.py(), ErrorKind::InvalidArgument, text))
        }
    }
}

/// Reads an optional duration that has an end.
pub(super) fn optional(value: Option<&Bound<'_, PyAny>>, what: &str) -> PyResult<Option<Duration>> {
    value.map(|value| duration(value, what)).transpose()
}

/// Reads a wait for a lock: `None` is the default, 0 tries once, infinity waits for ever.
pub(super) fn lock_wait(value: Option<&Bound<'_, PyAny>>, what: &str) -> PyResult<LockWait> {
    Ok(match value.map(|value| time(value, what)).transpose()? {
        None => LockWait::default(),
        Some(Time::Forever) => LockWait::Forever,
        Some(Time::Of(Duration::ZERO)) => LockWait::NoWait,
        Some(Time::Of(duration)) => LockWait::For(duration),
    })
}

/// Reads a number of messages.
pub(super) fn count(value: &Bound<'_, PyAny>, what: &str) -> PyResult<usize> {
    value.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyOverflowError>(value.py()) {
            let text = format!("{what} is {value}; it must be 0 or more, and fit into 64 bits");
            return refused(value.py(), ErrorKind::InvalidArgument, text);
        }
        error
    })
}

/// Reads a name by the core's rule, whose error is raised.
pub(super) fn named<T: std::str::FromStr<Err = crate::Error>>(
    py: Python<'_>,
    text: Option<&str>,
) -> PyResult<Option<T>> {
    text.map(|text| {
        text.parse()
            .map_err(|error: crate::Error| super::error::exception(py, &error))
    })
    .transpose()
}
