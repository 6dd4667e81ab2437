//! Objects as messages: simple ones natively, all others by pickle, large buffers beside it.
//!
//! ```text
//! kind u8 | what the kind says
//!   bytes, bytearray, str   the bytes
//!   int, float              8 bytes, little-endian
//!   none, true, false       nothing
//!   tuple                   count u32, then for each: kind u8, length u32, the bytes
//!   pickle                  7 bytes of padding, buffers u64, pickle's length u64, each buffer's place and length u64,
//!                           the pickle, and the buffers
//!   array                   as `array` says
//! ```
//!
//! A message is untrusted: every length is checked before it is used.

use std::ops::Range;
use std::sync::Arc;

use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyFloat, PyInt, PyList, PyMemoryView, PySlice, PyString, PyTuple};
use tidegate::channel::Loan;

use crate::array::{Array, NumPy, ReceivedArray};
use crate::attached::{Attached, IN_RING_MAX};
use crate::errors::damaged;
use crate::memory::{HEAD_BYTES, Lent, Memory};

const BYTES: u8 = 1;
const BYTEARRAY: u8 = 2;
const STR: u8 = 3;
const INT: u8 = 4;
const FLOAT: u8 = 5;
const NONE: u8 = 6;
const TRUE: u8 = 7;
const FALSE: u8 = 8;
const TUPLE: u8 = 9;
const PICKLE: u8 = 10;
pub(crate) const ARRAY: u8 = 11;

/// Where a pickle's counts begin.
const COUNTS_AT: usize = 8;
/// Buffers begin at multiples of it, as vector instructions like it.
const ALIGNMENT: usize = 64;
/// Most items of a tuple that is encoded natively.
const ITEMS_MAX: usize = 64;
/// Buffers of a pickle at most.
const BUFFERS_MAX: u64 = 1 << 16;

/// Bytes from which on they are copied once only, and without holding the interpreter up.
const LONG: usize = 1 << 16;

/// An object's message, but for the buffers that lie outside of it.
pub(crate) struct Encoded {
    pub(crate) head: Vec<u8>,
    buffers: Vec<Outside>,
    /// The block that the only buffer lies in already, behind room for the head.
    pub(crate) lent: Option<Arc<Lent>>,
}

/// A buffer, and where in the message it is to lie.
struct Outside {
    at: usize,
    bytes: PyUntypedBuffer,
}

/// What pickles, and what makes objects again: functions of `tidegate._pickle`.
pub(crate) struct Pickler {
    pub(crate) dumps: Py<PyAny>,
    pub(crate) loads: Py<PyAny>,
    pub(crate) numpy: NumPy,
}

impl Encoded {
    fn of(head: Vec<u8>) -> Self {
        Self { head, buffers: Vec::new(), lent: None }
    }

    /// Bytes of the whole message.
    pub(crate) fn len(&self) -> usize {
        self.buffers.last().map_or(self.head.len(), |last| last.at + last.bytes.len_bytes())
    }

    /// Whether it is all in `head`.
    pub(crate) fn is_in_head(&self) -> bool {
        self.buffers.is_empty()
    }

    /// The block that the data lie in already, if they do and it is of the end `attached`.
    pub(crate) fn take_lent(&self, attached: u64) -> Option<(&Lent, Loan)> {
        let lent = self.lent.as_deref()?;
        Some((lent, lent.take(attached)?))
    }

    /// Writes what comes before the buffers.
    pub(crate) fn write_head(&self, loan: &mut Loan) {
        loan.head_mut(self.head.len()).copy_from_slice(&self.head);
    }

    /// Writes the message into memory of its length.
    pub(crate) fn write(&self, py: Python<'_>, into: &mut [u8]) {
        into[..self.head.len()].copy_from_slice(&self.head);
        for buffer in &self.buffers {
            let place = &mut into[buffer.at..buffer.at + buffer.bytes.len_bytes()];
            let from = buffer.bytes.buf_ptr().expose_provenance();
            let mut copy = || {
                // SAFETY: the buffer lies in one piece, is so long, and stays where it is while it is exported. Another thread may
                // write to it meanwhile, as into any buffer that is read: then the copy has some of both, of bytes that mean nothing
                // here.
                unsafe { place.as_mut_ptr().copy_from(std::ptr::with_exposed_provenance(from), place.len()) };
            };
            if buffer.bytes.len_bytes() < LONG { copy() } else { py.detach(copy) }
        }
    }
}

/// The kind and the bytes of an object that is encoded natively, by `take`; `None` of any other.
fn native<R>(object: &Bound<'_, PyAny>, take: impl FnOnce(u8, &[u8]) -> R) -> PyResult<Option<R>> {
    Ok(Some(if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        take(BYTES, bytes.as_bytes())
    } else if let Ok(text) = object.cast_exact::<PyString>() {
        // One with lone surrogates has no UTF-8: pickle has a way.
        let Ok(text) = text.to_str() else { return Ok(None) };
        take(STR, text.as_bytes())
    } else if let Ok(number) = object.cast_exact::<PyInt>() {
        let Ok(number) = number.extract::<i64>() else { return Ok(None) };
        take(INT, &number.to_le_bytes())
    } else if let Ok(number) = object.cast_exact::<PyFloat>() {
        take(FLOAT, &number.value().to_le_bytes())
    } else if object.is_none() {
        take(NONE, &[])
    } else if let Ok(truth) = object.cast_exact::<PyBool>() {
        take(if truth.is_true() { TRUE } else { FALSE }, &[])
    } else if let Ok(bytes) = object.cast_exact::<PyByteArray>() {
        take(BYTEARRAY, &bytes.to_vec())
    } else {
        return Ok(None);
    }))
}

/// Encodes an object.
pub(crate) fn encode(object: &Bound<'_, PyAny>, pickler: &Pickler) -> PyResult<Encoded> {
    let py = object.py();
    if let Ok(bytes) = object.cast_exact::<PyBytes>()
        && bytes.as_bytes().len() >= LONG
    {
        let bytes = Outside { at: 1, bytes: PyUntypedBuffer::get(bytes)? };
        return Ok(Encoded { head: vec![BYTES], buffers: vec![bytes], lent: None });
    }
    let whole = |kind: u8, bytes: &[u8]| {
        let mut head = Vec::with_capacity(1 + bytes.len());
        head.push(kind);
        head.extend_from_slice(bytes);
        head
    };
    if let Some(head) = native(object, whole)? {
        return Ok(Encoded::of(head));
    }
    if let Ok(tuple) = object.cast_exact::<PyTuple>()
        && let Some(head) = encode_tuple(tuple)?
    {
        return Ok(Encoded::of(head));
    }
    if let Some(array) = pickler.numpy.array(object)? {
        let lent = Memory::behind(object, array.data.buf_ptr().addr(), array.data.len_bytes())?;
        return Ok(encode_array(py, array, lent));
    }
    encode_pickle(object, pickler)
}

fn encode_tuple(tuple: &Bound<'_, PyTuple>) -> PyResult<Option<Vec<u8>>> {
    if tuple.len() > ITEMS_MAX {
        return Ok(None);
    }
    let mut head = vec![TUPLE];
    head.extend_from_slice(&(tuple.len() as u32).to_le_bytes());
    for item in tuple.iter() {
        let append = |kind: u8, bytes: &[u8]| {
            let len = u32::try_from(bytes.len()).ok()?;
            head.push(kind);
            head.extend_from_slice(&len.to_le_bytes());
            head.extend_from_slice(bytes);
            Some(())
        };
        if native(&item, append)?.flatten().is_none() {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

fn encode_array(py: Python<'_>, array: Array, lent: Option<Arc<Lent>>) -> Encoded {
    let at = if lent.is_some() { HEAD_BYTES } else { array.data_at() };
    let (head, data) = array.into_head(at);
    let mut encoded = Encoded { head, buffers: vec![Outside { at, bytes: data }], lent };
    if encoded.len() <= IN_RING_MAX && encoded.lent.is_none() {
        let mut head = vec![0; encoded.len()];
        encoded.write(py, &mut head);
        encoded = Encoded::of(head);
    }
    encoded
}

fn encode_pickle(object: &Bound<'_, PyAny>, pickler: &Pickler) -> PyResult<Encoded> {
    let py = object.py();
    let (pickle, outside): (Bound<'_, PyAny>, Bound<'_, PyList>) =
        pickler.dumps.bind(py).call1((object,))?.extract()?;
    let pickle: PyUntypedBuffer = PyUntypedBuffer::get(&pickle)?;
    let outside: Vec<PyUntypedBuffer> =
        outside.iter().map(|buffer| PyUntypedBuffer::get(&buffer)).collect::<PyResult<_>>()?;
    let pickle_at = COUNTS_AT + 16 + 16 * outside.len();
    let head_bytes = pickle_at + pickle.len_bytes();
    let mut at = head_bytes;
    let place = |bytes: PyUntypedBuffer| {
        let buffer = Outside { at: at.next_multiple_of(ALIGNMENT), bytes };
        at = buffer.at + buffer.bytes.len_bytes();
        buffer
    };
    let buffers: Vec<Outside> = outside.into_iter().map(place).collect();
    let mut head = vec![0; COUNTS_AT];
    head[0] = PICKLE;
    let counts = [buffers.len(), pickle.len_bytes()];
    let places = buffers.iter().flat_map(|buffer| [buffer.at, buffer.bytes.len_bytes()]);
    counts.into_iter().chain(places).for_each(|count| head.extend_from_slice(&(count as u64).to_le_bytes()));
    head.resize(head_bytes, 0);
    pickle.as_typed::<u8>()?.copy_to_slice(py, &mut head[pickle_at..])?;
    Ok(Encoded { head, buffers, lent: None })
}

/// A message as it was found.
pub(crate) enum Found<'a> {
    /// Its bytes, for as long as it is looked at.
    Bytes(&'a [u8]),
    /// It is this process's, with the block that it is in.
    Loan(Loan),
}

/// Whether a message is worth being had with its block.
pub(crate) fn has_large_buffers(message: &[u8]) -> bool {
    matches!(message.first(), Some(&(PICKLE | ARRAY))) && message.len() >= LONG
}

/// A message that was taken out of the queue. Nothing that is made on the way is a container, so that no garbage is collected and
/// no Python code runs: an end of the queue is locked meanwhile.
pub(crate) enum Received {
    Object(PyResult<Py<PyAny>>),
    Tuple(Vec<u8>),
    Array(ReceivedArray),
    Pickle { pickle: Py<PyBytes>, buffers: Buffers },
}

/// The buffers of a pickle.
pub(crate) enum Buffers {
    Copied(Vec<Py<PyByteArray>>),
    /// In the block that they came in, which they keep.
    InPlace(Loan, Vec<Range<usize>>),
}

impl Received {
    pub(crate) fn of(py: Python<'_>, found: Found<'_>) -> Self {
        let message: &[u8] = match &found {
            Found::Bytes(bytes) => bytes,
            Found::Loan(loan) => loan,
        };
        match message.split_first() {
            Some((&PICKLE, _)) => {
                let Some((pickle, places)) = places(message) else { return Self::Object(Err(damaged())) };
                let pickle = PyBytes::new(py, &message[pickle]).unbind();
                let buffers = match found {
                    Found::Bytes(message) => Buffers::Copied(
                        places.into_iter().map(|at| PyByteArray::new(py, &message[at]).unbind()).collect(),
                    ),
                    Found::Loan(loan) => Buffers::InPlace(loan, places),
                };
                Self::Pickle { pickle, buffers }
            }
            Some((&ARRAY, _)) => {
                let array = match found {
                    Found::Bytes(message) => ReceivedArray::copied(py, message),
                    Found::Loan(loan) => ReceivedArray::in_place(loan),
                };
                array.map_or_else(|| Self::Object(Err(damaged())), Self::Array)
            }
            Some((&TUPLE, items)) => Self::Tuple(items.to_vec()),
            Some((&kind, bytes)) => Self::Object(decode_native(py, kind, bytes)),
            None => Self::Object(Err(damaged())),
        }
    }

    /// Makes the object; unpickling runs what Python code it has to.
    pub(crate) fn into_object(self, py: Python<'_>, pickler: &Pickler, attached: &Attached) -> PyResult<Py<PyAny>> {
        match self {
            Self::Object(object) => object,
            Self::Tuple(items) => decode_tuple(py, &items),
            Self::Array(array) => array.into_object(py, &pickler.numpy, attached),
            Self::Pickle { pickle, buffers } => {
                let buffers = match buffers {
                    Buffers::Copied(buffers) => PyList::new(py, buffers)?,
                    Buffers::InPlace(loan, places) => in_place(py, loan, &places, attached)?,
                };
                Ok(pickler.loads.bind(py).call1((pickle, buffers))?.unbind())
            }
        }
    }
}

/// A message that is kept, as memory.
pub(crate) fn kept_memory<'py>(py: Python<'py>, loan: Loan, attached: &Attached) -> PyResult<Bound<'py, Memory>> {
    Bound::new(py, Memory::new(Lent::shared(loan, 0, attached.channel.clone(), attached.id)))
}

/// Views on a message that is kept for them.
fn in_place<'py>(
    py: Python<'py>,
    loan: Loan,
    places: &[Range<usize>],
    attached: &Attached,
) -> PyResult<Bound<'py, PyList>> {
    let memory = PyMemoryView::from(kept_memory(py, loan, attached)?.as_any())?;
    let views = PyList::empty(py);
    for at in places {
        views.append(memory.get_item(PySlice::new(py, at.start as isize, at.end as isize, 1))?)?;
    }
    Ok(views)
}

fn decode_native(py: Python<'_>, kind: u8, bytes: &[u8]) -> PyResult<Py<PyAny>> {
    let eight = || <[u8; 8]>::try_from(bytes).map_err(|_| damaged());
    Ok(match kind {
        BYTES => PyBytes::new(py, bytes).into_any().unbind(),
        BYTEARRAY => PyByteArray::new(py, bytes).into_any().unbind(),
        STR => PyString::new(py, std::str::from_utf8(bytes).map_err(|_| damaged())?).into_any().unbind(),
        INT => i64::from_le_bytes(eight()?).into_pyobject(py)?.into_any().unbind(),
        FLOAT => PyFloat::new(py, f64::from_le_bytes(eight()?)).into_any().unbind(),
        NONE => py.None(),
        TRUE | FALSE => PyBool::new(py, kind == TRUE).to_owned().into_any().unbind(),
        _ => return Err(damaged()),
    })
}

fn decode_tuple(py: Python<'_>, bytes: &[u8]) -> PyResult<Py<PyAny>> {
    let mut rest = bytes;
    let count = take_u32(&mut rest)? as usize;
    if count > ITEMS_MAX {
        return Err(damaged());
    }
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        let (&kind, after) = rest.split_first().ok_or_else(damaged)?;
        rest = after;
        let len = take_u32(&mut rest)? as usize;
        let (item, after) = rest.split_at_checked(len).ok_or_else(damaged)?;
        items.push(decode_native(py, kind, item)?);
        rest = after;
    }
    Ok(PyTuple::new(py, items)?.into_any().unbind())
}

fn take_u32(rest: &mut &[u8]) -> PyResult<u32> {
    let (count, after) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    *rest = after;
    Ok(u32::from_le_bytes(*count))
}

/// Where a pickle and its buffers lie.
fn places(message: &[u8]) -> Option<(Range<usize>, Vec<Range<usize>>)> {
    let number = |at: usize| {
        let bytes = message.get(at..at.checked_add(8)?)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let (buffers, pickle_len) = (number(COUNTS_AT)?, number(COUNTS_AT + 8)?);
    if buffers > BUFFERS_MAX {
        return None;
    }
    let pickle_at = COUNTS_AT + 16 + 16 * buffers as usize;
    let within = |from: u64, len: u64| {
        let (from, len) = (usize::try_from(from).ok()?, usize::try_from(len).ok()?);
        let to = from.checked_add(len)?;
        (to <= message.len()).then_some(from..to)
    };
    let pickle = within(pickle_at as u64, pickle_len)?;
    let place = |buffer: usize| within(number(COUNTS_AT + 16 + 16 * buffer)?, number(COUNTS_AT + 24 + 16 * buffer)?);
    Some((pickle, (0..buffers as usize).map(place).collect::<Option<_>>()?))
}
