//! Errors as exceptions. The classes are defined in Python (`flockq/_errors.py`), one per kind.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::{Cancel, Error, ErrorKind};

thread_local! {
    /// What a signal handler raised while this thread waited: it goes up instead of `Interrupted`.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
    /// What cancels the call that this thread is in.
    static CANCEL: RefCell<Option<Cancel>> = const { RefCell::new(None) };
}

/// Asked by the core while it waits. Runs Python's signal handlers, which only the main thread does.
pub(super) fn interrupted() -> bool {
    if RAISED.with(|place| place.borrow().is_some()) {
        // The core may go on after one wait was ended; the others of this call end too.
        return true;
    }
    let is_cancelled = |cancel: &Option<Cancel>| cancel.as_ref().is_some_and(Cancel::is_cancelled);
    if CANCEL.with(|place| is_cancelled(&place.borrow())) {
        return true;
    }
    let checked = Python::try_attach(|py| match py.check_signals() {
        Ok(()) => false,
        Err(raised) => {
            RAISED.with(|place| *place.borrow_mut() = Some(raised));
            true
        }
    });
    // Without an interpreter nobody can be told: the process ends, and its waiting threads with it.
    checked.unwrap_or(false)
}

/// The exception for an error.
pub(super) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let raised = RAISED.with(|place| place.borrow_mut().take());
    let made = || build(py, error).unwrap_or_else(|failed| failed);
    let Some(raised) = raised else {
        return made();
    };
    if error.kind() != ErrorKind::Interrupted {
        // Both are told.
        raised.set_cause(py, Some(made()));
    }
    raised
}

/// The exception for what is refused before the core is asked.
pub(super) fn refused(py: Python<'_>, kind: ErrorKind, text: String) -> PyErr {
    exception(py, &Error::new(kind, text))
}

fn build(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let details = PyDict::new(py);
    details.set_item("path", error.path().map(Path::as_os_str))?;
    details.set_item("offset", error.offset())?;
    details.set_item("errno", error.errno())?;
    let made = py
        .import("flockq._errors")?
        .getattr("_make")?
        .call((error.kind().name(), error.to_string()), Some(&details))?;
    Ok(PyErr::from_value(made))
}

/// Runs a call of the core without the GIL, and raises its error; a panic becomes `Internal`.
pub(super) fn call<T: Send>(
    py: Python<'_>,
    job: impl FnOnce() -> crate::Result<T> + Send,
) -> PyResult<T> {
    RAISED.with(|place| *place.borrow_mut() = None);
    // What the job leaves behind is the core's, which does not trust what a panic left.
    match py.detach(|| catch_unwind(AssertUnwindSafe(job))) {
        // The call came to its end all the same. As when the signal had come a moment later: the exception goes up, and what the
        // call returned is not seen.
        Ok(Ok(result)) => match RAISED.with(|place| place.borrow_mut().take()) {
            Some(raised) => Err(raised),
            None => Ok(result),
        },
        Ok(Err(error)) => Err(exception(py, &error)),
        Err(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            let text = format!("flockq panicked: {text}; please report it");
            Err(refused(py, ErrorKind::Internal, text))
        }
    }
}

/// The same for a call that can be cancelled, also where it waits for a lock.
pub(super) fn cancellable<T: Send>(
    py: Python<'_>,
    cancel: Option<Cancel>,
    job: impl FnOnce() -> crate::Result<T> + Send,
) -> PyResult<T> {
    CANCEL.with(|place| *place.borrow_mut() = cancel);
    let result = call(py, job);
    CANCEL.with(|place| *place.borrow_mut() = None);
    result
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
