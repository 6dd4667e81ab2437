//! The reading side of a lane that many consumers share. Steps T1-T4 and G1-G3 are those of `PROTOCOL.md`.

use crate::prim::AtomicU64;
use crate::prim::Ordering::{Acquire, Relaxed, Release};
use crate::ring::consumer::Frame;
use crate::ring::layout::Lane;
use crate::ring::lock::{Held, Holder};
use crate::ring::word::{Cursor, FrameHeader, WORD};
use crate::ring::{Ring, RingCorrupt};
use crate::shm::window::{Shared, Window};

/// One of the competing consumers of a lane.
#[derive(Debug)]
pub(crate) struct Taker {
    lane: Shared<Lane>,
    area: Window,
    seat: u8,
    /// Somebody failed to get the lock while this taker had it.
    contended: bool,
    classes: std::ops::RangeInclusive<u8>,
}

/// How a look at a lane's frames goes on after one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// With the next one.
    On,
    /// It ends behind this one.
    Past,
    /// It ends before this one.
    Here,
}

/// Where a look at a lane's frames has come to.
#[derive(Debug, Clone, Copy)]
struct Walk {
    ring: Ring,
    position: u64,
}

impl Walk {
    fn from_word(word: u64, classes: &std::ops::RangeInclusive<u8>) -> Result<Self, RingCorrupt> {
        let Cursor { class, position } = Cursor::from_word(word);
        if !classes.contains(&class) || !position.is_multiple_of(WORD) {
            return Err(RingCorrupt { position, word });
        }
        Ok(Self { ring: Ring::of(class), position })
    }

    fn to_word(self) -> u64 {
        Cursor { class: self.ring.class, position: self.position }.to_word()
    }
}

impl Taker {
    /// Joins the lane's consumers, as the one in `seat`.
    pub(crate) fn attach(
        lane: Shared<Lane>,
        area: Window,
        classes: std::ops::RangeInclusive<u8>,
        seat: u8,
    ) -> Result<Self, RingCorrupt> {
        Walk::from_word(lane.taking.cursor.load(Relaxed), &classes)?;
        Ok(Self { lane, area, seat, contended: false, classes })
    }

    /// Takes the next committed frame, if there is one and no other consumer is at it.
    #[inline]
    pub(crate) fn take(&mut self) -> Result<Option<Frame>, RingCorrupt> {
        let mut taken = None;
        self.take_each(1, true, |frame| taken = Some(frame))?;
        Ok(taken)
    }

    /// Takes up to `max` frames, to a loan; adds them to `frames`.
    pub(crate) fn take_batch(&mut self, max: usize, frames: &mut Vec<Frame>) -> Result<(), RingCorrupt> {
        self.take_each(max, false, |frame| frames.push(frame))
    }

    #[inline]
    fn take_each(&mut self, max: usize, loans: bool, mut each: impl FnMut(Frame)) -> Result<(), RingCorrupt> {
        let taking = &self.lane.taking;
        let Some(lock) = taking.lock.try_lock(Holder::Seat(self.seat)) else { return Ok(()) }; // T1
        let mut taken = 0;
        let walked = Walk::from_word(taking.cursor.load(Relaxed), &self.classes).and_then(|mut walk| {
            let outcome =
                walk_frames(&mut walk, None, &self.area, &self.classes, |header, word, Walk { ring, position }| {
                    let (len, is_loan) = match header {
                        FrameHeader::Data { len } => (len, false),
                        FrameHeader::Loan { len } if loans => (len, true),
                        FrameHeader::Loan { .. } => return Next::Here,
                        _ => return Next::On,
                    };
                    // T2. Relaxed: who else looks at a taken frame has the lock after us.
                    word.store(FrameHeader::Taken { len, seat: self.seat, is_loan }.to_word(), Relaxed);
                    each(if is_loan { Frame::loan(ring, position, len) } else { Frame::new(ring, position, len) });
                    taken += 1;
                    if taken < max { Next::On } else { Next::Past }
                });
            taking.cursor.store(walk.to_word(), Relaxed); // T3
            taking.messages.store(taking.messages.load(Relaxed).wrapping_add(taken as u64), Relaxed);
            outcome
        });
        self.contended |= lock.unlock().0;
        // What stands behind good frames is for the next look.
        if taken > 0 { Ok(()) } else { walked }
    }

    /// A one-word payload in the model.
    #[cfg(loom)]
    pub(crate) fn read_word(&self, frame: Frame) -> u64 {
        self.area.load_payload(frame.ring().offset(frame.position()) + WORD as usize)
    }

    /// Gives a taken frame back, to be the next one that is taken; false if another consumer is at it.
    pub(crate) fn give_back(&mut self, frame: Frame) -> bool {
        let Some(lock) = self.lane.taking.lock.try_lock(Holder::Seat(self.seat)) else { return false };
        rewind(&self.lane);
        let header = frame.ring().word(&self.area, frame.position());
        return_frame(&self.lane, header, frame.len, frame.is_loan());
        self.contended |= lock.unlock().0;
        true
    }

    /// Where the lane's frames are.
    #[cfg(loom)]
    pub(crate) fn area(&self) -> &Window {
        &self.area
    }

    /// Whether somebody failed to get the lock since this was asked last: all who wait for the lane must be woken.
    #[inline]
    pub(crate) fn take_contended(&mut self) -> bool {
        std::mem::take(&mut self.contended)
    }
}

/// T4: is done with a taken frame. In any order.
#[inline]
pub(crate) fn done(area: &Window, frame: Frame) {
    let word = frame.ring().word(area, frame.position());
    // Edge `done`, writing end.
    word.store(FrameHeader::Done { len: frame.ring_len() }.to_word(), Release);
}

/// The loans that are committed in a lane and not released, of which nobody reads; shows each with its block's number.
#[cfg(not(loom))]
pub(crate) fn unreleased_loans(
    lane: &Lane,
    area: &Window,
    classes: &std::ops::RangeInclusive<u8>,
    mut each: impl FnMut(u64, u64),
) -> Result<(), RingCorrupt> {
    let mut walk = Walk::from_word(lane.consumer().cursor.load(Acquire), classes)?;
    walk_frames(&mut walk, None, area, classes, |header, _, Walk { ring, position }| {
        if matches!(header, FrameHeader::Loan { .. }) {
            each(position, ring.word(area, position + WORD).load(Relaxed));
        }
        Next::On
    })
}

/// G1 to G3: gives back what the consumer in the seat `dead`, which is proven dead, has taken and not done, and shows each of
/// these frames first. May be called again.
pub(crate) fn give_back_of(
    lane: &Lane,
    area: &Window,
    classes: &std::ops::RangeInclusive<u8>,
    _lock: &Held<'_>,
    dead: u8,
    mut returned: impl FnMut(Frame),
) -> Result<(), RingCorrupt> {
    let mut walk = Walk::from_word(rewind(lane), classes)?;
    // To the last committed frame: a sweeper that died may have rewound the takers' cursor.
    walk_frames(&mut walk, None, area, classes, |header, word, Walk { ring, position }| {
        if let FrameHeader::Taken { len, seat, is_loan } = header
            && seat == dead
        {
            returned(if is_loan { Frame::loan(ring, position, len) } else { Frame::new(ring, position, len) });
            return_frame(lane, word, len, is_loan);
        }
        Next::On
    })
}

/// G2: takers look again from the first frame that is not given back to the producer. Before any frame is returned, so
/// that none is passed over if this process dies.
fn rewind(lane: &Lane) -> u64 {
    let released = lane.consumer().cursor.load(Relaxed);
    lane.taking.cursor.store(released, Relaxed);
    released
}

/// G3
fn return_frame(lane: &Lane, word: &AtomicU64, len: u32, is_loan: bool) {
    let header = if is_loan { FrameHeader::Loan { len } } else { FrameHeader::Data { len } };
    word.store(header.to_word(), Relaxed);
    let messages = &lane.taking.messages;
    messages.store(messages.load(Relaxed).wrapping_sub(1), Relaxed);
}

/// C1 and C2 for who has the lock: shows `each` the committed frames from `walk` on, to the cursor `until` or as long as it
/// says so, and moves `walk` there.
fn walk_frames<'a>(
    walk: &mut Walk,
    until: Option<u64>,
    area: &'a Window,
    classes: &std::ops::RangeInclusive<u8>,
    mut each: impl FnMut(FrameHeader, &'a AtomicU64, Walk) -> Next,
) -> Result<(), RingCorrupt> {
    let mut end = walk.position + walk.ring.bytes();
    let mut moves = classes.clone();
    while walk.position < end && until != Some(walk.to_word()) {
        let Walk { ring, position } = *walk;
        let at = ring.word(area, position);
        let word = at.load(Acquire); // edge `committed`, reading end
        let header = FrameHeader::from_word(word);
        if let Some((header, bytes)) = header.and_then(|header| Some((header, header.frame_bytes()?)))
            && bytes <= ring.to_end(position)
        {
            let next = each(header, at, *walk);
            if next != Next::Here {
                walk.position += bytes;
            }
            if next != Next::On {
                return Ok(());
            }
            continue;
        }
        match header {
            Some(FrameHeader::Empty) => return Ok(()),
            Some(FrameHeader::Pad) => walk.position += ring.to_end(position),
            // An honest lane has as many rings as classes.
            Some(FrameHeader::Closed { class })
                if class != ring.class && classes.contains(&class) && moves.next().is_some() =>
            {
                walk.ring = Ring::of(class);
                end = position + walk.ring.bytes();
            }
            _ => return Err(RingCorrupt { position, word }),
        }
    }
    Ok(())
}

/// D1: gives the bytes of frames that are done, up to the first that is not, back to the producer. Returns the position
/// that it may write up to a ring's bytes beyond.
pub(crate) fn collect(
    lane: &Lane,
    area: &Window,
    classes: &std::ops::RangeInclusive<u8>,
    _lock: &Held<'_>,
) -> Result<u64, RingCorrupt> {
    let mut walk = Walk::from_word(lane.consumer().cursor.load(Relaxed), classes)?;
    // Not past the takers' cursor, where they go on.
    let until = lane.taking.cursor.load(Relaxed);
    // Edge `done`, reading end. What is spoilt is not given back.
    let _to_the_first_that_is_not_done =
        walk_frames(&mut walk, Some(until), area, classes, |header, _, _| match header {
            FrameHeader::Done { .. } => Next::On,
            _ => Next::Here,
        });
    // Edge `passed`, writing end.
    lane.consumer().cursor.store(walk.to_word(), Release);
    Ok(walk.position)
}
