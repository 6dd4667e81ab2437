//! Waiting for others without holding the interpreter up.

use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tidegate::Receiver;
use tidegate::channel::{Held, RecvError, TryRecvError};

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
        Some(seconds) => {
            let at = Instant::now().checked_add(timeout(seconds)?);
            Ok(at.map_or(Deadline::Never, Deadline::At))
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

/// Locks without holding the interpreter up.
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

/// A message that was received.
pub(crate) enum Next<T> {
    /// What was made of it where it lay.
    Made(T),
    Held(Held),
}

/// The next message: what `at_once` makes of it, if it is there already and that makes anything of it. `None` when it is too late.
pub(crate) fn next<T: Send>(
    py: Python<'_>,
    receiver: &mut Receiver,
    deadline: Deadline,
    at_once: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<Next<T>>, RecvError> {
    match receiver.try_recv() {
        Ok(guard) => {
            let made = at_once(&guard);
            return Ok(Some(made.map_or_else(|| Next::Held(guard.hold()), Next::Made)));
        }
        Err(TryRecvError::Empty) => {}
        Err(TryRecvError::PeerDied { pid }) => return Err(RecvError::PeerDied { pid }),
        Err(TryRecvError::Corrupt { lane, position, word }) => return Err(RecvError::Corrupt { lane, position, word }),
        Err(_) => return Err(RecvError::Disconnected),
    }
    let Some(slice) = deadline.slice() else { return Ok(None) };
    py.detach(|| receiver.recv_timeout(slice).map(|guard| Some(Next::Held(guard.hold()))))
}

/// Seconds that a caller is ready to wait.
fn timeout(seconds: f64) -> PyResult<Duration> {
    if seconds.is_nan() {
        return Err(PyValueError::new_err("timeout is not a number"));
    }
    // Beyond what a clock can add: for ever.
    Ok(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX))
}
