//! The take that nearly always succeeds, in as few steps as can be.

use crate::prim::Ordering::{Acquire, Relaxed, Release};
use crate::prim::step;
use crate::ring::alone;
use crate::ring::consumer::Frame;
use crate::ring::lock::Holder;
use crate::ring::taker::{Taker, Walk};
use crate::ring::word::{FrameHeader, frame_bytes};

/// What is at hand.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AtHand {
    /// That frame.
    Frame(Frame),
    /// Nothing, or somebody else is at the lane.
    Nothing,
    /// Something that is to be looked at in full.
    Else,
}

impl Taker {
    /// Takes the next frame if nothing is in the way and it is no loan; for the others [`Taker::take`] is to be asked.
    #[inline]
    pub(crate) fn take_at_hand(&mut self) -> AtHand {
        let taking = &self.lane.taking;
        let Some(lock) = taking.lock.try_lock_at_once(Holder::Seat(self.seat)) else { return AtHand::Nothing }; // T1
        step("take.locked");
        let taken = self.mark_at_hand();
        if let Ok((_, passed)) = taken {
            taking.cursor.store(passed.to_word(), Relaxed); // T3
            taking.messages.store(taking.messages.load(Relaxed).wrapping_add(1), Relaxed);
            step("take.passed");
        }
        self.awaited |= lock.unlock().0;
        step("take.unlocked");
        taken.map_or_else(|other| other, |(frame, _)| AtHand::Frame(frame))
    }

    /// T2 of who has the lock: the frame and where it ends, or what else there is.
    #[inline]
    fn mark_at_hand(&self) -> Result<(Frame, Walk), AtHand> {
        if alone::is_alone(&self.lane) {
            return Err(AtHand::Else);
        }
        let cursor = self.lane.taking.cursor.load(Relaxed);
        let Walk { ring, position } = Walk::from_word(cursor, &self.classes).map_err(|_| AtHand::Else)?;
        let word = ring.word(&self.area, position);
        let header = word.load(Acquire); // edge `committed`, reading end
        let Some(len) = FrameHeader::data_len(header) else {
            return Err(if header == FrameHeader::Empty.to_word() { AtHand::Nothing } else { AtHand::Else });
        };
        let bytes = frame_bytes(len);
        if bytes > ring.to_end(position) {
            return Err(AtHand::Else);
        }
        // Release: as in `take_each`.
        word.store(FrameHeader::Taken { len, seat: self.seat, is_loan: false }.to_word(), Release);
        step("take.marked");
        Ok((Frame::new(ring, position, len), Walk { ring, position: position + bytes }))
    }
}
