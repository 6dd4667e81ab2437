//! What a process has of a queue: its ends of the channel.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use tidegate::control::Controller;
use tidegate::{Channel, Receiver, Receivers, Sender, ShmTokens, TakeError};

use crate::codec::Encoded;
use crate::errors;
use crate::process::Attach;

/// Longest message.
const MESSAGE_BYTES_MAX: u32 = 1 << 28;
/// Largest ring of a process that puts.
const RING_BYTES_MAX: u64 = 1 << 28;
const RING_BYTES: u64 = 1 << 16;
/// Blocks for messages longer than 16 KiB.
const BLOCKS: u32 = 256;
/// Longer ones lie in blocks.
pub(crate) const IN_RING_MAX: usize = 16 << 10;

/// What this process has of a queue.
pub(crate) struct Attached {
    /// Tells it from every other of this process.
    pub(crate) id: u64,
    pub(crate) channel: Channel,
    /// Of a queue with a bound.
    pub(crate) turn: Option<Turn>,
    pub(crate) sending: Mutex<Sending>,
    pub(crate) receiving: Mutex<Receiving>,
    pub(crate) controller: Mutex<Option<Controller>>,
    /// Whoever waits is to stop: the ends are being given up.
    has_left: AtomicBool,
}

#[derive(Default)]
pub(crate) struct Sending {
    pub(crate) sender: Option<Sender>,
    /// Attached while all who got have left: what is put waits for the next.
    pub(crate) keeper: Option<Receiver>,
    /// Messages received when the ring was found full and nobody got for a while.
    pub(crate) stuck_at: Option<u64>,
}

#[derive(Default)]
pub(crate) struct Receiving {
    pub(crate) receiver: Option<Receiver>,
    /// Attached when all who put have left: others may come.
    _keeper: Option<Sender>,
}

/// One process at a time puts into a queue with a bound, so that none goes beyond it. Who dies in its turn loses it.
pub(crate) struct Turn {
    token: ShmTokens,
}

impl Turn {
    fn create() -> PyResult<Self> {
        Ok(Self { token: ShmTokens::create(1, 1).map_err(errors::memory)? })
    }

    fn open(lent: BorrowedFd<'_>) -> PyResult<Self> {
        Ok(Self { token: ShmTokens::from_fd(lent.try_clone_to_owned()?).map_err(errors::memory)? })
    }

    /// Calls `put` in turn; `None` while another process has it.
    pub(crate) fn take<R>(&self, put: impl FnOnce() -> R) -> PyResult<Option<R>> {
        loop {
            match self.token.try_take() {
                Ok(()) => break,
                Err(TakeError::Stalled) => return Ok(None),
                Err(TakeError::TakerDied { .. }) => {}
                Err(other) => return Err(PyRuntimeError::new_err(other.to_string())),
            }
        }
        let done = put();
        self.token.give().map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok(Some(done))
    }
}

impl AsFd for Turn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.token.as_fd()
    }
}

impl Attach for Attached {
    fn again(&self) -> PyResult<Self> {
        Self::open(self.channel.as_fd(), self.turn.as_ref().map(AsFd::as_fd))
    }
}

impl Attached {
    pub(crate) fn create(is_bounded: bool) -> PyResult<Self> {
        let options = Channel::options()
            .receivers(Receivers::Competing)
            .senders_max(64)
            .ring_bytes(RING_BYTES)
            .ring_bytes_max(RING_BYTES_MAX)
            .message_bytes_max(MESSAGE_BYTES_MAX)
            .blocks(BLOCKS);
        let channel = options.create_anonymous().map_err(errors::channel)?;
        Ok(Self::of(channel, is_bounded.then(Turn::create).transpose()?))
    }

    fn of(channel: Channel, turn: Option<Turn>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            channel,
            turn,
            sending: Mutex::default(),
            receiving: Mutex::default(),
            controller: Mutex::default(),
            has_left: AtomicBool::new(false),
        }
    }

    /// Attaches to the memory that descriptors lead to, which stay the caller's.
    pub(crate) fn open(channel: BorrowedFd<'_>, turn: Option<BorrowedFd<'_>>) -> PyResult<Self> {
        let channel = Channel::from_fd(channel.try_clone_to_owned()?).map_err(errors::channel)?;
        Ok(Self::of(channel, turn.map(Turn::open).transpose()?))
    }

    /// Has all calls that wait end, and gives up the ends.
    pub(crate) fn leave(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        drop(self.controller.lock().take());
        *self.sending.lock() = Sending::default();
        *self.receiving.lock() = Receiving::default();
    }

    /// An error where the ends were given up.
    pub(crate) fn check(&self) -> PyResult<()> {
        if self.has_left.load(Ordering::Relaxed) { Err(PyValueError::new_err("the queue is closed")) } else { Ok(()) }
    }

    /// Messages received so far.
    pub(crate) fn received(&self) -> u64 {
        self.channel.view().total(|lane| lane.received_messages)
    }
}

impl Sending {
    pub(crate) fn sender(&mut self, attached: &Attached) -> PyResult<&mut Sender> {
        attached.check()?;
        if self.sender.is_none() {
            self.sender = Some(attached.channel.sender().map_err(errors::channel)?);
        }
        self.sender.as_mut().ok_or_else(|| PyRuntimeError::new_err("no sender"))
    }

    /// Asks for a larger ring, if that helps; whether it does.
    pub(crate) fn grow(&mut self, attached: &Attached, encoded: &Encoded) -> PyResult<bool> {
        let ring_bytes = self.sender(attached)?.ring_bytes();
        if !encoded.is_in_head() || encoded.len() > IN_RING_MAX || ring_bytes >= RING_BYTES_MAX {
            return Ok(false);
        }
        Ok(attached.channel.resize(ring_bytes * 2).is_ok_and(|resized| resized.offered > 0))
    }

    pub(crate) fn keep_receiving(&mut self, attached: &Attached) -> PyResult<()> {
        self.keeper = Some(attached.channel.receiver().map_err(errors::channel)?);
        Ok(())
    }

    /// Leaves it to those who get to be there for what is put.
    pub(crate) fn drop_keeper_beside_others(&mut self, attached: &Attached) {
        if self.keeper.is_some() && attached.channel.view().receiver_pids.len() > 1 {
            self.keeper = None;
        }
    }
}

impl Receiving {
    pub(crate) fn receiver(&mut self, attached: &Attached) -> PyResult<&mut Receiver> {
        attached.check()?;
        if self.receiver.is_none() {
            self.receiver = Some(attached.channel.receiver().map_err(errors::channel)?);
        }
        self.receiver.as_mut().ok_or_else(|| PyRuntimeError::new_err("no receiver"))
    }

    pub(crate) fn keep_sending(&mut self, attached: &Attached) -> PyResult<()> {
        self._keeper = Some(attached.channel.sender().map_err(errors::channel)?);
        Ok(())
    }
}
