//! Putting and getting.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tidegate::Channel;
use tidegate::channel::{Held, RecvError, SendError, TrySendError};

use crate::attached::{Attached, IN_RING_MAX, Sending};
use crate::codec::{Encoded, Message, PICKLE, decode, is_worth_keeping};
use crate::errors::{self, Empty, Full, PeerDied};
use crate::queue::Queue;
use crate::waiting::{Deadline, Next, lock, next};

/// How long a full ring is given to those who get, before a queue without a bound grows.
const PATIENCE: Duration = Duration::from_millis(20);

/// What a call that may have to wait comes to.
enum Waited {
    Done,
    Again,
}

impl Queue {
    /// Tells of a death, or only counts it.
    fn died(&self, pid: u32) -> PyResult<()> {
        self.deaths.fetch_add(1, Ordering::Relaxed);
        if self.raises_of_deaths { Err(PeerDied::new_err(pid)) } else { Ok(()) }
    }

    pub(crate) fn send(
        &self,
        py: Python<'_>,
        attached: &Attached,
        encoded: &Encoded,
        deadline: Deadline,
    ) -> PyResult<()> {
        let full = || Full::new_err(());
        let mut sending = lock(py, &attached.sending, deadline)?.ok_or_else(full)?;
        let Some(room) = &attached.room else { return self.send_now(py, attached, &mut sending, encoded, deadline) };
        if !self.take_room(py, room, &mut sending, deadline)? {
            return Err(full());
        }
        let sent = self.send_now(py, attached, &mut sending, encoded, deadline);
        if sent.is_err() {
            sending.put_room_back(room)?;
        }
        sent
    }

    fn send_now(
        &self,
        py: Python<'_>,
        attached: &Attached,
        sending: &mut Sending,
        encoded: &Encoded,
        deadline: Deadline,
    ) -> PyResult<()> {
        loop {
            if let Waited::Done = self.try_send(py, attached, sending, encoded)? {
                return Ok(());
            }
            let Some(slice) = deadline.slice() else {
                // There is room by the count of objects, or no bound: it is the ring that is too small.
                if sending.grow(attached, encoded)? {
                    continue;
                }
                return Err(Full::new_err(()));
            };
            self.wait_for_room(py, attached, sending, encoded, slice)?;
            py.check_signals()?;
        }
    }

    /// Takes a message out of the channel of those that may be put.
    fn take_room(
        &self,
        py: Python<'_>,
        channel: &Channel,
        sending: &mut Sending,
        deadline: Deadline,
    ) -> PyResult<bool> {
        loop {
            if sending.room.is_none() {
                sending.room = Some(channel.receiver().map_err(errors::channel)?);
            }
            let Some(receiver) = &mut sending.room else { return Ok(false) };
            match next(py, receiver, deadline, |_| Some(())) {
                Ok(None) => return Ok(false),
                Ok(Some(_)) => return Ok(true),
                Err(RecvError::Stalled) => py.check_signals()?,
                // Who got has left; others will.
                Err(RecvError::Disconnected) => {
                    sending.room_keeper = Some(channel.sender().map_err(errors::channel)?);
                }
                Err(RecvError::PeerDied { pid }) => self.died(pid)?,
                Err(other) => return Err(errors::TidegateError::new_err(other.to_string())),
            }
        }
    }

    fn try_send(
        &self,
        py: Python<'_>,
        attached: &Attached,
        sending: &mut Sending,
        encoded: &Encoded,
    ) -> PyResult<Waited> {
        loop {
            let sender = sending.sender(attached)?;
            let sent = if encoded.is_in_head() && encoded.len() <= IN_RING_MAX {
                sender.try_send(&encoded.head)
            } else {
                // The reference of a loan takes room in the ring, too.
                match sender.loan_timeout(encoded.len(), Duration::ZERO) {
                    Ok(mut loan) => {
                        encoded.write(py, &mut loan)?;
                        sender.try_send_loan(loan).map_err(|refused| refused.error)
                    }
                    Err(error) => Err(not_now(error)),
                }
            };
            match sent {
                Ok(()) => {
                    sending.stuck_at = None;
                    return Ok(Waited::Done);
                }
                Err(TrySendError::Full) => return Ok(Waited::Again),
                // Whoever gets may come yet.
                Err(TrySendError::Disconnected) => sending.keep_receiving(attached)?,
                Err(TrySendError::PeerDied { pid }) => self.died(pid)?,
                Err(error @ (TrySendError::TooLong { .. } | TrySendError::NoMemory { .. })) => {
                    return Err(PyValueError::new_err(error.to_string()));
                }
                Err(other) => return Err(errors::TidegateError::new_err(other.to_string())),
            }
        }
    }

    /// Waits until somebody gets, or makes larger rings where nobody does.
    fn wait_for_room(
        &self,
        py: Python<'_>,
        attached: &Attached,
        sending: &mut Sending,
        encoded: &Encoded,
        slice: Duration,
    ) -> PyResult<()> {
        let got = || attached.channel.view().lanes.iter().map(|lane| lane.received_messages).sum::<u64>();
        let before = got();
        if sending.stuck_at != Some(before) {
            sending.stuck_at = None;
            let patience = slice.min(PATIENCE);
            let waiting = Instant::now();
            py.detach(|| {
                while got() == before && waiting.elapsed() < patience {
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
            if got() != before || patience < PATIENCE {
                return Ok(());
            }
            sending.stuck_at = Some(before);
        }
        if !sending.grow(attached, encoded)? {
            py.detach(|| std::thread::sleep(slice.min(PATIENCE)));
        }
        Ok(())
    }

    pub(crate) fn receive(&self, py: Python<'_>, attached: &Attached, deadline: Deadline) -> PyResult<Py<PyAny>> {
        let empty = || Empty::new_err(());
        let mut receiving = lock(py, &attached.receiving, deadline)?.ok_or_else(empty)?;
        loop {
            let at_once = |message: &[u8]| {
                let is_pickle = message.first() == Some(&PICKLE);
                (!is_pickle).then(|| decode(py, Message::Lent(message), &self.pickler))
            };
            match next(py, receiving.receiver(attached)?, deadline, at_once) {
                Ok(None) => return Err(empty()),
                Ok(Some(Next::Made(object))) => {
                    receiving.give_room(attached)?;
                    return object;
                }
                Ok(Some(Next::Held(held))) => {
                    receiving.give_room(attached)?;
                    // Unpickling runs code, which may get from this queue.
                    drop(receiving);
                    return self.object(py, held);
                }
                Err(RecvError::Stalled) => py.check_signals()?,
                Err(RecvError::Disconnected) => receiving.keep_sending(attached)?,
                Err(RecvError::PeerDied { pid }) => self.died(pid)?,
                Err(other) => return Err(errors::TidegateError::new_err(other.to_string())),
            }
        }
    }

    fn object(&self, py: Python<'_>, held: Held) -> PyResult<Py<PyAny>> {
        if is_worth_keeping(&held) {
            return decode(py, Message::Kept(held), &self.pickler);
        }
        decode(py, Message::Lent(&held), &self.pickler)
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
