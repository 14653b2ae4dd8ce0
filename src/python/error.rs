//! Errors as exceptions. The classes are defined in Python (`flockq/_errors.py`), one per kind.

use std::cell::RefCell;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::{Error, ErrorKind};

thread_local! {
    /// What a signal handler raised while this thread waited: it goes up instead of `Interrupted`.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Asked by the core while it waits. Runs Python's signal handlers, which only the main thread does.
pub(super) fn interrupted() -> bool {
    Python::attach(|py| match py.check_signals() {
        Ok(()) => false,
        Err(raised) => {
            RAISED.with(|place| *place.borrow_mut() = Some(raised));
            true
        }
    })
}

/// The exception for an error.
pub(super) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    if error.kind() == ErrorKind::Interrupted {
        if let Some(raised) = RAISED.with(|place| place.borrow_mut().take()) {
            return raised;
        }
    }
    build(py, error).unwrap_or_else(|failed| failed)
}

fn build(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let details = PyDict::new(py);
    details.set_item(
        "path",
        error.path().map(|path| path.to_string_lossy().into_owned()),
    )?;
    details.set_item("offset", error.offset())?;
    details.set_item("errno", error.errno())?;
    let made = py
        .import("flockq._errors")?
        .getattr("_make")?
        .call((error.kind().name(), error.to_string()), Some(&details))?;
    Ok(PyErr::from_value(made))
}

/// Runs a call of the core without the GIL, and raises its error.
pub(super) fn call<T: Send>(
    py: Python<'_>,
    job: impl FnOnce() -> crate::Result<T> + Send,
) -> PyResult<T> {
    RAISED.with(|place| *place.borrow_mut() = None);
    py.detach(job).map_err(|error| exception(py, &error))
}

/// The core's list of kinds: code and name.
#[pyfunction]
#[pyo3(name = "_error_table")]
pub(super) fn error_table() -> Vec<(i32, &'static str)> {
    ErrorKind::ALL
        .iter()
        .map(|kind| (kind.code(), kind.name()))
        .collect()
}
