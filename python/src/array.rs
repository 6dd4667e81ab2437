//! NumPy's arrays as messages, without pickle.
//!
//! ```text
//! kind u8 | order u8 | bytes of the type's name u8 | dimensions u8 | 4 bytes of padding | where the data begin u64 |
//! shape, u64 each | the type's name, as `dtype.str` has it | the data
//! ```

use std::sync::OnceLock;

use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyString, PyTuple};
use tidegate::channel::Loan;

use crate::attached::Attached;
use crate::codec::{ARRAY, kept_memory};
use crate::errors::damaged;

/// Where the shape begins.
const SHAPE_AT: usize = 16;
const DATA_ALIGNMENT: usize = 64;
/// Kinds of types that their name says all of.
const KINDS: &str = "biufcSU";

/// What is known of NumPy: it is not imported before the program does, or an array arrives.
#[derive(Default)]
pub(crate) struct NumPy {
    ndarray: OnceLock<Py<PyAny>>,
}

/// An array that can be sent so.
pub(crate) struct Array {
    /// Header up to the name of the type, but for where the data begin.
    header: Vec<u8>,
    pub(crate) data: PyUntypedBuffer,
}

impl NumPy {
    fn ndarray<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        if self.ndarray.get().is_none() {
            let ndarray = py.import("numpy")?.getattr("ndarray")?.unbind();
            let _another_thread_was_first = self.ndarray.set(ndarray);
        }
        self.ndarray.get().map(|ndarray| ndarray.bind(py)).ok_or_else(damaged)
    }

    /// The array that an object is, if it is just that, lies in one piece and its type is a simple one.
    pub(crate) fn array(&self, object: &Bound<'_, PyAny>) -> PyResult<Option<Array>> {
        let py = object.py();
        let is_array = match self.ndarray.get() {
            Some(ndarray) => object.get_type().is(ndarray.bind(py)),
            None => object.get_type().name()? == "ndarray" && object.get_type().is(self.ndarray(py)?),
        };
        if !is_array {
            return Ok(None);
        }
        let dtype = object.getattr("dtype")?;
        let (kind, name) = (dtype.getattr("kind")?, dtype.getattr("str")?);
        let (kind, name) = (kind.cast::<PyString>()?.to_str()?, name.cast::<PyString>()?.to_str()?);
        if !KINDS.contains(kind) || !dtype.getattr("metadata")?.is_none() {
            return Ok(None);
        }
        let Ok(data) = PyUntypedBuffer::get(object) else { return Ok(None) };
        let order = match (data.is_c_contiguous(), data.is_fortran_contiguous()) {
            (true, _) => b'C',
            (_, true) => b'F',
            _ => return Ok(None),
        };
        let (Ok(name_bytes), Ok(dimensions)) = (u8::try_from(name.len()), u8::try_from(data.dimensions())) else {
            return Ok(None);
        };
        if data.len_bytes() == 0 {
            return Ok(None);
        }
        let mut header = vec![0; SHAPE_AT];
        header[..4].copy_from_slice(&[ARRAY, order, name_bytes, dimensions]);
        data.shape().iter().for_each(|&length| header.extend_from_slice(&(length as u64).to_le_bytes()));
        header.extend_from_slice(name.as_bytes());
        Ok(Some(Array { header, data }))
    }
}

impl Array {
    /// Where the data are to begin, if nothing else says so.
    pub(crate) fn data_at(&self) -> usize {
        self.header.len().next_multiple_of(DATA_ALIGNMENT)
    }

    /// What comes before data that begin at `data_at`, or at the first place for them after it.
    pub(crate) fn into_head(self, data_at: usize) -> (Vec<u8>, PyUntypedBuffer) {
        let mut head = self.header;
        head[8..SHAPE_AT].copy_from_slice(&(data_at as u64).to_le_bytes());
        (head, self.data)
    }
}

/// An array that was taken out of a queue.
pub(crate) struct ReceivedArray {
    header: Vec<u8>,
    data: Data,
}

enum Data {
    Copied(Py<PyByteArray>),
    /// In the block that it came in, from there on.
    InPlace(Loan, usize),
}

/// Whether it is the name of one simple type: order of bytes, kind, and length.
fn is_simple(name: &str) -> bool {
    let kind = name.strip_prefix(['<', '>', '|', '=']).and_then(|rest| rest.strip_prefix(|kind| KINDS.contains(kind)));
    kind.is_some_and(|length| !length.is_empty() && length.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Where the data of a message begin, if it is one of an array.
fn data_at(message: &[u8]) -> Option<usize> {
    let at: [u8; 8] = message.get(8..SHAPE_AT)?.try_into().ok()?;
    usize::try_from(u64::from_le_bytes(at)).ok().filter(|&at| at >= SHAPE_AT && at <= message.len())
}

impl ReceivedArray {
    pub(crate) fn copied(py: Python<'_>, message: &[u8]) -> Option<Self> {
        let (header, data) = message.split_at(data_at(message)?);
        Some(Self { header: header.to_vec(), data: Data::Copied(PyByteArray::new(py, data).unbind()) })
    }

    pub(crate) fn in_place(loan: Loan) -> Option<Self> {
        let at = data_at(&loan)?;
        Some(Self { header: loan[..at].to_vec(), data: Data::InPlace(loan, at) })
    }

    pub(crate) fn into_object(self, py: Python<'_>, numpy: &NumPy, attached: &Attached) -> PyResult<Py<PyAny>> {
        let (order, name_bytes, dimensions) = (self.header[1], self.header[2] as usize, self.header[3] as usize);
        let name_at = SHAPE_AT + 8 * dimensions;
        let (shape, name) = (self.header.get(SHAPE_AT..name_at), self.header.get(name_at..name_at + name_bytes));
        let (Some(shape), Some(Ok(name))) = (shape, name.map(str::from_utf8)) else { return Err(damaged()) };
        // Of objects it would be addresses.
        if !is_simple(name) {
            return Err(damaged());
        }
        let (lengths, _) = shape.as_chunks::<8>();
        let shape = PyTuple::new(py, lengths.iter().map(|&length| u64::from_le_bytes(length)))?;
        let (buffer, at) = match self.data {
            Data::Copied(bytes) => (bytes.into_bound(py).into_any(), 0),
            Data::InPlace(loan, at) => (kept_memory(py, loan, attached)?.into_any(), at),
        };
        let order = if order == b'F' { "F" } else { "C" };
        // It refuses shapes that are larger than the buffer.
        Ok(numpy.ndarray(py)?.call1((shape, name, buffer, at, py.None(), order))?.unbind())
    }
}
