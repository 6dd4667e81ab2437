//! The take that nearly always succeeds, in as few steps as can be.

use crate::prim::Ordering::{Acquire, Relaxed, Release};
use crate::prim::step;
use crate::ring::alone;
use crate::ring::consumer::Frame;
use crate::ring::lock::Holder;
use crate::ring::taker::{Taker, Walk};
use crate::ring::word::{FrameHeader, frame_bytes};

impl Taker {
    /// Takes the next frame if nothing is in the way and it is no loan; for the others [`Taker::take`] is to be asked.
    #[inline]
    pub(crate) fn take_at_hand(&mut self) -> Option<Frame> {
        let taking = &self.lane.taking;
        let lock = taking.lock.try_lock_at_once(Holder::Seat(self.seat))?; // T1
        step("take.locked");
        let taken = self.mark_at_hand();
        if let Some((_, passed)) = taken {
            taking.cursor.store(passed.to_word(), Relaxed); // T3
            taking.messages.store(taking.messages.load(Relaxed).wrapping_add(1), Relaxed);
            step("take.passed");
        }
        self.awaited |= lock.unlock().0;
        step("take.unlocked");
        taken.map(|(frame, _)| frame)
    }

    /// T2 of who has the lock; the frame and where it ends.
    #[inline]
    fn mark_at_hand(&self) -> Option<(Frame, Walk)> {
        if alone::is_alone(&self.lane) {
            return None;
        }
        let Walk { ring, position } = Walk::from_word(self.lane.taking.cursor.load(Relaxed), &self.classes).ok()?;
        let word = ring.word(&self.area, position);
        let len = FrameHeader::data_len(word.load(Acquire))?; // edge `committed`, reading end
        let bytes = frame_bytes(len);
        if bytes > ring.to_end(position) {
            return None;
        }
        // Release: as in `take_each`.
        word.store(FrameHeader::Taken { len, seat: self.seat, is_loan: false }.to_word(), Release);
        step("take.marked");
        Some((Frame::new(ring, position, len), Walk { ring, position: position + bytes }))
    }
}
