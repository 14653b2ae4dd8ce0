//! What may have to wait, or to write, when it goes.

use std::ops::Deref;

use pyo3::prelude::*;

/// Something of the core that a Python object holds. When the object goes, it is dropped without the GIL: the last handle of a queue
/// folds its journal then, and other threads may need the GIL for what it waits for.
pub(super) struct Released<T: Send>(Option<T>);

impl<T: Send> Released<T> {
    pub(super) fn new(inner: T) -> Self {
        Self(Some(inner))
    }
}

impl<T: Send> Deref for Released<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(inner) => inner,
            None => unreachable!("it is taken out when it is dropped"),
        }
    }
}

impl<T: Send> Drop for Released<T> {
    fn drop(&mut self) {
        let inner = self.0.take();
        // Without an interpreter nobody else can be waiting for it.
        let _ = Python::try_attach(|py| py.detach(|| drop(inner)));
    }
}
