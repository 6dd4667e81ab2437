//! Errors of Rust as exceptions of Python.

use pyo3::PyErr;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError, PyRuntimeError, PyValueError};
use pyo3::import_exception;
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

/// What was received is no message of this module.
pub(crate) fn damaged() -> PyErr {
    TidegateError::new_err("a message is damaged, or was not sent by a queue of this version")
}
