//! What a receiver reads: the lanes of a channel, in turn.

use std::sync::Arc;

use crate::channel::core::Core;
use crate::channel::error::TryRecvError;
use crate::channel::held::HeldBlock;
use crate::channel::lane::{Reader, ReceiverLane};
use crate::channel::presence;
use crate::channel::receiver::Place;
use crate::channel::slab::{Block, Slab, in_flight};
use crate::prim::step;
use crate::ring::Readers;
use crate::ring::consumer::{Frame, Payload};
use crate::ring::taker::at_hand::AtHand;
use crate::sync::wait::is_peer_check_due;

/// The lanes met so far.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) all: Vec<ReceiverLane>,
    /// The one that is looked at first.
    next: usize,
    /// The one whose turn it was last to be looked at first, so that no sender is starved by another.
    turn: usize,
    /// Messages received since.
    run: u32,
    /// Where receivers compete: a frame that was taken and left, and that could not be given back yet.
    left: Option<(usize, Frame)>,
    /// When seats of the dead were last looked for, and frames taken since.
    swept_ns: u64,
    /// When it last looked for blocks that the dead have.
    blocks_checked_ns: u64,
    taken: u32,
    core: Arc<Core>,
}

/// Messages that are received before another lane has its turn.
const RUN_MAX: u32 = 256;
/// Frames taken between two looks at the clock.
const TAKEN_BETWEEN_LOOKS: u32 = 1024;

impl Lanes {
    /// `next` is the lane to begin with: receivers that compete begin with different ones.
    pub(super) fn new(all: Vec<ReceiverLane>, next: usize, core: Arc<Core>) -> Self {
        Self { all, next, turn: next, run: 0, left: None, swept_ns: 0, blocks_checked_ns: 0, taken: 0, core }
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
        if block.is_none() && matches!(entry.reader, Reader::Competing(_) | Reader::Alone(_)) {
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
        // Where others get it, too, a sender frees it when all have released it. What may be taken for in hand still is freed by
        // who clears this one's seat, or takes the lane over.
        if self.is_shared() {
            self.core.notify_senders();
        } else if !self.all[lane].is_unsettled() {
            self.core.free_block_of(lane, frame.position(), block as u64);
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

    /// B7: the block becomes the receiver's, then the frame is given back, then the block becomes the handle's. `None` if it is
    /// others', too, or not what it was, or one too many.
    #[cold]
    pub(super) fn take_loan(
        &mut self,
        lane: usize,
        frame: Frame,
        number: usize,
        place: &Place,
    ) -> Option<(Block, Arc<Core>)> {
        let core = Arc::clone(&self.core);
        if self.is_shared() || core.is_guarded {
            return None;
        }
        if !core.slab.may_keep() {
            if !is_peer_check_due(&mut self.blocks_checked_ns) {
                return None;
            }
            core.free_blocks_of_dead_senders();
            if !core.slab.may_keep() {
                return None;
            }
        }
        let entry = &mut self.all[lane];
        let _how_it_is_done_with = entry.share(lane, frame);
        if core.seats() > 1 && matches!(entry.reader, Reader::Alone(_)) {
            return None; // What is released may be taken for in hand still.
        }
        let adopted = core.slab.adopt_to_write(number, in_flight(lane, frame.position()), place.word())?;
        step("loan.adopted");
        entry.release(frame);
        step("loan.received");
        let block = adopted.pass_to(core.membership.word());
        step("loan.owned");
        Some((block, core))
    }

    /// The next committed frame of any lane. If it is not released, it must be left.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<Option<(usize, Frame)>, TryRecvError> {
        match self.all.as_mut_slice() {
            [only] if only.is_read_in_order() => only.peek(0),
            _ => self.peek_in_turn(),
        }
    }

    /// The next frame of an only lane that nobody else reads, if it is there now and no loan; for the others [`Lanes::peek`]
    /// is to be asked.
    #[inline]
    pub(super) fn glance(&self) -> Option<(Frame, Payload)> {
        match self.all.as_slice() {
            [ReceiverLane { reader: Reader::InOrder(consumer), .. }] => consumer.glance(),
            [ReceiverLane { reader: Reader::Alone(alone), .. }] => alone.glance(),
            _ => None,
        }
    }

    /// The next frame of one of several lanes, if one is there now that is no loan, and no other receiver is at that lane; for
    /// the others [`Lanes::peek`] is to be asked. It must be released or left.
    #[inline]
    pub(super) fn take_at_hand(&mut self) -> Option<(usize, Frame)> {
        if self.left.is_some() || self.run >= RUN_MAX {
            return None;
        }
        for _ in 0..self.all.len() {
            let number = if self.next < self.all.len() { self.next } else { 0 };
            self.next = number;
            let lane = &mut self.all[number];
            let found = match &mut lane.reader {
                Reader::InOrder(consumer) => match consumer.glance() {
                    Some((frame, _)) => AtHand::Frame(frame),
                    None if consumer.is_something_there() => AtHand::Else,
                    None => {
                        lane.room_wakes.settle(&lane.sender_wait);
                        AtHand::Nothing
                    }
                },
                Reader::Competing(taker) => {
                    let found = taker.take_at_hand();
                    lane.wake_awaited();
                    found
                }
                _ => AtHand::Else,
            };
            match found {
                AtHand::Frame(frame) => {
                    self.run += 1;
                    return Some((number, frame));
                }
                AtHand::Nothing => self.next = number + 1,
                AtHand::Else => return None,
            }
        }
        None
    }

    /// Gives a message's bytes back to its sender; `block` is that of a loan.
    #[inline(always)]
    pub(super) fn release(&mut self, lane: usize, frame: Frame, block: usize) {
        match self.all.as_mut_slice() {
            [ReceiverLane { reader: Reader::InOrder(consumer), room_wakes, sender_wait, .. }] if !frame.is_loan() => {
                consumer.release(frame);
                room_wakes.released(frame, sender_wait);
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
        let lanes = self.all.len();
        if self.run >= RUN_MAX {
            // It may have been read to its end, and is not looked at again for a while.
            if let Some(lane) = self.all.get_mut(self.next) {
                lane.room_wakes.settle(&lane.sender_wait);
            }
            self.taken = self.taken.saturating_add(self.run);
            self.run = 0;
            self.turn += 1;
            self.next = self.turn;
        }
        if self.core.readers() == Readers::Competing {
            self.taken = self.taken.saturating_add(1);
            if self.taken >= TAKEN_BETWEEN_LOOKS {
                self.sweep_now_and_then();
            }
        }
        self.next %= lanes.max(1);
        self.turn %= lanes.max(1);
        for step in 0..lanes {
            let lane = if self.next + step < lanes { self.next + step } else { self.next + step - lanes };
            let found = self.all[lane].peek(lane);
            if matches!(found, Ok(None)) {
                continue;
            }
            // A lane is read some way along its lines. Those without anything have had their turn.
            self.next = lane;
            self.turn = if self.run == 0 { lane } else { self.turn };
            self.run += 1;
            return found;
        }
        Ok(None)
    }

    /// Adds to `frames` those that are committed behind the frame peeked last, `first` included, to `max` of them.
    pub(super) fn peek_batch(&mut self, lane: usize, first: Frame, max: usize, frames: &mut Vec<Frame>) {
        self.add_batch(lane, first, max, frames);
        self.run = self.run.saturating_add(frames.len() as u32 - 1);
    }

    fn add_batch(&mut self, lane: usize, first: Frame, max: usize, frames: &mut Vec<Frame>) {
        let lane = &mut self.all[lane];
        match &mut lane.reader {
            Reader::InOrder(consumer) => consumer.peek_batch(first, max, frames),
            Reader::Competing(taker) => {
                frames.push(first);
                // What cannot be read is told by the next look.
                let _taken_so_far = taker.take_batch(max - 1, frames);
            }
            Reader::Alone(alone) => alone.peek_batch(first, max, frames),
            Reader::Lapped(lapped) => lapped.peek_batch(first, max, frames),
            Reader::Spoilt { .. } => {}
        }
        lane.wake_awaited();
    }

    /// Leaves a frame that was peeked in the lane, as the one that comes next.
    pub(super) fn leave(&mut self, lane: usize, frame: Frame) {
        self.next = lane;
        if !self.all[lane].leave(frame) {
            self.left = Some((lane, frame));
        }
    }
}
