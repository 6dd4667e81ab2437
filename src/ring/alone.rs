//! One of those that may compete, while it is alone. Steps A1 to A3 and U1 to U4 of `PROTOCOL.md`.

use crate::prim::Ordering::{Acquire, Relaxed, Release};
use crate::prim::step;
use crate::ring::RingCorrupt;
#[cfg(not(loom))]
use crate::ring::consumer::Payload;
use crate::ring::consumer::{ALONE, Consumer, Frame};
use crate::ring::layout::Lane;
use crate::ring::lock::{Held, Holder};
use crate::ring::taker::{Next, Taker, Walk, collect, done, give_back_of, walk_frames};
use crate::ring::word::{Cursor, FrameHeader};
use crate::shm::window::Window;
use crate::sync::fences;

/// Bits of [`crate::ring::layout::Shape::sole`]: the seat of who is alone, and 1; or 0 if the lane is shared.
const WHO: u64 = 0xff;
/// The bit that says that the lane is becoming shared.
const CHANGING: u64 = 1 << 8;
/// The bits above count how often the lane was left to one, so that no two times are taken for each other.
const TIME: u64 = 1 << 9;

/// The consumer that is alone.
#[derive(Debug)]
pub(crate) struct Alone {
    consumer: Consumer,
    /// What `sole` says while it is.
    word: u64,
    /// Frames that it was done with and that others may take for its own still.
    unsettled: Vec<Frame>,
    /// Those of them that were done with one by one.
    late: u64,
    /// Whether the last look found the lane becoming shared.
    busy: bool,
}

/// What a look finds.
#[derive(Debug)]
pub(crate) enum Look {
    Nothing,
    Frame(Frame),
    /// The lane is shared: this is how it is read from here on.
    Shared(Taker),
}

impl Alone {
    /// Goes on where the last one that was alone has released; `None` if the lane is another's, or shared.
    pub(crate) fn attach(
        lane: &Lane,
        area: &Window,
        classes: &std::ops::RangeInclusive<u8>,
        seat: u8,
    ) -> Option<Result<Self, RingCorrupt>> {
        // Relaxed: who is named has named itself, or has met the lane by `lane-founded` since. Also if the lane is becoming
        // shared: only then it is settled for this one.
        let word = lane.shape.sole.load(Relaxed) & !CHANGING;
        (word & WHO == u64::from(seat) + 1).then(|| {
            let consumer = Consumer::attach(lane.clone(), area.clone(), classes.clone(), ALONE)?;
            Ok(Self { consumer, word, unsettled: Vec::new(), late: 0, busy: false })
        })
    }

    /// A1.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<Look, RingCorrupt> {
        self.busy = false;
        let found = self.consumer.peek();
        match found {
            Ok(Some(frame)) if self.take(frame) => Ok(Look::Frame(frame)),
            // What was found may be another's by now, or be marked by it.
            _ if !self.is_alone() => Ok(self.settle(false).map_or(Look::Nothing, Look::Shared)),
            Ok(_) => Ok(Look::Nothing),
            Err(found) => Err(found),
        }
    }

    /// As [`Alone::peek`], of a frame that is there now and no loan, in as few steps as can be.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn glance(&self) -> Option<(Frame, Payload)> {
        let found = self.consumer.glance()?;
        self.take(found.0).then_some(found)
    }

    /// Adds to `frames` those behind `first`, which was peeked last, as [`Consumer::peek_batch`] does.
    pub(crate) fn peek_batch(&self, first: Frame, max: usize, frames: &mut Vec<Frame>) {
        self.consumer.peek_batch(first, max, frames);
        if let Some(&last) = frames.last()
            && !self.take(last)
        {
            frames.truncate(1);
        }
    }

    /// A1, the end: has in hand what ends with `last`; false if the lane is shared, and nothing more is in hand than before.
    #[inline]
    fn take(&self, last: Frame) -> bool {
        self.consumer.lane.alone().hand.store(last.end(), Relaxed);
        fences::light(); // edge `sole`
        self.is_alone()
    }

    #[inline]
    fn is_alone(&self) -> bool {
        self.consumer.lane.shape.sole.load(Relaxed) == self.word
    }

    /// A2. False if the lane is shared, or about to be: then it must be settled.
    #[inline]
    pub(crate) fn release(&mut self, frame: Frame) -> bool {
        self.consumer.release(frame);
        fences::light(); // edge `sole`
        self.is_alone() || self.keep_in_mind(&[frame])
    }

    /// A2, for all the frames of a batch.
    pub(crate) fn release_batch(&mut self, frames: &[Frame]) -> bool {
        self.consumer.release_batch(frames);
        fences::light(); // edge `sole`
        self.is_alone() || self.keep_in_mind(frames)
    }

    #[cold]
    fn keep_in_mind(&mut self, frames: &[Frame]) -> bool {
        self.unsettled.extend_from_slice(frames);
        false
    }

    /// Whether it has released what others may take for its own still.
    pub(crate) fn is_unsettled(&self) -> bool {
        !self.unsettled.is_empty()
    }

    /// A3, the beginning: is done with what others take for its own, in any order, as any of many. False while the lane is
    /// becoming shared.
    pub(crate) fn finish(&mut self) -> bool {
        let Consumer { lane, area, .. } = &self.consumer;
        // Edge `shared`, reading end.
        if lane.shape.sole.load(Acquire) & CHANGING != 0 {
            return false;
        }
        // A frame that is taken is never passed, whatever others are done with meanwhile.
        let released = Cursor::from_word(lane.consumer().cursor.load(Relaxed)).position;
        for frame in self.unsettled.drain(..).filter(|frame| frame.position() >= released) {
            done(area, frame);
            self.late += 1;
        }
        true
    }

    /// A3, if the lane is shared by now and nobody is at it. `keeps_hand` says that what was peeked last
    /// is not released.
    pub(crate) fn settle(&mut self, keeps_hand: bool) -> Option<Taker> {
        self.busy = true;
        if !self.finish() {
            return None;
        }
        let Consumer { lane, area, classes, messages, .. } = &self.consumer;
        let seat = ((self.word & WHO) - 1) as u8;
        let lock = lane.taking.lock.try_lock(Holder::Seat(seat))?;
        let (taking, passed) = (&lane.taking, messages.wrapping_sub(self.late));
        let uncounted = passed.wrapping_sub(taking.alone_messages.load(Relaxed));
        taking.alone_messages.store(passed, Relaxed);
        taking.messages.store(taking.messages.load(Relaxed).wrapping_add(uncounted), Relaxed);
        if !keeps_hand {
            let _what_is_spoilt_stays = give_back_of(lane, area, classes, &lock, seat, |_| {});
        }
        let taker = Taker::attach(lane.clone(), area.clone(), classes.clone(), seat).ok();
        let _all_are_woken_in_any_case = lock.unlock();
        self.busy = false;
        taker
    }

    /// Has nothing in hand that it has not released. False if the lane is shared: then it must be settled.
    pub(crate) fn leave(&self) -> bool {
        self.consumer.lane.alone().hand.store(self.consumer.cursor(), Relaxed);
        fences::light(); // edge `sole`
        self.is_alone()
    }

    /// Whether the last look found the lane becoming shared: then it says nothing of what is there.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy || self.consumer.is_something_there()
    }

    /// A one-word payload in the model.
    #[cfg(loom)]
    pub(crate) fn read_word(&self, frame: Frame) -> u64 {
        self.consumer.read_word(frame)
    }

    /// Whether there was, since this was asked last, what the producer may wait for: it must be woken.
    #[inline]
    pub(crate) fn take_passed(&mut self) -> bool {
        self.consumer.take_passed()
    }
}

/// What `sole` says next, of a consumer that is alone.
fn next_word(lane: &Lane, seat: u8) -> u64 {
    let times = lane.shape.sole.load(Relaxed) & !(TIME - 1);
    times.wrapping_add(TIME) | (u64::from(seat) + 1)
}

/// Whether one consumer is alone at the lane, or was until now.
#[inline]
pub(crate) fn is_alone(lane: &Lane) -> bool {
    lane.shape.sole.load(Relaxed) & WHO != 0
}

/// Whether the lane is becoming shared, or whoever had it shared has died.
pub(crate) fn is_changing(lane: &Lane) -> bool {
    lane.shape.sole.load(Relaxed) & CHANGING != 0
}

/// The seat of that one.
pub(crate) fn seat(lane: &Lane) -> Option<u8> {
    ((lane.shape.sole.load(Relaxed) & WHO) as u8).checked_sub(1)
}

/// Where the frames begin that are not given back to the producer. Exact for who has the lane's lock, or the structure lock.
pub(crate) fn unreleased(lane: &Lane) -> u64 {
    // Edges `released` and `passed`, reading end.
    if is_alone(lane) { lane.alone().cursor.load(Acquire) } else { lane.consumer().cursor.load(Acquire) }
}

/// What competing consumers have given back, as the producer sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Released {
    /// All before that position, by one that is alone.
    Alone(u64),
    /// It cannot be told now.
    Changing,
    /// What [`crate::ring::taker::collect`] finds.
    Shared,
}

/// U4.
pub(crate) fn released(lane: &Lane) -> Released {
    let sole = lane.shape.sole.load(Relaxed);
    if sole & WHO == 0 {
        return Released::Shared;
    }
    // Edge `released`, reading end.
    let position = Cursor::from_word(lane.alone().cursor.load(Acquire)).position;
    fences::light(); // edge `sole`
    if sole & CHANGING == 0 && lane.shape.sole.load(Relaxed) == sole {
        Released::Alone(position)
    } else {
        Released::Changing
    }
}

/// Leaves the lane to the consumer in `seat`, if nothing is taken or done in it; under the structure lock, while there is no
/// other. False if it stays shared.
pub(crate) fn leave_to(
    lane: &Lane,
    area: &Window,
    classes: &std::ops::RangeInclusive<u8>,
    lock: &Held<'_>,
    seat: u8,
) -> bool {
    if collect(lane, area, classes, lock).is_err() {
        return false;
    }
    let Ok(mut walk) = Walk::from_word(unreleased(lane), classes) else { return false };
    let (start, mut is_clean) = (walk.to_word(), true);
    let walked = walk_frames(&mut walk, None, area, classes, |header, _, _| {
        is_clean &= !matches!(header, FrameHeader::Taken { .. } | FrameHeader::Done { .. });
        if is_clean { Next::On } else { Next::Here }
    });
    if walked.is_err() || !is_clean {
        return false;
    }
    if !is_alone(lane) {
        let (taking, alone) = (&lane.taking, lane.alone());
        alone.messages.store(taking.messages.load(Relaxed).wrapping_sub(taking.returned.load(Relaxed)), Relaxed);
        // Edge `released`, writing end, for all who were done before.
        alone.cursor.store(start, Release);
    }
    lane.alone().hand.store(start, Relaxed);
    lane.shape.sole.store(next_word(lane, seat), Relaxed);
    true
}

/// As [`leave_to`], for a lane that no receiver has met yet; without a seat it is shared.
pub(crate) fn leave_new_to(lane: &Lane, seat: Option<u8>) {
    let start = lane.consumer().cursor.load(Relaxed);
    lane.alone().cursor.store(start, Relaxed);
    lane.alone().hand.store(start, Relaxed);
    lane.shape.sole.store(seat.map_or(0, |seat| next_word(lane, seat)), Relaxed);
}

/// U1 to U3, under the structure lock: from here on the lane is shared. False if other processes cannot be made to see it.
pub(crate) fn share(lane: &Lane, area: &Window, classes: &std::ops::RangeInclusive<u8>, _lock: &Held<'_>) -> bool {
    let Some(seat) = seat(lane) else { return true };
    let sole = &lane.shape.sole;
    let word = sole.load(Relaxed) & !CHANGING;
    sole.store(word | CHANGING, Relaxed); // U1
    step("share.begun");
    if !fences::heavy() {
        sole.store(word, Relaxed);
        return false;
    }
    let (taking, alone) = (&lane.taking, lane.alone());
    let released = alone.messages.load(Relaxed);
    let from = alone.cursor.load(Acquire); // edge `released`, reading end
    let hand = Cursor::from_word(alone.hand.load(Relaxed)).position;
    let mut taken = 0u64;
    let mut to = from;
    if let Ok(mut walk) = Walk::from_word(from, classes) {
        // U2. What is spoilt is met again by who reads the lane.
        let _as_far_as_it_can_be_read = walk_frames(&mut walk, None, area, classes, |header, word, at| {
            let (len, is_loan) = match header {
                _ if at.position >= hand => return Next::Here,
                FrameHeader::Data { len } => (len, false),
                FrameHeader::Loan { len } => (len, true),
                FrameHeader::Taken { len, is_loan, .. } => (len, is_loan),
                FrameHeader::Void { .. } => return Next::On,
                _ => return Next::Here,
            };
            // Release, as T2.
            word.store(FrameHeader::Taken { len, seat, is_loan }.to_word(), Release);
            step("share.marked");
            taken += 1;
            Next::On
        });
        to = walk.to_word();
    }
    // U3
    lane.consumer().cursor.store(from, Release); // edge `passed`, writing end
    taking.cursor.store(to, Relaxed);
    taking.alone_messages.store(released, Relaxed);
    let counted = released.wrapping_add(taken).wrapping_add(taking.returned.load(Relaxed));
    taking.messages.store(counted, Relaxed);
    sole.store(word & !WHO, Release); // edge `shared`, writing end
    step("share.done");
    true
}
