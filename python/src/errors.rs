//! Errors of Rust as exceptions of Python.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError, PyRuntimeError, PyValueError};
use pyo3::import_exception;
use pyo3::prelude::*;
use tidegate::ShmError;
use tidegate::channel::ChannelError;

import_exception!(queue, Empty);
import_exception!(queue, Full);

create_exception!(tidegate, TidegateError, PyException, "What only Tidegate's queues raise.");
create_exception!(
    tidegate,
    PeerDied,
    TidegateError,
    "A process at the other end died. Its pid is the argument. Told once; nothing that it put is lost."
);

/// A queue could not be made or reached.
pub(crate) fn channel(error: ChannelError) -> PyErr {
    match error {
        ChannelError::BadOption { .. } => PyValueError::new_err(error.to_string()),
        ChannelError::TooManySenders { .. } | ChannelError::TooManyReceivers { .. } => {
            PyRuntimeError::new_err(error.to_string())
        }
        _ => PyOSError::new_err(error.to_string()),
    }
}

/// Memory that processes share could not be had or reached.
pub(crate) fn memory(error: ShmError) -> PyErr {
    match error {
        ShmError::BadPermits { .. } => PyValueError::new_err(error.to_string()),
        _ => PyOSError::new_err(error.to_string()),
    }
}

/// What was received is no message of this module.
pub(crate) fn damaged() -> PyErr {
    TidegateError::new_err("a message is damaged, or was not sent by a queue of this version")
}

/// A method of what `__init__` has not made.
pub(crate) fn not_opened(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("the {what} was not opened: call super().__init__"))
}

/// Whether deaths raise an exception, as the option `peer_death` says.
pub(crate) fn raises_of_deaths(peer_death: &str) -> PyResult<bool> {
    match peer_death {
        "raise" => Ok(true),
        "count" => Ok(false),
        _ => Err(PyValueError::new_err(format!("peer_death is {peer_death:?}: \"raise\" or \"count\""))),
    }
}
