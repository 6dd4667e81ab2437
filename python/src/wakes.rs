//! Waking an event loop of Python: a descriptor that becomes readable.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use rustix::event::{EventfdFlags, eventfd};

use crate::queue::Queue;
use crate::waiting::{Deadline, lock};

/// A descriptor that becomes readable when somebody is to be woken (`eventfd(2)`).
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct Wakes {
    descriptor: Arc<Descriptor>,
}

struct Descriptor(OwnedFd);

impl Wake for Descriptor {
    fn wake(self: Arc<Self>) {
        let _fails_only_where_it_is_readable = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

#[pymethods]
impl Wakes {
    #[new]
    fn new() -> PyResult<Self> {
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        let descriptor = eventfd(0, flags).map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok(Self { descriptor: Arc::new(Descriptor(descriptor)) })
    }

    fn fileno(&self) -> RawFd {
        self.descriptor.0.as_raw_fd()
    }

    /// Makes the descriptor unreadable until the next wake.
    fn clear(&self) {
        let _fails_only_where_it_is_not_readable = rustix::io::read(&self.descriptor.0, &mut [0; 8]);
    }

    /// Has the descriptor become readable when something is put, or 20 ms have passed. False where something may be there now, or
    /// a thread gets meanwhile.
    fn await_readable(&self, py: Python<'_>, queue: &Queue) -> PyResult<bool> {
        let attached = queue.attached()?;
        let Some(mut receiving) = lock(py, &attached.receiving, Deadline::Now)? else { return Ok(false) };
        let waker = Waker::from(Arc::clone(&self.descriptor));
        Ok(receiving.receiver(&attached)?.poll_ready(&mut Context::from_waker(&waker)).is_pending())
    }
}
