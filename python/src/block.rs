//! Memory that was received and is read in place, through the buffer protocol.

use std::ffi::c_int;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use tidegate::channel::Held;

/// Blocks that Python objects of this process read in place.
static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// A received message that stays where it was sent to while something reads it: an array, say. Read-only.
#[pyclass(frozen, module = "tidegate")]
pub(crate) struct Block {
    held: Held,
}

impl Block {
    pub(crate) fn new(held: Held) -> Self {
        IN_USE.fetch_add(1, Ordering::Relaxed);
        Self { held }
    }

    /// How many there are.
    pub(crate) fn in_use() -> usize {
        IN_USE.load(Ordering::Relaxed)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        IN_USE.fetch_sub(1, Ordering::Relaxed);
    }
}

#[pymethods]
impl Block {
    fn __len__(&self) -> usize {
        self.held.len()
    }

    /// # Safety
    /// Called by Python alone, with a `view` to fill.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        let bytes: &[u8] = &slf.get().held;
        let (start, len) = (bytes.as_ptr().cast_mut().cast(), bytes.len() as ffi::Py_ssize_t);
        // SAFETY: `view` may be filled, as the caller promises. The bytes stay where they are while the object lives, which
        // the view keeps alive; they are given out read-only.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, len, 1, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }

    /// # Safety
    /// Called by Python alone.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {}
}
