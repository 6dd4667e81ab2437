//! The page and the metrics of a Python process's queues.

use parking_lot::Mutex;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use tidegate::inspect::{self, Registry};

use crate::queue::Queue;

/// A running endpoint; it closes when nothing refers to it, or with `close()`.
#[pyclass(frozen, module = "tidegate")]
pub(crate) struct Endpoint {
    registry: Registry,
    endpoint: Mutex<Option<inspect::Endpoint>>,
}

#[pymethods]
impl Endpoint {
    #[new]
    fn new(address: &str) -> PyResult<Self> {
        let address = address.parse().map_err(PyValueError::new_err)?;
        let registry = Registry::default();
        let endpoint = inspect::Endpoint::serve(&address, registry.clone())
            .map_err(|error| PyOSError::new_err(format!("cannot listen on {address}: {error}")))?;
        Ok(Self { registry, endpoint: Mutex::new(Some(endpoint)) })
    }

    /// Where it listens; `None` once it is closed.
    #[getter]
    fn address(&self) -> Option<String> {
        self.endpoint.lock().as_ref().map(|endpoint| endpoint.address().to_string())
    }

    /// Shows a queue that a controller of this process looks after; false if none does.
    fn show(&self, queue: &Queue) -> PyResult<bool> {
        let Some(state) = queue.controller_state()? else { return Ok(false) };
        self.registry.add(&queue.channel()?, state);
        Ok(true)
    }

    fn close(&self, py: Python<'_>) {
        let endpoint = self.endpoint.lock().take();
        py.detach(|| drop(endpoint));
    }
}
