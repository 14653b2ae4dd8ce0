//! Spools, file locks and single files.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

use super::convert::{lock_wait, named};
use super::error::{call, interrupted};
use super::queue::Queue;
use super::released::Released;
use crate::{Init, LockKind, Sync};

#[pyclass(frozen, module = "flockq._flockq")]
pub(super) struct Spool(crate::Spool);

#[pymethods]
impl Spool {
    #[new]
    #[pyo3(signature = (directory, *, create=false, sync=None, lock_wait=None, allow_unverified_fs=false))]
    fn new(
        py: Python<'_>,
        directory: PathBuf,
        create: bool,
        sync: Option<&str>,
        lock_wait: Option<&Bound<'_, PyAny>>,
        allow_unverified_fs: bool,
    ) -> PyResult<Self> {
        let mut builder = crate::Spool::builder(directory)
            .create(create)
            .lock_wait(self::lock_wait(lock_wait, "lock_wait")?)
            .allow_unverified_fs(allow_unverified_fs)
            .interrupt_check(interrupted);
        if let Some(sync) = named::<Sync>(py, sync)? {
            builder = builder.sync(sync);
        }
        call(py, || builder.open()).map(Self)
    }

    #[getter]
    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    fn queue(&self, py: Python<'_>, name: &str) -> PyResult<Queue> {
        call(py, || self.0.queue(name)).map(|queue| Queue(Released::new(queue)))
    }

    fn queues(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        call(py, || self.0.queues())
    }

    fn adopt_mail(&self, py: Python<'_>) -> PyResult<()> {
        call(py, || self.0.adopt_mail())
    }

    fn metrics(&self, py: Python<'_>) -> PyResult<String> {
        call(py, || self.0.metrics())
    }

    fn write_metrics(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        call(py, || self.0.write_metrics(path))
    }

    fn doctor(&self, py: Python<'_>) -> PyResult<String> {
        call(py, || self.0.doctor()).map(|all| crate::Advice::to_json(&all))
    }

    fn config(&self, py: Python<'_>) -> PyResult<String> {
        call(py, || self.0.config())
    }

    fn set_config(&self, py: Python<'_>, setting: &str, value: &str) -> PyResult<()> {
        call(py, || self.0.set_config(setting, value))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        call(py, || self.0.close())
    }
}

#[pyfunction]
#[pyo3(signature = (directory, *, plain=false, lock_dir=None, sync=None))]
pub(super) fn init(
    py: Python<'_>,
    directory: PathBuf,
    plain: bool,
    lock_dir: Option<&str>,
    sync: Option<&str>,
) -> PyResult<()> {
    let mut init = Init::new().plain(plain);
    if let Some(lock_dir) = lock_dir {
        init = init.lock_dir(lock_dir);
    }
    if let Some(sync) = named::<Sync>(py, sync)? {
        init = init.sync(sync);
    }
    call(py, || crate::Spool::init(directory, &init))
}

#[pyfunction]
pub(super) fn write_atomic(py: Python<'_>, path: PathBuf, data: &[u8]) -> PyResult<()> {
    let data = data.to_vec();
    call(py, || crate::write_atomic(path, &data))
}

/// A held lock; none after its release.
#[pyclass(frozen, module = "flockq._flockq")]
pub(super) struct FileLock {
    held: Mutex<Option<crate::FileLock>>,
    waited: f64,
}

#[pymethods]
impl FileLock {
    #[new]
    #[pyo3(signature = (path, *, shared=false, timeout=None, allow_unverified_fs=false))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        shared: bool,
        timeout: Option<&Bound<'_, PyAny>>,
        allow_unverified_fs: bool,
    ) -> PyResult<Self> {
        let builder = crate::FileLock::builder(path)
            .kind(if shared {
                LockKind::Shared
            } else {
                LockKind::Exclusive
            })
            .wait(lock_wait(timeout, "timeout")?)
            .allow_unverified_fs(allow_unverified_fs)
            .interrupt_check(interrupted);
        let held = call(py, || builder.acquire())?;
        Ok(Self {
            waited: held.waited().as_secs_f64(),
            held: Mutex::new(Some(held)),
        })
    }

    #[getter]
    fn waited(&self) -> f64 {
        self.waited
    }

    fn release(&self, py: Python<'_>) {
        let held = self
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        py.detach(|| drop(held));
    }
}
