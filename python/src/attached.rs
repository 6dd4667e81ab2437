//! What a process has of a queue: its ends of the channels that make it up.

use std::os::fd::BorrowedFd;

use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use tidegate::channel::TrySendError;
use tidegate::control::Controller;
use tidegate::{Channel, Receiver, Receivers, Sender};

use crate::codec::Encoded;
use crate::errors;
use crate::process::generation;

/// Longest message.
const MESSAGE_BYTES_MAX: u32 = 1 << 30;
/// Largest ring of a process that puts.
const RING_BYTES_MAX: u64 = 1 << 28;
const RING_BYTES: u64 = 1 << 16;
/// Blocks for messages longer than 16 KiB.
const BLOCKS: u32 = 256;
/// Longer ones lie in blocks.
pub(crate) const IN_RING_MAX: usize = 16 << 10;

/// What this process has of it.
pub(crate) struct Attached {
    pub(crate) generation: u32,
    pub(crate) channel: Channel,
    /// Of a queue with a bound: a message for each that may be put yet.
    pub(crate) room: Option<Channel>,
    pub(crate) sending: Mutex<Sending>,
    pub(crate) receiving: Mutex<Receiving>,
    pub(crate) controller: Mutex<Option<Controller>>,
}

#[derive(Default)]
pub(crate) struct Sending {
    pub(crate) sender: Option<Sender>,
    pub(crate) room: Option<Receiver>,
    /// Attached when all who got have left: what is put waits for the next.
    _keeper: Option<Receiver>,
    pub(crate) room_keeper: Option<Sender>,
    /// Messages received when the ring was found full and nobody got for a while.
    pub(crate) stuck_at: Option<u64>,
}

#[derive(Default)]
pub(crate) struct Receiving {
    pub(crate) receiver: Option<Receiver>,
    pub(crate) room: Option<Sender>,
    /// Attached when all who put have left: others may come.
    _keeper: Option<Sender>,
}

impl Attached {
    pub(crate) fn create(maxsize: u64) -> PyResult<Self> {
        let options = Channel::options()
            .receivers(Receivers::Competing)
            .senders_max(64)
            .ring_bytes(RING_BYTES)
            .ring_bytes_max(RING_BYTES_MAX)
            .message_bytes_max(MESSAGE_BYTES_MAX)
            .blocks(BLOCKS);
        let channel = options.create_anonymous().map_err(errors::channel)?;
        let room = (maxsize > 0).then(|| make_room(maxsize)).transpose()?;
        Ok(Self::of(channel, room))
    }

    pub(crate) fn of(channel: Channel, room: Option<Channel>) -> Self {
        Self {
            generation: generation(),
            channel,
            room,
            sending: Mutex::default(),
            receiving: Mutex::default(),
            controller: Mutex::default(),
        }
    }

    /// Attaches to the memory that descriptors lead to, which stay the caller's.
    pub(crate) fn open(channel: BorrowedFd<'_>, room: Option<BorrowedFd<'_>>) -> PyResult<Self> {
        let open = |fd: BorrowedFd<'_>| -> PyResult<Channel> {
            Channel::from_fd(fd.try_clone_to_owned()?).map_err(errors::channel)
        };
        Ok(Self::of(open(channel)?, room.map(open).transpose()?))
    }
}

/// A channel that holds a message for each that may be put.
fn make_room(maxsize: u64) -> PyResult<Channel> {
    // A frame of a message without bytes takes 8.
    let ring_bytes = (maxsize * 16).next_power_of_two().max(1 << 12);
    let options = Channel::options().receivers(Receivers::Competing).senders_max(64).message_bytes_max(8).blocks(1);
    let room = options.ring_bytes(ring_bytes).ring_bytes_max(ring_bytes.max(1 << 24)).create_anonymous();
    let room = room.map_err(errors::channel)?;
    let mut sender = room.sender().map_err(errors::channel)?;
    for _ in 0..maxsize {
        sender.try_send(&[]).map_err(|error| PyValueError::new_err(format!("maxsize {maxsize}: {error}")))?;
    }
    Ok(room)
}

impl Sending {
    pub(crate) fn sender(&mut self, attached: &Attached) -> PyResult<&mut Sender> {
        if self.sender.is_none() {
            self.sender = Some(attached.channel.sender().map_err(errors::channel)?);
        }
        self.sender.as_mut().ok_or_else(|| PyRuntimeError::new_err("no sender"))
    }

    /// Puts the room back that was taken for a message that was not sent.
    pub(crate) fn put_room_back(&mut self, room: &Channel) -> PyResult<()> {
        if self.room_keeper.is_none() {
            self.room_keeper = Some(room.sender().map_err(errors::channel)?);
        }
        if let Some(sender) = &mut self.room_keeper {
            // There is room for all there are.
            let _nobody_else_puts = sender.try_send(&[]);
        }
        Ok(())
    }

    /// Asks for a larger ring, if that helps; whether it does.
    pub(crate) fn grow(&mut self, attached: &Attached, encoded: &Encoded) -> PyResult<bool> {
        let ring_bytes = self.sender(attached)?.ring_bytes();
        let goes_there = encoded.is_in_head() && encoded.len() <= IN_RING_MAX;
        Ok(goes_there && ring_bytes < RING_BYTES_MAX && attached.channel.resize(ring_bytes * 2).is_ok())
    }

    pub(crate) fn keep_receiving(&mut self, attached: &Attached) -> PyResult<()> {
        self._keeper = Some(attached.channel.receiver().map_err(errors::channel)?);
        Ok(())
    }
}

impl Receiving {
    pub(crate) fn receiver(&mut self, attached: &Attached) -> PyResult<&mut Receiver> {
        if self.receiver.is_none() {
            self.receiver = Some(attached.channel.receiver().map_err(errors::channel)?);
        }
        self.receiver.as_mut().ok_or_else(|| PyRuntimeError::new_err("no receiver"))
    }

    pub(crate) fn keep_sending(&mut self, attached: &Attached) -> PyResult<()> {
        self._keeper = Some(attached.channel.sender().map_err(errors::channel)?);
        Ok(())
    }

    /// Gives the room of a message back to those who put.
    pub(crate) fn give_room(&mut self, attached: &Attached) -> PyResult<()> {
        let Some(channel) = &attached.room else { return Ok(()) };
        if self.room.is_none() {
            self.room = Some(channel.sender().map_err(errors::channel)?);
        }
        let Some(sender) = &mut self.room else { return Ok(()) };
        // It has room for all there are. Whoever puts next has a receiver of its own, if none is there now.
        match sender.try_send(&[]) {
            Err(TrySendError::PeerDied { .. }) => drop(sender.try_send(&[])),
            _sent_or_nobody_puts => {}
        }
        Ok(())
    }
}
