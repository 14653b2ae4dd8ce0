//! The Python extension module `flockq._flockq`. It translates; the decisions are the core's, and
//! what reads better in Python (exceptions, JSON, context managers) is in `python/flockq`.

#![allow(
    missing_docs,
    reason = "the stubs in python/flockq/_flockq.pyi document the module"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "arguments come from Python by value"
)]

mod convert;
mod delivery;
mod envelope;
mod error;
mod queue;
mod released;
mod spool;

use pyo3::prelude::*;

/// The extension module.
#[pymodule(gil_used = false)]
#[pyo3(name = "_flockq")]
fn extension(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_class::<spool::Spool>()?;
    m.add_class::<queue::Queue>()?;
    m.add_class::<queue::Transaction>()?;
    m.add_class::<queue::Cancel>()?;
    m.add_class::<queue::Keeper>()?;
    m.add_class::<delivery::Delivery>()?;
    m.add_class::<envelope::Envelope>()?;
    m.add_class::<spool::FileLock>()?;
    m.add_function(wrap_pyfunction!(spool::init, m)?)?;
    m.add_function(wrap_pyfunction!(spool::write_atomic, m)?)?;
    m.add_function(wrap_pyfunction!(error::error_table, m)?)?;
    Ok(())
}
