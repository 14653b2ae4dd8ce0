//! Deliveries.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::convert::duration;
use super::error::call;
use super::queue::nack;
use super::released::Released;

#[pyclass(frozen, module = "flockq._flockq")]
pub(super) struct Delivery(pub(super) Released<crate::Delivery>);

#[pymethods]
impl Delivery {
    #[getter]
    fn id(&self) -> &str {
        self.0.id()
    }

    #[getter]
    fn receipt(&self) -> &str {
        self.0.receipt()
    }

    #[getter]
    fn attempts(&self) -> u64 {
        self.0.attempts()
    }

    #[getter]
    fn priority(&self) -> &'static str {
        self.0.priority().name()
    }

    #[getter]
    fn queued_at(&self) -> Option<&str> {
        self.0.queued_at()
    }

    #[getter]
    fn raw<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.payload())
    }

    fn ack(&self, py: Python<'_>) -> PyResult<()> {
        call(py, || self.0.ack())
    }

    #[pyo3(signature = (error, delay))]
    fn nack(
        &self,
        py: Python<'_>,
        error: Option<String>,
        delay: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let nack = nack(error, delay)?;
        call(py, || self.0.nack(&nack))
    }

    fn extend(&self, py: Python<'_>, lease: &Bound<'_, PyAny>) -> PyResult<()> {
        let lease = duration(lease, "lease")?;
        call(py, || self.0.extend(lease))
    }

    fn detach(&self, py: Python<'_>) -> PyResult<()> {
        call(py, || self.0.detach())
    }
}
