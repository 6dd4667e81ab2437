//! Objects as messages: simple ones natively, all others by pickle, large buffers beside it.
//!
//! ```text
//! kind u8 | what the kind says
//!   bytes, bytearray, str   the bytes
//!   int, float              8 bytes, little-endian
//!   none, true, false       nothing
//!   tuple                   count u32, then for each: kind u8, length u32, the bytes
//!   pickle                  7 bytes of padding, buffers u64, pickle's length u64, each buffer's length u64,
//!                           the pickle, and each buffer at the next multiple of 64
//! ```
//!
//! A message is untrusted: every length is checked before it is used.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::errors::damaged;

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

/// Where a pickle's counts begin.
const COUNTS_AT: usize = 8;
/// Buffers begin at multiples of it, as vector instructions like it.
const ALIGNMENT: usize = 64;
/// Most items of a tuple that is encoded natively.
const ITEMS_MAX: usize = 64;
/// Buffers of a pickle at most.
const BUFFERS_MAX: u64 = 1 << 16;

/// An object's message, but for the buffers that lie outside of it.
#[derive(Default)]
pub(crate) struct Encoded {
    pub(crate) head: Vec<u8>,
    buffers: Vec<Outside>,
}

/// A buffer, and where in the message it is to lie.
struct Outside {
    at: usize,
    bytes: pyo3::buffer::PyBuffer<u8>,
}

/// What pickles, and what makes objects again: functions of `tidegate._pickle`.
pub(crate) struct Pickler {
    pub(crate) dumps: Py<PyAny>,
    pub(crate) loads: Py<PyAny>,
}

impl Encoded {
    /// Bytes of the whole message.
    pub(crate) fn len(&self) -> usize {
        self.buffers.last().map_or(self.head.len(), |last| last.at + last.bytes.len_bytes())
    }

    /// Whether it is all in `head`.
    pub(crate) fn is_in_head(&self) -> bool {
        self.buffers.is_empty()
    }

    /// Writes the message into memory of its length.
    pub(crate) fn write(&self, py: Python<'_>, into: &mut [u8]) -> PyResult<()> {
        into[..self.head.len()].copy_from_slice(&self.head);
        for buffer in &self.buffers {
            let place = &mut into[buffer.at..buffer.at + buffer.bytes.len_bytes()];
            buffer.bytes.copy_to_slice(py, place)?;
        }
        Ok(())
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
    let whole = |kind: u8, bytes: &[u8]| {
        let mut head = Vec::with_capacity(1 + bytes.len());
        head.push(kind);
        head.extend_from_slice(bytes);
        head
    };
    if let Some(head) = native(object, whole)? {
        return Ok(Encoded { head, buffers: Vec::new() });
    }
    if let Ok(tuple) = object.cast_exact::<PyTuple>()
        && let Some(head) = encode_tuple(tuple)?
    {
        return Ok(Encoded { head, buffers: Vec::new() });
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

fn encode_pickle(object: &Bound<'_, PyAny>, pickler: &Pickler) -> PyResult<Encoded> {
    let py = object.py();
    let (pickle, outside): (Bound<'_, PyAny>, Bound<'_, PyList>) =
        pickler.dumps.bind(py).call1((object,))?.extract()?;
    let pickle: pyo3::buffer::PyBuffer<u8> = pyo3::buffer::PyBuffer::get(&pickle)?;
    let outside: Vec<pyo3::buffer::PyBuffer<u8>> =
        outside.iter().map(|buffer| pyo3::buffer::PyBuffer::get(&buffer)).collect::<PyResult<_>>()?;
    let mut head = vec![0; COUNTS_AT];
    head[0] = PICKLE;
    let counts = [outside.len() as u64, pickle.len_bytes() as u64];
    let lengths = outside.iter().map(|buffer| buffer.len_bytes() as u64);
    counts.into_iter().chain(lengths).for_each(|count| head.extend_from_slice(&count.to_le_bytes()));
    let pickle_at = head.len();
    head.resize(pickle_at + pickle.len_bytes(), 0);
    pickle.copy_to_slice(py, &mut head[pickle_at..])?;
    let mut at = head.len();
    let place = |bytes: pyo3::buffer::PyBuffer<u8>| {
        let buffer = Outside { at: at.next_multiple_of(ALIGNMENT), bytes };
        at = buffer.at + buffer.bytes.len_bytes();
        buffer
    };
    let buffers = outside.into_iter().map(place).collect();
    Ok(Encoded { head, buffers })
}

/// A message that was copied out of the queue. Nothing that is made on the way is a container, so that no garbage is collected and
/// no Python code runs: an end of the queue is locked meanwhile.
pub(crate) enum Received {
    Object(PyResult<Py<PyAny>>),
    Tuple(Vec<u8>),
    Pickle { pickle: Py<PyBytes>, buffers: Vec<Py<PyByteArray>> },
}

impl Received {
    pub(crate) fn copied(py: Python<'_>, message: &[u8]) -> Self {
        match message.split_first() {
            Some((&PICKLE, _)) => match places(message) {
                Some((pickle, buffers)) => Self::Pickle {
                    pickle: PyBytes::new(py, &message[pickle]).unbind(),
                    buffers: buffers.into_iter().map(|at| PyByteArray::new(py, &message[at]).unbind()).collect(),
                },
                None => Self::Object(Err(damaged())),
            },
            Some((&TUPLE, items)) => Self::Tuple(items.to_vec()),
            Some((&kind, bytes)) => Self::Object(decode_native(py, kind, bytes)),
            None => Self::Object(Err(damaged())),
        }
    }

    /// Makes the object; unpickling runs what Python code it has to.
    pub(crate) fn into_object(self, py: Python<'_>, pickler: &Pickler) -> PyResult<Py<PyAny>> {
        match self {
            Self::Object(object) => object,
            Self::Tuple(items) => decode_tuple(py, &items),
            Self::Pickle { pickle, buffers } => {
                Ok(pickler.loads.bind(py).call1((pickle, PyList::new(py, buffers)?))?.unbind())
            }
        }
    }
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
fn places(message: &[u8]) -> Option<(std::ops::Range<usize>, Vec<std::ops::Range<usize>>)> {
    let number = |at: usize| {
        let bytes = message.get(at..at.checked_add(8)?)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let (buffers, pickle_len) = (number(COUNTS_AT)?, number(COUNTS_AT + 8)?);
    if buffers > BUFFERS_MAX {
        return None;
    }
    let pickle_at = COUNTS_AT + 16 + 8 * buffers as usize;
    let within = |from: usize, len: u64| {
        let to = from.checked_add(usize::try_from(len).ok()?)?;
        (to <= message.len()).then_some(from..to)
    };
    let pickle = within(pickle_at, pickle_len)?;
    let mut at = pickle.end;
    let mut places = Vec::with_capacity(buffers as usize);
    for buffer in 0..buffers as usize {
        let place = within(at.checked_next_multiple_of(ALIGNMENT)?, number(COUNTS_AT + 16 + 8 * buffer)?)?;
        at = place.end;
        places.push(place);
    }
    Some((pickle, places))
}
