//! Memory of a queue in the hands of Python: what was got, in place, and what is to be put.

use std::ffi::c_int;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use tidegate::channel::Loan;

/// Where the data of a loan that is to be filled begin: what says how to make an object of them comes before.
pub(crate) const HEAD_BYTES: usize = 4096;

/// A block of the queue's memory, and what of it Python sees.
pub(crate) struct Lent {
    /// `None` once it was put.
    loan: Mutex<Option<Loan>>,
    /// Which mapping of which queue it is of.
    attached: u64,
    /// Has the memory mapped as long as Python may look at it, also when it was put.
    _channel: tidegate::Channel,
    address: usize,
    len: usize,
}

impl Lent {
    /// Of a loan, what begins at `at`.
    pub(crate) fn of(mut loan: Loan, at: usize, channel: tidegate::Channel, attached: u64) -> Self {
        let seen = &mut loan[at..];
        let (address, len) = (seen.as_mut_ptr().expose_provenance(), seen.len());
        Self { loan: Mutex::new(Some(loan)), attached, _channel: channel, address, len }
    }

    /// Takes the loan to put it, as the end `attached` has it.
    pub(crate) fn take(&self, attached: u64) -> Option<Loan> {
        if attached == self.attached { self.loan.lock().take() } else { None }
    }

    /// Brings back what was not put.
    pub(crate) fn restore(&self, loan: Loan) {
        *self.loan.lock() = Some(loan);
    }
}

/// Loans that were made to be filled.
#[derive(Default)]
pub(crate) struct Lending {
    lent: Mutex<Vec<Weak<Lent>>>,
}

impl Lending {
    pub(crate) fn enter(&self, lent: &Arc<Lent>) {
        let mut all = self.lent.lock();
        all.retain(|lent| lent.strong_count() > 0);
        all.push(Arc::downgrade(lent));
    }

    /// The loan whose data are all that a buffer is, and which was not put yet.
    pub(crate) fn find(&self, address: usize, len: usize) -> Option<Arc<Lent>> {
        let is_it = |lent: &Arc<Lent>| lent.address == address && lent.len == len && lent.loan.lock().is_some();
        self.lent.lock().iter().filter_map(Weak::upgrade).find(is_it)
    }
}

/// Memory of a queue, as a buffer.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct Memory {
    lent: Arc<Lent>,
}

impl Memory {
    pub(crate) fn new(lent: Arc<Lent>) -> Self {
        Self { lent }
    }
}

#[pymethods]
impl Memory {
    fn __len__(&self) -> usize {
        self.lent.len
    }

    /// # Safety
    /// `view` is what the interpreter lends for this.
    unsafe fn __getbuffer__(slf: PyRef<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view"));
        }
        let (address, len) = (slf.lent.address, slf.lent.len);
        let len = ffi::Py_ssize_t::try_from(len).map_err(|_| PyBufferError::new_err("too long"))?;
        let memory = std::ptr::with_exposed_provenance_mut(address);
        // SAFETY: the view is the interpreter's, and keeps this object, which has the memory mapped; it is this process's
        // alone until it is put, and nobody of this module refers to it as Rust's meanwhile.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), memory, len, 0, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
