//! Conditions and events.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use tidegate::{ShmCondition, ShmError, ShmFlag};

use crate::errors;
use crate::process::{Attach, PerProcess};
use crate::waiting::deadline;

impl Attach for ShmCondition {
    fn again(&self) -> PyResult<Self> {
        Self::from_fd(self.as_fd().try_clone_to_owned()?).map_err(errors::memory)
    }
}

impl Attach for ShmFlag {
    fn again(&self) -> PyResult<Self> {
        Self::from_fd(self.as_fd().try_clone_to_owned()?).map_err(errors::memory)
    }
}

/// What memory that is lent leads to, or what is made without any.
fn open<T>(
    memory: Option<RawFd>,
    create: fn() -> Result<T, ShmError>,
    attach: fn(std::os::fd::OwnedFd) -> Result<T, ShmError>,
) -> PyResult<T> {
    let opened = match memory {
        // SAFETY: the caller, `tidegate._locks`, has it open until this returns.
        Some(memory) => attach(unsafe { BorrowedFd::borrow_raw(memory) }.try_clone_to_owned()?),
        None => create(),
    };
    opened.map_err(errors::memory)
}

/// Calls `wait`, which says whether what it waits for has come, until it has, or `seconds` have passed.
fn wait(
    py: Python<'_>,
    seconds: Option<f64>,
    wait: impl Fn(Duration) -> Result<bool, ShmError> + Sync,
) -> PyResult<bool> {
    let until = deadline(true, seconds)?;
    loop {
        let slice = until.slice();
        if py.detach(|| wait(slice.unwrap_or(Duration::ZERO))).map_err(errors::memory)? {
            return Ok(true);
        }
        if slice.is_none() {
            return Ok(false);
        }
        py.check_signals()?;
    }
}

/// Those who wait for a condition.
#[pyclass(subclass, frozen, weakref, module = "tidegate._tidegate")]
#[derive(Default)]
pub(crate) struct Waiters {
    condition: PerProcess<ShmCondition>,
}

#[pymethods]
impl Waiters {
    #[new]
    #[pyo3(signature = (*_args, **_named))]
    fn new(_args: &Bound<'_, PyTuple>, _named: Option<&Bound<'_, PyDict>>) -> Self {
        Self::default()
    }

    #[pyo3(name = "_open", signature = (memory))]
    fn open(&self, memory: Option<RawFd>) -> PyResult<()> {
        self.condition.set(open(memory, ShmCondition::create, ShmCondition::from_fd)?);
        Ok(())
    }

    /// Takes a place among those who wait.
    #[pyo3(name = "_enter")]
    fn enter(&self) -> PyResult<Waiter> {
        Ok(Waiter { place: Mutex::new(Some(self.condition()?.enter().map_err(errors::memory)?)) })
    }

    /// Tells up to `most` of them.
    #[pyo3(name = "_notify")]
    fn notify(&self, most: usize) -> PyResult<usize> {
        self.condition()?.notify(most).map_err(errors::memory)
    }

    #[pyo3(name = "_memory")]
    fn memory(&self) -> PyResult<RawFd> {
        Ok(self.condition()?.as_fd().as_raw_fd())
    }
}

impl Waiters {
    fn condition(&self) -> PyResult<Arc<ShmCondition>> {
        self.condition.get()?.ok_or_else(|| errors::not_opened("condition"))
    }
}

/// A place among those who wait.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct Waiter {
    place: Mutex<Option<tidegate::Waiter>>,
}

#[pymethods]
impl Waiter {
    /// Waits until it is told. Whether it was.
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let Some(place) = self.place.lock().take() else { return Ok(false) };
        let waited = wait(py, timeout, |slice| place.wait(Some(slice)));
        *self.place.lock() = Some(place);
        waited
    }

    /// Gives the place up. Whether it was told.
    fn leave(&self) -> bool {
        self.place.lock().take().is_some_and(|place| place.is_notified())
    }
}

/// A flag that is set and waited for.
#[pyclass(subclass, frozen, weakref, module = "tidegate._tidegate")]
#[derive(Default)]
pub(crate) struct Flag {
    flag: PerProcess<ShmFlag>,
}

#[pymethods]
impl Flag {
    #[new]
    #[pyo3(signature = (*_args, **_named))]
    fn new(_args: &Bound<'_, PyTuple>, _named: Option<&Bound<'_, PyDict>>) -> Self {
        Self::default()
    }

    #[pyo3(name = "_open", signature = (memory))]
    fn open(&self, memory: Option<RawFd>) -> PyResult<()> {
        self.flag.set(open(memory, ShmFlag::create, ShmFlag::from_fd)?);
        Ok(())
    }

    /// Whether it is set.
    fn is_set(&self) -> PyResult<bool> {
        Ok(self.flag()?.is_set())
    }

    /// Sets it, and wakes all that wait.
    fn set(&self) -> PyResult<()> {
        self.flag()?.set().map_err(errors::memory)
    }

    /// Clears it.
    fn clear(&self) -> PyResult<()> {
        self.flag()?.clear().map_err(errors::memory)
    }

    /// Waits until it is set, at most `timeout` seconds. Whether it was, be it for a moment.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let flag = self.flag()?;
        let times_set = flag.times_set();
        wait(py, timeout, |slice| flag.wait_since(times_set, Some(slice)))
    }

    #[pyo3(name = "_memory")]
    fn memory(&self) -> PyResult<RawFd> {
        Ok(self.flag()?.as_fd().as_raw_fd())
    }
}

impl Flag {
    fn flag(&self) -> PyResult<Arc<ShmFlag>> {
        self.flag.get()?.ok_or_else(|| errors::not_opened("event"))
    }
}
