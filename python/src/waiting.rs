//! Waiting for others without holding the interpreter up.

use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tidegate::channel::{Loan, RecvError, TryRecvError};
use tidegate::{Guard, Receiver};

use crate::codec::{Found, has_large_buffers};

/// Between two looks for signals while a call waits.
const SLICE: Duration = Duration::from_millis(50);

/// Until when a call waits.
#[derive(Clone, Copy)]
pub(crate) enum Deadline {
    Now,
    At(Instant),
    Never,
}

pub(crate) fn deadline(block: bool, seconds: Option<f64>) -> PyResult<Deadline> {
    match seconds {
        _ if !block => Ok(Deadline::Now),
        None => Ok(Deadline::Never),
        Some(seconds) if seconds.is_nan() => Err(PyValueError::new_err("timeout is not a number")),
        Some(seconds) => {
            // Beyond what a clock can add: for ever.
            let timeout = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
            Ok(Instant::now().checked_add(timeout).map_or(Deadline::Never, Deadline::At))
        }
    }
}

impl Deadline {
    /// How long to wait before signals are looked for; `None` when it is over.
    pub(crate) fn slice(self) -> Option<Duration> {
        match self {
            Self::Now => None,
            Self::Never => Some(SLICE),
            Self::At(at) => {
                let left = at.saturating_duration_since(Instant::now());
                (!left.is_zero()).then_some(left.min(SLICE))
            }
        }
    }
}

/// Locks without holding the interpreter up; signals are looked for meanwhile.
pub(crate) fn lock<'a, T: Send>(
    py: Python<'_>,
    mutex: &'a Mutex<T>,
    deadline: Deadline,
) -> PyResult<Option<MutexGuard<'a, T>>> {
    if let Some(guard) = mutex.try_lock() {
        return Ok(Some(guard));
    }
    while let Some(slice) = deadline.slice() {
        if let Some(guard) = py.detach(|| mutex.try_lock_for(slice)) {
            return Ok(Some(guard));
        }
        py.check_signals()?;
    }
    Ok(None)
}

/// What `make` makes of the next message, which is received with that. [`RecvError::Stalled`] when none came in `slice`.
pub(crate) fn next<T>(
    py: Python<'_>,
    receiver: &mut Receiver,
    slice: Option<Duration>,
    make: impl FnOnce(Found<'_>) -> T,
) -> Result<T, RecvError> {
    match receiver.try_recv() {
        Ok(guard) => {
            return Ok(match with_its_block(guard) {
                Ok(loan) => make(Found::Loan(loan)),
                Err(guard) => make(Found::Bytes(&guard)),
            });
        }
        Err(TryRecvError::Empty) => {}
        Err(TryRecvError::PeerDied { pid }) => return Err(RecvError::PeerDied { pid }),
        Err(TryRecvError::Corrupt { lane, position, word }) => return Err(RecvError::Corrupt { lane, position, word }),
        Err(_) => return Err(RecvError::Disconnected),
    }
    let Some(slice) = slice else { return Err(RecvError::Stalled) };
    // Kept over the way back to the interpreter, and released when it is made: until then another gets it if this process dies. One
    // that is had with its block is this process's from here on.
    let received = py.detach(|| {
        let guard = receiver.recv_timeout(slice)?;
        Ok::<_, RecvError>(with_its_block(guard).map_err(Guard::hold))
    })?;
    Ok(match received {
        Ok(loan) => make(Found::Loan(loan)),
        Err(held) => make(Found::Bytes(&held)),
    })
}

/// The message for good, if it is worth having in place and can be had so.
fn with_its_block(guard: Guard<'_>) -> Result<Loan, Guard<'_>> {
    if has_large_buffers(&guard) { guard.into_loan() } else { Err(guard) }
}
