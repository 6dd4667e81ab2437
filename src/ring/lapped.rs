//! Consumers that each get every frame, but for those that they are too slow for. Steps O1 to O4 of `PROTOCOL.md`.

use crate::prim::Ordering::{Acquire, Relaxed, Release};
use crate::prim::step;
use crate::ring::RingCorrupt;
use crate::ring::consumer::{Consumer, Frame};
use crate::ring::followers::HELD;
use crate::ring::layout::{Lane, SEATS};
use crate::ring::lock::{Held, Holder};
use crate::ring::taker::{Next, Walk, walk_frames};
use crate::ring::word::FrameHeader;
use crate::shm::window::Window;

/// One of the consumers of a lane whose producer goes on without them.
#[derive(Debug)]
pub(crate) struct Lapped {
    consumer: Consumer,
    lane: Lane,
    seat: u8,
    /// Frames missed since it joined, as far as was told.
    told: u64,
    /// Whether the last look failed to get the lock.
    busy: bool,
    /// Somebody failed to get the lock while this consumer had it, or can have room that it has passed.
    contended: bool,
}

/// What a look finds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Look {
    Nothing,
    /// The producer writes over nothing from this frame on until it is released.
    Frame(Frame),
    /// So many frames were missed before the next one.
    Missed(u64),
}

impl Lapped {
    /// Goes on where the consumer in that seat stands.
    pub(crate) fn attach(
        lane: Lane,
        area: Window,
        classes: std::ops::RangeInclusive<u8>,
        seat: u8,
    ) -> Result<Self, RingCorrupt> {
        let consumer = Consumer::attach(lane.clone(), area, classes, seat)?;
        Ok(Self { consumer, lane, seat, told: 0, busy: false, contended: false })
    }

    /// O1: looks for the next committed frame, and holds it.
    pub(crate) fn peek(&mut self) -> Result<Look, RingCorrupt> {
        let own = &self.lane.consumers[usize::from(self.seat) % SEATS];
        let Some(lock) = self.lane.taking.lock.try_lock(Holder::Seat(self.seat)) else {
            self.busy = true;
            return Ok(Look::Nothing);
        };
        self.busy = false;
        let look = (|| {
            self.consumer.stand_at(own.cursor.load(Relaxed) & !HELD)?;
            let missed = own.missed.load(Relaxed).wrapping_sub(self.told);
            if missed > 0 {
                self.told = self.told.wrapping_add(missed);
                return Ok(Look::Missed(missed));
            }
            let found = self.consumer.peek()?;
            let held = if found.is_some() { HELD } else { 0 };
            own.cursor.store(self.consumer.cursor() | held, Release);
            Ok(found.map_or(Look::Nothing, Look::Frame))
        })();
        self.contended |= lock.unlock().0 | self.consumer.take_passed();
        look
    }

    /// As [`Consumer::peek_batch`]: what is behind a frame that is held is held, too.
    pub(crate) fn peek_batch(&self, first: Frame, max: usize, frames: &mut Vec<Frame>) {
        self.consumer.peek_batch(first, max, frames);
    }

    /// O2: gives the frames peeked last back, and holds nothing.
    pub(crate) fn release(&mut self, frames: &[Frame]) {
        self.consumer.release_batch(frames);
    }

    /// A one-word payload in the model.
    #[cfg(loom)]
    pub(crate) fn read_word(&self, frame: Frame) -> u64 {
        self.consumer.read_word(frame)
    }

    /// Whether the last look found somebody else at the lane: then it says nothing of what is there.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy || self.consumer.is_something_there()
    }

    /// Whether somebody failed to get the lock since this was asked last: all who wait for the lane must be woken.
    pub(crate) fn take_contended(&mut self) -> bool {
        std::mem::take(&mut self.contended)
    }
}

/// O3: moves every consumer that holds nothing on, frame by frame, to where the producer may write up to `target`; counts
/// what each misses.
pub(crate) fn lap(lane: &Lane, area: &Window, classes: &std::ops::RangeInclusive<u8>, _lock: &Held<'_>, target: u64) {
    for own in lane.consumers.iter() {
        // Edge `released`, reading end.
        let word = own.cursor.load(Acquire);
        if word == 0 || word & HELD != 0 {
            continue;
        }
        let Ok(mut walk) = Walk::from_word(word, classes) else { continue };
        let (from, mut missed) = (walk.to_word(), 0u64);
        let _what_is_spoilt_stays = walk_frames(&mut walk, None, area, classes, |header, _, at| {
            if at.position >= target || matches!(header, FrameHeader::Claimed { .. }) {
                return Next::Here;
            }
            missed += u64::from(!matches!(header, FrameHeader::Void { .. }));
            Next::On
        });
        // Also past a pad alone, whose bytes are room. Edge `released`, writing end. A consumer that has left meanwhile, or
        // that has come to where it joins, is not set back.
        let moved =
            walk.to_word() != from && own.cursor.compare_exchange(word, walk.to_word(), Release, Relaxed).is_ok();
        step("lap.moved");
        if moved && missed > 0 {
            own.messages.store(own.messages.load(Relaxed).wrapping_add(missed), Relaxed);
            own.missed.store(own.missed.load(Relaxed).wrapping_add(missed), Relaxed);
        }
    }
}

/// Frames that consumers have missed, summed up.
#[cfg(not(loom))]
pub(crate) fn missed(lane: &Lane) -> u64 {
    lane.consumers.iter().map(|own| own.missed.load(Relaxed)).fold(0, u64::wrapping_add)
}
