//! The reading side of a lane that many consumers share. Steps T1-T4 and G1-G3 are those of `PROTOCOL.md`.

#[cfg(not(loom))]
pub(crate) mod at_hand;
#[cfg(not(loom))]
pub(crate) mod loans;

use crate::prim::AtomicU64;
use crate::prim::Ordering::{Acquire, Relaxed, Release};
use crate::prim::step;
use crate::ring::consumer::Frame;
use crate::ring::layout::Lane;
use crate::ring::lock::{Held, Holder};
use crate::ring::word::{Cursor, FrameHeader, LOAN_LEN, POSITION_END, WORD};
use crate::ring::{Ring, RingCorrupt, alone};
use crate::shm::window::Window;

/// One of the competing consumers of a lane.
#[derive(Debug)]
pub(crate) struct Taker {
    lane: Lane,
    area: Window,
    seat: u8,
    /// Whether the last look failed to get the lock, or ended before a claim.
    busy: bool,
    /// Somebody failed to get the lock while this taker had it, or can be given something back that it has passed.
    awaited: bool,
    classes: std::ops::RangeInclusive<u8>,
}

/// Who has frames of a lane that are taken and not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Out {
    /// The consumer that asks.
    pub(crate) own: bool,
    /// Others.
    pub(crate) others: bool,
}

/// How a look at a lane's frames goes on after one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// With the next one.
    On,
    /// It ends behind this one.
    Past,
    /// It ends before this one.
    Here,
}

/// Where a look at a lane's frames has come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    pub(super) ring: Ring,
    pub(super) position: u64,
}

impl Walk {
    pub(super) fn from_word(word: u64, classes: &std::ops::RangeInclusive<u8>) -> Result<Self, RingCorrupt> {
        let Cursor { class, position } = Cursor::from_word(word);
        if !classes.contains(&class) || !position.is_multiple_of(WORD) || position >= POSITION_END {
            return Err(RingCorrupt { position, word });
        }
        Ok(Self { ring: Ring::of(class), position })
    }

    pub(super) fn to_word(self) -> u64 {
        Cursor { class: self.ring.class, position: self.position }.to_word()
    }
}

impl Taker {
    /// Joins the lane's consumers, as the one in `seat`.
    pub(crate) fn attach(
        lane: Lane,
        area: Window,
        classes: std::ops::RangeInclusive<u8>,
        seat: u8,
    ) -> Result<Self, RingCorrupt> {
        Walk::from_word(lane.taking.cursor.load(Relaxed), &classes)?;
        Ok(Self { lane, area, seat, busy: false, awaited: false, classes })
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
        if max == 0 {
            return Ok(());
        }
        self.take_each(max, false, |frame| frames.push(frame))
    }

    #[inline]
    fn take_each(&mut self, max: usize, loans: bool, mut each: impl FnMut(Frame)) -> Result<(), RingCorrupt> {
        let taking = &self.lane.taking;
        let Some(lock) = taking.lock.try_lock(Holder::Seat(self.seat)) else {
            self.busy = true;
            return Ok(()); // T1
        };
        step("take.locked");
        self.busy = false;
        if alone::is_alone(&self.lane) {
            // Whoever had it shared has died about it.
            self.busy = true;
            self.awaited |= lock.unlock().0;
            return Ok(());
        }
        let (mut taken, mut passed_done, mut is_blocked) = (0, false, false);
        let walked = Walk::from_word(taking.cursor.load(Relaxed), &self.classes).and_then(|mut walk| {
            let outcome =
                walk_frames(&mut walk, None, &self.area, &self.classes, |header, word, Walk { ring, position }| {
                    let (len, is_loan) = match header {
                        FrameHeader::Data { len } => (len, false),
                        FrameHeader::Loan { len } if loans => (len, true),
                        FrameHeader::Loan { .. } => return Next::Here,
                        FrameHeader::Claimed { .. } => {
                            is_blocked = true;
                            return Next::Here;
                        }
                        FrameHeader::Done { .. } | FrameHeader::Void { .. } => {
                            passed_done = true;
                            return Next::On;
                        }
                        _ => return Next::On,
                    };
                    // T2. Release: edge `committed` goes on to who looks at the frame after our death, without our unlock.
                    word.store(FrameHeader::Taken { len, seat: self.seat, is_loan }.to_word(), Release);
                    step("take.marked");
                    each(if is_loan { Frame::loan(ring, position, len) } else { Frame::new(ring, position, len) });
                    taken += 1;
                    if taken < max { Next::On } else { Next::Past }
                });
            taking.cursor.store(walk.to_word(), Relaxed); // T3
            taking.messages.store(taking.messages.load(Relaxed).wrapping_add(taken as u64), Relaxed);
            step("take.passed");
            outcome
        });
        self.busy = is_blocked && taken == 0;
        self.awaited |= lock.unlock().0 | passed_done;
        step("take.unlocked");
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
        if alone::is_alone(&self.lane) {
            self.awaited |= lock.unlock().0;
            return false;
        }
        rewind(&self.lane, Walk { ring: frame.ring(), position: frame.position() });
        let header = frame.ring().word(&self.area, frame.position());
        return_frame(&self.lane, header, frame.len, frame.is_loan());
        self.awaited |= lock.unlock().0;
        true
    }

    /// Where the lane's frames are.
    #[cfg(loom)]
    pub(crate) fn area(&self) -> &Window {
        &self.area
    }

    /// Whether the last look found somebody else at the lane, or a claim: then it says nothing of what is there.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy
    }

    /// What is taken and not done; `None` if somebody else is at the lane.
    pub(crate) fn out(&mut self) -> Option<Out> {
        let lock = self.lane.taking.lock.try_lock(Holder::Seat(self.seat))?;
        let is_shared = !alone::is_alone(&self.lane);
        let out = out(&self.lane, &self.area, &self.classes, &lock, self.seat);
        self.awaited |= lock.unlock().0;
        is_shared.then_some(out)
    }

    /// Whether there was, since this was asked last, what others may sleep for: all who wait for the lane must be woken.
    #[inline]
    pub(crate) fn take_awaited(&mut self) -> bool {
        std::mem::take(&mut self.awaited)
    }
}

/// T4: is done with a taken frame. In any order.
#[inline]
pub(crate) fn done(area: &Window, frame: Frame) {
    let word = frame.ring().word(area, frame.position());
    // Edge `done`, writing end.
    word.store(FrameHeader::Done { len: frame.ring_len() }.to_word(), Release);
    step("done.marked");
}

/// What is taken and not done, as the consumer in `own` sees it. What is given back and not taken again is others'.
pub(crate) fn out(
    lane: &Lane,
    area: &Window,
    classes: &std::ops::RangeInclusive<u8>,
    _lock: &Held<'_>,
    own: u8,
) -> Out {
    let mut out = Out::default();
    let _to_what_is_spoilt = Walk::from_word(alone::unreleased(lane), classes).and_then(|mut walk| {
        walk_frames(&mut walk, None, area, classes, |header, _, _| {
            match header {
                FrameHeader::Taken { seat, .. } => {
                    out.own |= seat == own;
                    out.others |= seat != own;
                }
                FrameHeader::Data { .. } | FrameHeader::Loan { .. } => out.others = true,
                _ => {}
            }
            Next::On
        })
    });
    out
}

/// Where a loan's frame stands, and its first word: the block's number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoanAt {
    pub(crate) position: u64,
    pub(crate) number: u64,
}

/// G1 to G3: gives back what the consumer in the seat `dead`, which is proven dead, has taken and not done, and says so before
/// each frame. May be called again.
pub(crate) fn give_back_of(
    lane: &Lane,
    area: &Window,
    classes: &std::ops::RangeInclusive<u8>,
    _lock: &Held<'_>,
    dead: u8,
    mut returned: impl FnMut(Option<LoanAt>),
) -> Result<(), RingCorrupt> {
    let mut walk = Walk::from_word(lane.consumer().cursor.load(Relaxed), classes)?;
    let mut rewound = false;
    // To the last committed frame: a sweeper that died may have rewound the takers' cursor.
    walk_frames(&mut walk, None, area, classes, |header, word, at| {
        if let FrameHeader::Taken { len, seat, is_loan } = header
            && seat == dead
        {
            if !std::mem::replace(&mut rewound, true) {
                rewind(lane, at); // G2
            }
            let number = || at.ring.word(area, at.position + WORD).load(Relaxed);
            returned(is_loan.then(|| LoanAt { position: at.position, number: number() }));
            return_frame(lane, word, len, is_loan);
        }
        Next::On
    })
}

/// G2: takers look again from there, if they are further. Before a frame there is returned, so that it is not passed over
/// if this process dies.
fn rewind(lane: &Lane, to: Walk) {
    let cursor = &lane.taking.cursor;
    // At one position they stand behind a move and we before it, if at all.
    if Cursor::from_word(cursor.load(Relaxed)).position >= to.position {
        cursor.store(to.to_word(), Relaxed);
    }
}

/// G3
fn return_frame(lane: &Lane, word: &AtomicU64, len: u32, is_loan: bool) {
    let header = if is_loan { FrameHeader::Loan { len } } else { FrameHeader::Data { len } };
    // Release, as T2: edge `committed` goes on to who takes the frame after this sweeper's death.
    word.store(header.to_word(), Release);
    step("give_back.returned");
    let returned = &lane.taking.returned;
    returned.store(returned.load(Relaxed).wrapping_add(1), Relaxed);
}

/// C1 and C2 for who has the lock: shows `each` the committed frames from `walk` on, to the cursor `until` or as long as it
/// says so, and moves `walk` there.
pub(super) fn walk_frames<'a>(
    walk: &mut Walk,
    until: Option<u64>,
    area: &'a Window,
    classes: &std::ops::RangeInclusive<u8>,
    mut each: impl FnMut(FrameHeader, &'a AtomicU64, Walk) -> Next,
) -> Result<(), RingCorrupt> {
    let mut end = (walk.position + walk.ring.bytes()).min(POSITION_END);
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
                end = (position + walk.ring.bytes()).min(POSITION_END);
            }
            _ => return Err(RingCorrupt { position, word }),
        }
    }
    Ok(())
}

/// Whether [`collect`] may find something, for the producer, without the lock: only it writes over what stands there.
pub(crate) fn may_collect(lane: &Lane, area: &Window, classes: &std::ops::RangeInclusive<u8>) -> bool {
    let Ok(walk) = Walk::from_word(lane.consumer().cursor.load(Relaxed), classes) else { return false };
    let header = FrameHeader::from_word(walk.ring.word(area, walk.position).load(Relaxed));
    !matches!(
        header,
        Some(
            FrameHeader::Data { .. }
                | FrameHeader::Loan { .. }
                | FrameHeader::Taken { .. }
                | FrameHeader::Claimed { .. }
        )
    )
}

/// D1: gives the bytes of frames that are done, up to the first that is not, back to the producer. Returns the position
/// that it may write up to a ring's bytes beyond.
pub(crate) fn collect(
    lane: &Lane,
    area: &Window,
    classes: &std::ops::RangeInclusive<u8>,
    _lock: &Held<'_>,
) -> Result<u64, RingCorrupt> {
    let mut walk = Walk::from_word(alone::unreleased(lane), classes)?;
    if alone::is_alone(lane) {
        return Ok(walk.position);
    }
    // Not past the takers' cursor, where they go on.
    let until = lane.taking.cursor.load(Relaxed);
    // Edge `done`, reading end. What is spoilt is not given back.
    let _to_the_first_that_is_not_done =
        walk_frames(&mut walk, Some(until), area, classes, |header, _, _| match header {
            FrameHeader::Done { .. } | FrameHeader::Void { .. } => Next::On,
            _ => Next::Here,
        });
    // Edge `passed`, writing end.
    lane.consumer().cursor.store(walk.to_word(), Release);
    step("collect.published");
    Ok(walk.position)
}

/// O4: drops the frames that would be taken next, one by one, until `enough` of the position that [`collect`] finds, unless
/// one that is taken and not done stands before them. Shows each loan that it drops. Returns that position.
pub(crate) fn drop_oldest(
    lane: &Lane,
    area: &Window,
    classes: &std::ops::RangeInclusive<u8>,
    lock: &Held<'_>,
    enough: impl Fn(u64) -> bool,
    mut loan: impl FnMut(u64, u64),
) -> Result<u64, RingCorrupt> {
    loop {
        let position = collect(lane, area, classes, lock)?;
        let taken_until = lane.taking.cursor.load(Relaxed);
        if enough(position) || lane.consumer().cursor.load(Relaxed) != taken_until {
            return Ok(position);
        }
        let mut walk = Walk::from_word(taken_until, classes)?;
        let (from, mut dropped) = (walk.position, false);
        walk_frames(&mut walk, None, area, classes, |header, word, Walk { ring, position }| {
            // What was passed, a pad or what is done, may be room enough.
            if position != from {
                return Next::Here;
            }
            let (len, block) = match header {
                FrameHeader::Data { len } => (len, None),
                FrameHeader::Loan { .. } => (LOAN_LEN, Some(ring.word(area, position + WORD).load(Relaxed))),
                FrameHeader::Claimed { .. } => return Next::Here,
                _ => return Next::On,
            };
            word.store(FrameHeader::Done { len }.to_word(), Relaxed);
            step("drop.marked");
            dropped = true;
            // Not before: a frame whose block is free is never found again.
            block.into_iter().for_each(|block| loan(position, block));
            Next::Past
        })?;
        lane.taking.cursor.store(walk.to_word(), Relaxed);
        step("drop.passed");
        if !dropped {
            if walk.position != from {
                continue;
            }
            return collect(lane, area, classes, lock);
        }
        lane.taking.dropped.store(lane.taking.dropped.load(Relaxed).wrapping_add(1), Relaxed);
        lane.taking.messages.store(lane.taking.messages.load(Relaxed).wrapping_add(1), Relaxed);
    }
}
