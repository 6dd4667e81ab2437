//! One lane of a channel, as a receiver reads it.

use std::sync::Arc;

use crate::channel::core::Core;
use crate::channel::error::{ChannelError, TryRecvError};
use crate::channel::room::RoomWakes;
use crate::prim::Ordering::Acquire;
use crate::ring::alone::{self, Alone};
use crate::ring::consumer::{Consumer, Frame, Payloads};
use crate::ring::lapped::{Lapped, Look};
use crate::ring::taker::{self, Out, Taker};
use crate::ring::{Readers, RingCorrupt, WhenFull};
use crate::shm::window::Shared;
use crate::sync::wait::WaitPoint;

/// Tries, with a yield after each, to leave a lane that is becoming shared in good order.
const SETTLES_MAX: u32 = 10_000;
/// Of these, those between two looks whether that is because somebody has died.
const SETTLES_BETWEEN_LOOKS: u32 = 100;

/// A lane, as a receiver sees it.
#[derive(Debug)]
pub(super) struct ReceiverLane {
    pub(super) reader: Reader,
    payloads: Payloads,
    pub(super) room_wakes: RoomWakes,
    pub(super) sender_wait: Shared<WaitPoint>,
    pub(super) core: Arc<Core>,
}

/// How a lane is read.
#[derive(Debug)]
pub(super) enum Reader {
    /// Alone, or each in its own time.
    InOrder(Consumer),
    Competing(Taker),
    /// As those that compete, while there is no other.
    Alone(Alone),
    /// Each in its own time, if it is fast enough.
    Lapped(Lapped),
    /// Not at all: some process has written to it what the protocol never writes, or it is for others.
    Spoilt {
        /// What was found, until it is told.
        untold: Option<RingCorrupt>,
    },
}

impl ReceiverLane {
    /// The lane, also where it cannot be read: then that is told in its turn.
    pub(super) fn attach(core: &Arc<Core>, lane: usize, seat: u8) -> Result<Self, ChannelError> {
        if core.readers() == Readers::Each && core.lane(lane)?.consumers[usize::from(seat)].cursor.load(Acquire) == 0 {
            // Founded when this receiver had closed: it is for the others.
            return Self::with(core, lane, Reader::Spoilt { untold: None });
        }
        let reader = Self::reader(core, lane, seat)?.unwrap_or_else(|found| Reader::Spoilt { untold: Some(found) });
        Self::with(core, lane, reader)
    }

    fn with(core: &Arc<Core>, lane: usize, reader: Reader) -> Result<Self, ChannelError> {
        let (payloads, sender_wait) = (Payloads(core.area(lane)?), core.sender_wait(lane)?);
        Ok(Self { reader, payloads, room_wakes: RoomWakes::default(), sender_wait, core: Arc::clone(core) })
    }

    /// Whether a receiver could read the lane.
    pub(super) fn check(core: &Core, lane: usize) -> Result<(), ChannelError> {
        if core.readers() == Readers::Each {
            // Each has a cursor of its own, and this may be before any has.
            return Ok(());
        }
        Self::reader(core, lane, 0)?.map(|_| ()).map_err(|found| ChannelError::corrupt(lane, found))
    }

    fn reader(core: &Core, lane: usize, seat: u8) -> Result<Result<Reader, RingCorrupt>, ChannelError> {
        let (words, area, classes) = (core.lane(lane)?, core.area(lane)?, core.classes());
        Ok(match core.readers() {
            Readers::Each if core.when_full() == WhenFull::DropOldest => {
                Lapped::attach(words, area, classes, seat).map(Reader::Lapped)
            }
            Readers::One | Readers::Each => Consumer::attach(words, area, classes, seat).map(Reader::InOrder),
            Readers::Competing => match Alone::attach(&words, &area, &classes, seat) {
                Some(alone) => alone.map(Reader::Alone),
                None => Taker::attach(words, area, classes, seat).map(Reader::Competing),
            },
        })
    }

    /// The next committed frame of this lane, the one of number `lane`.
    #[inline(always)]
    pub(super) fn peek(&mut self, lane: usize) -> Result<Option<(usize, Frame)>, TryRecvError> {
        let Reader::InOrder(consumer) = &mut self.reader else { return self.peek_otherwise(lane) };
        match consumer.peek() {
            Ok(None) => {
                if consumer.take_passed() {
                    self.sender_wait.event.notify();
                }
                self.room_wakes.settle(&self.sender_wait);
                Ok(None)
            }
            Ok(found) => Ok(found.map(|frame| (lane, frame))),
            Err(found) => Err(self.spoilt(lane, found)),
        }
    }

    #[inline(never)]
    fn peek_otherwise(&mut self, lane: usize) -> Result<Option<(usize, Frame)>, TryRecvError> {
        let Reader::Alone(alone) = &mut self.reader else { return self.take(lane) };
        match alone.peek() {
            Ok(alone::Look::Frame(frame)) => Ok(Some((lane, frame))),
            Ok(alone::Look::Nothing) => {
                if alone.take_passed() {
                    self.sender_wait.event.notify();
                }
                self.room_wakes.settle(&self.sender_wait);
                Ok(None)
            }
            Ok(alone::Look::Shared(taker)) => {
                self.compete(taker);
                self.take(lane)
            }
            Err(found) => Err(self.spoilt(lane, found)),
        }
    }

    #[inline(never)]
    fn take(&mut self, lane: usize) -> Result<Option<(usize, Frame)>, TryRecvError> {
        let taken = match &mut self.reader {
            Reader::InOrder(_) | Reader::Alone(_) => return Ok(None),
            Reader::Competing(taker) => taker.take(),
            Reader::Lapped(lapped) => match lapped.peek() {
                Ok(Look::Nothing) => Ok(None),
                Ok(Look::Frame(frame)) => Ok(Some(frame)),
                Ok(Look::Missed(missed)) => {
                    self.wake_awaited();
                    return Err(TryRecvError::Lapped { missed });
                }
                Err(found) => Err(found),
            },
            Reader::Spoilt { untold } => untold.take().map_or(Ok(None), Err),
        };
        self.wake_awaited();
        taken.map(|found| found.map(|frame| (lane, frame))).map_err(|found| self.spoilt(lane, found))
    }

    /// Goes on as one of many.
    fn compete(&mut self, taker: Taker) {
        self.reader = Reader::Competing(taker);
        // What was in hand when the lane was shared may be done with by now, or given back.
        self.core.wake_for_done(&self.sender_wait);
        self.core.receiver_wait.event.notify();
    }

    /// A3, as far as it can be done now; what is released is done with, unless whoever has the lane shared stands still.
    #[cold]
    fn settle(&mut self) {
        let Reader::Alone(alone) = &mut self.reader else { return };
        for tries in 0..SETTLES_MAX {
            if alone.finish() {
                break;
            }
            if tries % SETTLES_BETWEEN_LOOKS == SETTLES_BETWEEN_LOOKS - 1 {
                self.core.share_changing_lanes();
            }
            std::thread::yield_now();
        }
        if let Some(taker) = alone.settle(false) {
            self.compete(taker);
        } else {
            self.core.wake_for_done(&self.sender_wait);
        }
    }

    /// Leaves a frame that was peeked, as the one that comes next; false if it is still in hand.
    pub(super) fn leave(&mut self, frame: Frame) -> bool {
        let is_left = match &mut self.reader {
            Reader::Competing(taker) => taker.give_back(frame),
            Reader::Alone(alone) => {
                if !alone.leave() {
                    self.settle();
                }
                return true;
            }
            _ => return true,
        };
        if is_left {
            self.core.receiver_wait.event.notify();
        }
        self.wake_awaited();
        is_left
    }

    /// Reads the lane no more.
    #[cold]
    fn spoilt(&mut self, lane: usize, found: RingCorrupt) -> TryRecvError {
        self.reader = Reader::Spoilt { untold: None };
        TryRecvError::corrupt(lane, found)
    }

    /// Wakes whoever found this receiver at the lane and may have gone to sleep over it.
    #[inline]
    pub(super) fn wake_awaited(&mut self) {
        let contended = match &mut self.reader {
            Reader::Competing(taker) => taker.take_awaited(),
            Reader::Lapped(lapped) => lapped.take_contended(),
            Reader::InOrder(_) | Reader::Alone(_) | Reader::Spoilt { .. } => false,
        };
        if contended {
            self.core.receiver_wait.event.notify();
            self.sender_wait.event.notify();
        }
    }

    /// The payload of a frame that was peeked here.
    #[inline]
    pub(super) fn payload(&self, frame: Frame) -> &[u8] {
        self.payloads.of(frame)
    }

    /// Whether what was released here may be taken for this receiver's still.
    pub(super) fn is_unsettled(&self) -> bool {
        matches!(&self.reader, Reader::Alone(alone) if alone.is_unsettled())
    }

    /// Gives the bytes of the frame peeked last back to the sender.
    #[inline(always)]
    pub(super) fn release(&mut self, frame: Frame) {
        if let Reader::InOrder(consumer) = &mut self.reader {
            consumer.release(frame);
            self.room_wakes.released(frame, &self.sender_wait);
        } else {
            self.release_otherwise(frame);
        }
    }

    #[inline(never)]
    fn release_otherwise(&mut self, frame: Frame) {
        if matches!(self.reader, Reader::Competing(_)) {
            taker::done(&self.payloads.0, frame);
            return self.core.wake_for_done(&self.sender_wait);
        }
        let Reader::Alone(alone) = &mut self.reader else { return self.done(&[frame]) };
        if !alone.release(frame) {
            self.settle();
        }
        self.room_wakes.released(frame, &self.sender_wait);
    }

    /// As [`ReceiverLane::release`], for all the frames of a batch.
    pub(super) fn release_batch(&mut self, frames: &[Frame]) {
        match &mut self.reader {
            Reader::InOrder(consumer) => consumer.release_batch(frames),
            Reader::Alone(alone) => {
                if !alone.release_batch(frames) {
                    self.settle();
                }
            }
            _ => return self.done(frames),
        }
        if let Some(&last) = frames.last() {
            self.room_wakes.released(last, &self.sender_wait);
        }
    }

    #[inline]
    pub(super) fn is_read_in_order(&self) -> bool {
        matches!(self.reader, Reader::InOrder(_) | Reader::Alone(_))
    }

    pub(super) fn is_busy(&self) -> bool {
        match &self.reader {
            Reader::Competing(taker) => taker.is_busy(),
            Reader::Alone(alone) => alone.is_busy(),
            Reader::Lapped(lapped) => lapped.is_busy(),
            Reader::InOrder(consumer) => consumer.is_something_there(),
            Reader::Spoilt { .. } => false,
        }
    }

    /// What of the lane is taken and not done; `None` if somebody else is at it.
    pub(super) fn out(&mut self) -> Option<Out> {
        let Reader::Competing(taker) = &mut self.reader else { return Some(Out::default()) };
        let out = taker.out();
        self.wake_awaited();
        out
    }

    #[inline(never)]
    fn done(&mut self, frames: &[Frame]) {
        if let Reader::Lapped(lapped) = &mut self.reader {
            lapped.release(frames);
            return self.sender_wait.event.notify();
        }
        frames.iter().for_each(|&frame| taker::done(&self.payloads.0, frame));
        self.core.wake_for_done(&self.sender_wait);
    }

    /// What a frame that was taken needs to be kept; `None` if frames are released in order.
    pub(super) fn share(&mut self, lane: usize, in_hand: Frame) -> Option<(Payloads, Shared<WaitPoint>, Arc<Core>)> {
        if self.core.seats() == 1 && in_hand.is_loan() {
            return None; // As of an only receiver.
        }
        if let Reader::Alone(alone) = &mut self.reader {
            // What is held may be done with later than what comes behind it.
            self.core.share_lane(lane).ok()?;
            let taker = (0..SETTLES_MAX).find_map(|_| alone.settle(true).or_else(yield_now))?;
            self.compete(taker);
        }
        let competing = matches!(self.reader, Reader::Competing(_));
        competing.then(|| (Payloads(self.payloads.0.clone()), self.sender_wait.clone(), Arc::clone(&self.core)))
    }
}

impl Drop for ReceiverLane {
    fn drop(&mut self) {
        if !self.core.membership.is_inherited()
            && let Reader::Alone(alone) = &self.reader
            && alone.is_unsettled()
        {
            // Else what it was done with would be given to another, as if it had died.
            self.settle();
        }
    }
}

fn yield_now<T>() -> Option<T> {
    std::thread::yield_now();
    None
}
