//! What a receiver reads: the lanes of a channel, in turn.

use std::sync::Arc;

use crate::channel::core::Core;
use crate::channel::error::{ChannelError, TryRecvError};
use crate::channel::held::HeldBlock;
use crate::channel::presence;
use crate::channel::receiver::Place;
use crate::channel::slab::{Slab, in_flight};
use crate::prim::Ordering::Acquire;
use crate::ring::consumer::{Consumer, Frame, Payload, Payloads};
use crate::ring::lapped::{Lapped, Look};
use crate::ring::taker::{self, Out, Taker};
use crate::ring::{Readers, RingCorrupt, WhenFull};
use crate::shm::window::Shared;
use crate::sync::wait::{WaitPoint, is_peer_check_due};

/// The lanes met so far.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) all: Vec<ReceiverLane>,
    /// The one that is looked at first, so that no sender is starved by another.
    next: usize,
    /// Messages of that one received in a row.
    run: u32,
    /// Where receivers compete: a frame that was taken and left, and that could not be given back yet.
    left: Option<(usize, Frame)>,
    /// When seats of the dead were last looked for, and frames taken since.
    swept_ns: u64,
    taken: u32,
    core: Arc<Core>,
}

/// Messages of one lane that are received in a row while others may wait.
const RUN_MAX: u32 = 64;
/// Frames taken between two looks at the clock.
const TAKEN_BETWEEN_LOOKS: u32 = 1024;

#[derive(Debug)]
pub(super) struct ReceiverLane {
    reader: Reader,
    payloads: Payloads,
    sender_wait: Shared<WaitPoint>,
    core: Arc<Core>,
}

/// How a lane is read.
#[derive(Debug)]
enum Reader {
    /// Alone, or each in its own time.
    InOrder(Consumer),
    Competing(Taker),
    /// Each in its own time, if it is fast enough.
    Lapped(Lapped),
    /// Not at all: some process has written to it what the protocol never writes, or it is for others.
    Spoilt {
        /// What was found, until it is told.
        untold: Option<RingCorrupt>,
    },
}

impl Lanes {
    /// `next` is the lane to begin with: receivers that compete begin with different ones.
    pub(super) fn new(all: Vec<ReceiverLane>, next: usize, core: Arc<Core>) -> Self {
        Self { all, next, run: 0, left: None, swept_ns: 0, taken: 0, core }
    }

    #[inline]
    pub(super) fn slab(&self) -> &Slab {
        &self.core.slab
    }

    /// Whether other receivers get the same messages.
    fn is_shared(&self) -> bool {
        self.core.readers() == Readers::Each
    }

    /// The payload of a frame that was peeked, which is in `block` if it is a loan.
    #[inline]
    pub(super) fn payload(&self, lane: usize, frame: Frame, block: usize) -> &[u8] {
        if frame.is_loan() { self.loan_payload(frame, block) } else { self.all[lane].payload(frame) }
    }

    #[cold]
    fn loan_payload(&self, frame: Frame, block: usize) -> &[u8] {
        self.slab().bytes(block, frame.len)
    }

    /// B3: begins to read the block of a loan that was peeked.
    #[cold]
    pub(super) fn begin_read(&mut self, lane: usize, frame: Frame) -> Result<usize, TryRecvError> {
        let entry = &self.all[lane];
        let number = entry.payload(frame).try_into().map_or(u64::MAX, u64::from_ne_bytes);
        let block = self.slab().begin_read(number, in_flight(lane, frame.position()), frame.len);
        if block.is_none() && matches!(entry.reader, Reader::Competing(_)) {
            // It was taken; nobody else shall find it.
            self.all[lane].release(frame);
        }
        block.ok_or(TryRecvError::Corrupt { lane, position: frame.position(), word: number })
    }

    /// B3, the end: gives the frame back, then the block.
    #[cold]
    pub(super) fn release_loan(&mut self, lane: usize, frame: Frame, block: usize) {
        self.slab().end_read(block);
        self.all[lane].release(frame);
        // Where others get it, too, a sender frees it when all have released it.
        let freed = !self.is_shared() && self.slab().free(block, in_flight(lane, frame.position()));
        if freed || self.is_shared() {
            self.core.notify_senders();
        }
    }

    /// B3 of a message that is held: the block becomes the receiver's, then the frame is given back. `None` if the block
    /// is others', too, or not what it was.
    #[cold]
    pub(super) fn adopt(&mut self, lane: usize, frame: Frame, number: usize, place: &Place) -> Option<HeldBlock> {
        let owner = place.word();
        if self.is_shared() || !self.slab().adopt(number, in_flight(lane, frame.position()), owner) {
            return None;
        }
        self.all[lane].release(frame);
        Some(HeldBlock { core: Arc::clone(&self.core), number, len: frame.len, owner })
    }

    /// The next committed frame of any lane. If it is not released, it must be left.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<Option<(usize, Frame)>, TryRecvError> {
        match self.all.as_mut_slice() {
            [only] if only.is_in_order() => only.peek(0),
            _ => self.peek_in_turn(),
        }
    }

    /// The next frame of an only lane that is read in order, if it is there now and no loan; for the others [`Lanes::peek`]
    /// is to be asked.
    #[inline]
    pub(super) fn glance(&self) -> Option<(Frame, Payload)> {
        match self.all.as_slice() {
            [ReceiverLane { reader: Reader::InOrder(consumer), .. }] => consumer.glance(),
            _ => None,
        }
    }

    /// Gives a message's bytes back to its sender; `block` is that of a loan.
    #[inline(always)]
    pub(super) fn release(&mut self, lane: usize, frame: Frame, block: usize) {
        match self.all.as_mut_slice() {
            [ReceiverLane { reader: Reader::InOrder(consumer), sender_wait, .. }] if !frame.is_loan() => {
                consumer.release(frame);
                sender_wait.event.notify();
            }
            _ => self.release_elsewhere(lane, frame, block),
        }
    }

    #[inline(never)]
    fn release_elsewhere(&mut self, lane: usize, frame: Frame, block: usize) {
        if frame.is_loan() {
            return self.release_loan(lane, frame, block);
        }
        self.all[lane].release(frame);
    }

    /// Whether the last look at a lane says nothing, since somebody else was at it.
    pub(super) fn any_busy(&self) -> bool {
        self.all.iter().any(ReceiverLane::is_busy)
    }

    /// Where receivers compete: whether there is a frame that another has in hand, and that will be received again if that
    /// one dies; or whether that cannot be told now.
    pub(super) fn others_have_some(&mut self) -> bool {
        if self.core.readers() != Readers::Competing {
            return false;
        }
        presence::await_the_last(&self.core.control.finishing);
        self.all.iter_mut().any(|lane| lane.out().is_none_or(|out| out.others))
    }

    /// Gives back, for other receivers, what the dead among them had: every 20 ms of a receiver that is never idle.
    #[cold]
    fn sweep_now_and_then(&mut self) {
        self.taken = 0;
        if is_peer_check_due(&mut self.swept_ns) {
            self.core.sweep_seats();
            self.core.break_dead_senders_locks();
        }
    }

    fn peek_in_turn(&mut self) -> Result<Option<(usize, Frame)>, TryRecvError> {
        if let Some(left) = self.left.take() {
            return Ok(Some(left));
        }
        if self.core.readers() == Readers::Competing {
            self.taken += 1;
            if self.taken >= TAKEN_BETWEEN_LOOKS {
                self.sweep_now_and_then();
            }
        }
        let lanes = self.all.len();
        self.next %= lanes.max(1);
        for step in 0..lanes {
            let lane = if self.next + step < lanes { self.next + step } else { self.next + step - lanes };
            let found = self.all[lane].peek(lane);
            if matches!(found, Ok(None)) {
                self.run = 0;
                continue;
            }
            // A lane is read some way along its lines, but does not stand before the others for ever.
            self.run += 1;
            let stays = self.run < RUN_MAX && found.is_ok();
            self.next = if stays { lane } else { (lane + 1) % lanes };
            if !stays {
                self.run = 0;
            }
            return found;
        }
        Ok(None)
    }

    /// Adds to `frames` those that are committed behind the frame peeked last, `first` included, to `max` of them.
    pub(super) fn peek_batch(&mut self, lane: usize, first: Frame, max: usize, frames: &mut Vec<Frame>) {
        let lane = &mut self.all[lane];
        match &mut lane.reader {
            Reader::InOrder(consumer) => consumer.peek_batch(first, max, frames),
            Reader::Competing(taker) => {
                frames.push(first);
                // What cannot be read is told by the next look.
                let _taken_so_far = taker.take_batch(max - 1, frames);
            }
            Reader::Lapped(lapped) => lapped.peek_batch(first, max, frames),
            Reader::Spoilt { .. } => {}
        }
        lane.wake_awaited();
    }

    /// Leaves a frame that was peeked in the lane, as the one that comes next.
    pub(super) fn leave(&mut self, lane: usize, frame: Frame) {
        self.next = lane;
        let number = lane;
        let lane = &mut self.all[lane];
        if let Reader::Competing(taker) = &mut lane.reader {
            if taker.give_back(frame) {
                lane.core.receiver_wait.event.notify();
            } else {
                self.left = Some((number, frame));
            }
        }
        lane.wake_awaited();
    }
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
        Ok(Self { reader, payloads, sender_wait, core: Arc::clone(core) })
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
            Readers::Competing => Taker::attach(words, area, classes, seat).map(Reader::Competing),
        })
    }

    /// The next committed frame of this lane, the one of number `lane`.
    #[inline]
    fn peek(&mut self, lane: usize) -> Result<Option<(usize, Frame)>, TryRecvError> {
        let Reader::InOrder(consumer) = &mut self.reader else { return self.take(lane) };
        match consumer.peek() {
            Ok(None) => {
                if consumer.take_passed() {
                    self.sender_wait.event.notify();
                }
                Ok(None)
            }
            Ok(found) => Ok(found.map(|frame| (lane, frame))),
            Err(found) => Err(self.spoilt(lane, found)),
        }
    }

    #[inline(never)]
    fn take(&mut self, lane: usize) -> Result<Option<(usize, Frame)>, TryRecvError> {
        let taken = match &mut self.reader {
            Reader::InOrder(_) => return Ok(None),
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

    /// Reads the lane no more.
    #[cold]
    fn spoilt(&mut self, lane: usize, found: RingCorrupt) -> TryRecvError {
        self.reader = Reader::Spoilt { untold: None };
        TryRecvError::corrupt(lane, found)
    }

    /// Wakes whoever found this receiver at the lane and may have gone to sleep over it.
    #[inline]
    fn wake_awaited(&mut self) {
        let contended = match &mut self.reader {
            Reader::Competing(taker) => taker.take_awaited(),
            Reader::Lapped(lapped) => lapped.take_contended(),
            Reader::InOrder(_) | Reader::Spoilt { .. } => false,
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

    /// Gives the bytes of the frame peeked last back to the sender.
    #[inline]
    pub(super) fn release(&mut self, frame: Frame) {
        if let Reader::InOrder(consumer) = &mut self.reader {
            consumer.release(frame);
            self.sender_wait.event.notify();
        } else {
            self.done(&[frame]);
        }
    }

    /// As [`ReceiverLane::release`], for all the frames of a batch.
    pub(super) fn release_batch(&mut self, frames: &[Frame]) {
        if let Reader::InOrder(consumer) = &mut self.reader {
            consumer.release_batch(frames);
            self.sender_wait.event.notify();
        } else {
            self.done(frames);
        }
    }

    #[inline]
    fn is_in_order(&self) -> bool {
        matches!(self.reader, Reader::InOrder(_))
    }

    fn is_busy(&self) -> bool {
        match &self.reader {
            Reader::Competing(taker) => taker.is_busy(),
            Reader::Lapped(lapped) => lapped.is_busy(),
            Reader::InOrder(_) | Reader::Spoilt { .. } => false,
        }
    }

    /// What of the lane is taken and not done; `None` if somebody else is at it.
    fn out(&mut self) -> Option<Out> {
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
    pub(super) fn share(&self) -> Option<(Payloads, Shared<WaitPoint>, Arc<Core>)> {
        let competing = matches!(self.reader, Reader::Competing(_));
        competing.then(|| (Payloads(self.payloads.0.clone()), self.sender_wait.clone(), Arc::clone(&self.core)))
    }
}
