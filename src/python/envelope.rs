//! Envelopes.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

#[pyclass(frozen, module = "flockq._flockq")]
pub(super) struct Envelope(pub(super) crate::Envelope);

#[pymethods]
impl Envelope {
    #[getter]
    fn id(&self) -> Option<&str> {
        self.0.id()
    }

    #[getter]
    fn state(&self) -> &'static str {
        self.0.state().name()
    }

    #[getter]
    fn priority(&self) -> &'static str {
        self.0.priority().name()
    }

    #[getter]
    fn attempts(&self) -> u64 {
        self.0.attempts()
    }

    #[getter]
    fn error(&self) -> Option<&str> {
        self.0.error()
    }

    #[getter]
    fn errors(&self) -> Option<&str> {
        self.0.errors()
    }

    #[getter]
    fn origin(&self) -> Option<&str> {
        self.0.origin()
    }

    #[getter]
    fn expires(&self) -> Option<&str> {
        self.0.expires()
    }

    #[getter]
    fn queued_at(&self) -> Option<&str> {
        self.0.queued_at()
    }

    #[getter]
    fn last_attempt(&self) -> Option<&str> {
        self.0.last_attempt()
    }

    #[getter]
    fn not_before(&self) -> Option<&str> {
        self.0.not_before()
    }

    #[getter]
    fn lease_until(&self) -> Option<&str> {
        self.0.lease_until()
    }

    #[getter]
    fn consumer(&self) -> Option<&str> {
        self.0.consumer()
    }

    #[getter]
    fn raw<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.payload())
    }

    #[getter]
    fn text<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.text())
    }
}
