//! Memory of a queue in the hands of Python: what was got, in place, and what is to be put.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use tidegate::channel::Loan;

/// Where the data of a loan that is to be filled begin: what says how to make an object of them comes before.
pub(crate) const HEAD_BYTES: usize = 4096;

/// A block of the queue's memory, and what of it Python sees.
pub(crate) struct Lent {
    /// `None` once it was put.
    loan: Mutex<Option<Loan>>,
    /// A child has seen it: it is not given back.
    is_pinned: AtomicBool,
    /// Whether it was made by `loan()`.
    is_to_fill: bool,
    /// Which mapping of which queue it is of.
    attached: u64,
    /// Has the memory mapped as long as Python may look at it, also when it was put.
    _channel: tidegate::Channel,
    address: usize,
    len: usize,
}

impl Lent {
    /// Of a loan, what begins at `at`.
    fn of(mut loan: Loan, at: usize, channel: tidegate::Channel, attached: u64) -> Self {
        let seen = &mut loan[at..];
        let (address, len) = (seen.as_mut_ptr().expose_provenance(), seen.len());
        Self {
            loan: Mutex::new(Some(loan)),
            is_pinned: AtomicBool::new(false),
            is_to_fill: at > 0,
            attached,
            _channel: channel,
            address,
            len,
        }
    }

    /// As [`Lent::of`], known to [`pin_all`].
    pub(crate) fn shared(loan: Loan, at: usize, channel: tidegate::Channel, attached: u64) -> Arc<Self> {
        let lent = Arc::new(Self::of(loan, at, channel, attached));
        let mut all = ALL.lock();
        // Amortised: as many are looked at as have come since.
        if all.len() == all.capacity() {
            all.retain(|lent| lent.strong_count() > 0);
        }
        all.push(Arc::downgrade(&lent));
        lent
    }

    /// Takes the loan to put it, as the end `attached` has it.
    pub(crate) fn take(&self, attached: u64) -> Option<Loan> {
        if attached == self.attached { self.loan.lock().take() } else { None }
    }

    /// Whether it is another's now.
    pub(crate) fn is_put(&self) -> bool {
        self.loan.lock().is_none()
    }

    /// Brings back what was not put.
    pub(crate) fn restore(&self, loan: Loan) {
        *self.loan.lock() = Some(loan);
    }
}

/// All that Python has, or had.
static ALL: Mutex<Vec<Weak<Lent>>> = Mutex::new(Vec::new());

/// To be called before `os.fork`: the child sees the same memory through the arrays that it inherits, so that this process keeps
/// the blocks of these for good, and nobody writes anything else there.
#[pyfunction]
pub(crate) fn pin_all() {
    for lent in ALL.lock().drain(..).filter_map(|lent| lent.upgrade()) {
        lent.is_pinned.store(true, Ordering::Relaxed);
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.is_pinned.load(Ordering::Relaxed)
            && let Some(loan) = self.loan.get_mut().take()
        {
            std::mem::forget(loan);
        }
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

    /// What was lent for an array to be filled, if this is the array itself: its data are all of it.
    pub(crate) fn behind(array: &Bound<'_, PyAny>, address: usize, len: usize) -> PyResult<Option<Arc<Lent>>> {
        let base = array.getattr("base")?;
        let Ok(memory) = base.cast::<Self>() else { return Ok(None) };
        let lent = &memory.get().lent;
        if !lent.is_to_fill || (lent.address, lent.len) != (address, len) {
            return Ok(None);
        }
        if lent.is_put() {
            return Err(PyValueError::new_err("the array was put already: it is another's"));
        }
        Ok(Some(Arc::clone(lent)))
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
