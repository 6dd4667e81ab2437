//! Putting and getting. No Python code runs while a lock of the queue is held: signals are looked for, and pickles made objects of,
//! without.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tidegate::channel::{Loan, RecvError, SendError, TrySendError};

use crate::attached::{Attached, IN_RING_MAX, Sending};
use crate::codec::{Encoded, Received};
use crate::errors::{self, Empty, Full, PeerDied, TidegateError};
use crate::queue::Queue;
use crate::waiting::{Deadline, lock, next};

/// How long a full ring is given to those who get, before a queue without a bound grows.
const PATIENCE: Duration = Duration::from_millis(20);
/// Pauses between two looks whether there is room: at first, and in the end.
const PAUSE_LEAST: Duration = Duration::from_micros(50);
const PAUSE_MOST: Duration = Duration::from_millis(1);

/// What an attempt to put comes to.
enum Put {
    Done,
    /// As many objects are in the queue as it may hold, or another process is putting one.
    NoRoom,
    /// There is no room in the ring, or no block.
    RingFull,
    /// Somebody who got died, which is told; nothing was put.
    Died(u32),
}

impl Queue {
    /// Tells of a death, or only counts it.
    fn died(&self, pid: u32) -> PyResult<()> {
        self.deaths.fetch_add(1, Ordering::Relaxed);
        if self.raises_of_deaths() { Err(PeerDied::new_err(pid)) } else { Ok(()) }
    }

    pub(crate) fn send(&self, py: Python<'_>, attached: &Attached, encoded: &Encoded, until: Deadline) -> PyResult<()> {
        let full = || Full::new_err(());
        let mut pause = PAUSE_LEAST;
        loop {
            attached.check()?;
            let mut sending = lock(py, &attached.sending, until)?.ok_or_else(full)?;
            let put = match &attached.turn {
                None => self.try_send(py, attached, &mut sending, encoded)?,
                Some(turn) => {
                    let put = turn.take(|| match attached.channel.len() < self.bound() {
                        true => self.try_send(py, attached, &mut sending, encoded),
                        false => Ok(Put::NoRoom),
                    })?;
                    put.unwrap_or(Ok(Put::NoRoom))?
                }
            };
            match put {
                Put::Done => return Ok(()),
                Put::Died(pid) => {
                    drop(sending);
                    self.died(pid)?;
                }
                Put::NoRoom => {
                    drop(sending);
                    let slice = until.slice().ok_or_else(full)?.min(pause);
                    py.detach(|| std::thread::sleep(slice));
                    pause = (pause * 2).min(PAUSE_MOST);
                }
                Put::RingFull => {
                    let may_wait = until.slice();
                    let has_grown = self.make_room(py, attached, &mut sending, encoded, may_wait)?;
                    drop(sending);
                    if !has_grown && may_wait.is_none() {
                        return Err(full());
                    }
                }
            }
            py.check_signals()?;
        }
    }

    /// A block for a message of so many bytes.
    pub(crate) fn take_loan(
        &self,
        py: Python<'_>,
        attached: &Attached,
        bytes: usize,
        until: Deadline,
    ) -> PyResult<Loan> {
        let full = || Full::new_err(());
        let mut pause = PAUSE_LEAST;
        loop {
            attached.check()?;
            let mut sending = lock(py, &attached.sending, until)?.ok_or_else(full)?;
            let taken = sending.sender(attached)?.loan_timeout(bytes, Duration::ZERO);
            match taken.map_err(not_now) {
                Ok(loan) => return Ok(loan),
                Err(TrySendError::Full) => {}
                Err(TrySendError::Disconnected) => sending.keep_receiving(attached)?,
                Err(TrySendError::PeerDied { pid }) => {
                    drop(sending);
                    self.died(pid)?;
                    continue;
                }
                Err(other) => return Err(refused(other)),
            }
            drop(sending);
            py.check_signals()?;
            let slice = until.slice().ok_or_else(full)?.min(pause);
            py.detach(|| std::thread::sleep(slice));
            pause = (pause * 2).min(PAUSE_MOST);
        }
    }

    fn try_send(&self, py: Python<'_>, attached: &Attached, sending: &mut Sending, encoded: &Encoded) -> PyResult<Put> {
        loop {
            let sender = sending.sender(attached)?;
            let sent = if encoded.is_in_head() && encoded.len() <= IN_RING_MAX {
                sender.try_send(&encoded.head)
            } else if let Some((lent, mut loan)) = encoded.take_lent(attached.id) {
                encoded.write_head(&mut loan);
                sender.try_send_loan(loan).map_err(|refused| {
                    lent.restore(refused.loan);
                    refused.error
                })
            } else {
                match sender.loan_timeout(encoded.len(), Duration::ZERO) {
                    Ok(mut loan) => {
                        encoded.write(py, &mut loan);
                        sender.try_send_loan(loan).map_err(|refused| refused.error)
                    }
                    Err(error) => Err(not_now(error)),
                }
            };
            match sent {
                Ok(()) => {
                    sending.stuck_at = None;
                    return Ok(Put::Done);
                }
                Err(TrySendError::Full) => {
                    sending.drop_keeper_beside_others(attached);
                    return Ok(Put::RingFull);
                }
                // Whoever gets may come yet.
                Err(TrySendError::Disconnected) => sending.keep_receiving(attached)?,
                Err(TrySendError::PeerDied { pid }) => return Ok(Put::Died(pid)),
                Err(other) => return Err(refused(other)),
            }
        }
    }

    /// Waits a while until somebody gets, or makes a larger ring where nobody does. Whether there may be room now.
    fn make_room(
        &self,
        py: Python<'_>,
        attached: &Attached,
        sending: &mut Sending,
        encoded: &Encoded,
        may_wait: Option<Duration>,
    ) -> PyResult<bool> {
        let before = attached.received();
        let Some(slice) = may_wait else { return sending.grow(attached, encoded) };
        if sending.stuck_at != Some(before) {
            let (began, patience) = (Instant::now(), slice.min(PATIENCE));
            py.detach(|| {
                while attached.received() == before && began.elapsed() < patience {
                    std::thread::sleep(PAUSE_LEAST);
                }
            });
            if attached.received() != before {
                sending.stuck_at = None;
                return Ok(true);
            }
            sending.stuck_at = Some(before);
        }
        if sending.grow(attached, encoded)? {
            return Ok(true);
        }
        py.detach(|| std::thread::sleep(slice.min(PAUSE_MOST)));
        Ok(false)
    }

    pub(crate) fn receive(&self, py: Python<'_>, attached: &Attached, until: Deadline) -> PyResult<Py<PyAny>> {
        if let Some(untold) = self.take_untold() {
            return Err(untold);
        }
        let empty = || Empty::new_err(());
        loop {
            let mut receiving = lock(py, &attached.receiving, until)?.ok_or_else(empty)?;
            let slice = until.slice();
            let received = next(py, receiving.receiver(attached)?, slice, |found| Received::of(py, found));
            if matches!(received, Err(RecvError::Disconnected)) {
                receiving.keep_sending(attached)?;
            }
            drop(receiving);
            match received {
                Ok(received) => return received.into_object(py, &self.pickler, attached),
                Err(RecvError::Stalled) if slice.is_none() => return Err(empty()),
                Err(RecvError::Stalled | RecvError::Disconnected) => {}
                Err(RecvError::PeerDied { pid }) => self.died(pid)?,
                Err(other) => return Err(errors::TidegateError::new_err(other.to_string())),
            }
            py.check_signals()?;
        }
    }
}

/// An error that waiting does not mend.
fn refused(error: TrySendError) -> PyErr {
    match error {
        TrySendError::TooLong { .. } | TrySendError::NoMemory { .. } => PyValueError::new_err(error.to_string()),
        other => TidegateError::new_err(other.to_string()),
    }
}

/// The same of a call that does not wait.
fn not_now(error: SendError) -> TrySendError {
    match error {
        SendError::Stalled => TrySendError::Full,
        SendError::PeerDied { pid } => TrySendError::PeerDied { pid },
        SendError::NoMemory { bytes } => TrySendError::NoMemory { bytes },
        SendError::TooLong { bytes, max } => TrySendError::TooLong { bytes, max },
        _ => TrySendError::Disconnected,
    }
}
