//! The reading side of a lane. Steps C1-C4 are those of `PROTOCOL.md`.

use crate::prim::Ordering::{Acquire, Relaxed, Release};
use crate::ring::layout::Lane;
use crate::ring::word::{Cursor, FrameHeader, WORD, frame_bytes};
use crate::ring::{Ring, RingCorrupt};
use crate::shm::window::{Shared, Window};

/// Bytes of a cache line.
const LINE: u64 = 64;
/// Pads and moves that one look follows, so that a hostile producer cannot keep it busy.
const HOPS_MAX: u32 = 64;

/// The one consumer of a lane.
#[derive(Debug)]
pub(crate) struct Consumer {
    lane: Shared<Lane>,
    area: Window,
    ring: Ring,
    position: u64,
    messages: u64,
    classes: std::ops::RangeInclusive<u8>,
}

/// A committed frame that has not been released.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// [`Cursor`] of its header. In one word, so that a frame is passed on in two registers.
    cursor: u64,
    pub(super) len: u32,
}

impl Frame {
    #[inline]
    pub(super) fn new(ring: Ring, position: u64, len: u32) -> Self {
        Self { cursor: Cursor { class: ring.class, position }.to_word(), len }
    }

    #[inline]
    pub(super) fn position(self) -> u64 {
        Cursor::from_word(self.cursor).position
    }

    #[inline]
    pub(super) fn ring(self) -> Ring {
        Ring::of(Cursor::from_word(self.cursor).class)
    }
}

/// The payloads of a lane's frames.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct Payloads(pub(crate) Window);

#[cfg(not(loom))]
impl Payloads {
    /// The payload of a frame that was peeked or taken in this lane and is not released, in place.
    #[inline]
    pub(crate) fn of(&self, frame: Frame) -> &[u8] {
        let offset = frame.ring().offset(frame.position()) + WORD as usize;
        // SAFETY: the frame was committed (edge `committed`) and its holder has not released it: `release` and `done` are
        // the last that its holder does with it. A producer that keeps the protocol writes there only after that.
        unsafe { self.0.bytes(offset, frame.len as usize) }
    }
}

impl Consumer {
    /// Goes on where the last consumer of the lane has released.
    pub(crate) fn attach(
        lane: Shared<Lane>,
        area: Window,
        classes: std::ops::RangeInclusive<u8>,
    ) -> Result<Self, RingCorrupt> {
        let cursor = Cursor::from_word(lane.consumer.cursor.load(Acquire));
        if !classes.contains(&cursor.class) || !cursor.position.is_multiple_of(WORD) {
            return Err(RingCorrupt { position: cursor.position, word: cursor.to_word() });
        }
        Ok(Self {
            ring: Ring::of(cursor.class),
            position: cursor.position,
            messages: lane.consumer.messages.load(Relaxed),
            lane,
            area,
            classes,
        })
    }

    /// The next committed frame, if there is one now.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<Option<Frame>, RingCorrupt> {
        let word = self.header(self.position);
        if let Some(frame) = self.frame(self.position, word) {
            return Ok(Some(frame));
        }
        if word == FrameHeader::Empty.to_word() {
            // A frame's header and the end of a payload of up to 64 bytes are on two lines: have both on the way.
            self.area.prefetch(self.ring.offset(self.position + LINE));
            return Ok(None);
        }
        self.peek_past(word)
    }

    /// The header at `position`. Read once; to be checked, then used.
    #[inline]
    fn header(&self, position: u64) -> u64 {
        // C1: edge `committed` (and `closed`), reading end.
        self.ring.word(&self.area, position).load(Acquire)
    }

    /// The frame at `position` whose header is `word`; `None` if it says something else, or cannot be.
    #[inline]
    fn frame(&self, position: u64, word: u64) -> Option<Frame> {
        let len = FrameHeader::data_len(word)?;
        let fits = frame_bytes(len) <= self.ring.to_end(position);
        fits.then_some(Frame::new(self.ring, position, len))
    }

    /// The next committed frame after what `word`, which is neither a frame nor empty, says: C2.
    #[cold]
    fn peek_past(&mut self, mut word: u64) -> Result<Option<Frame>, RingCorrupt> {
        // An honest lane has at most a pad and a move before a frame; each further pair needs another move.
        for _ in 1..HOPS_MAX {
            match FrameHeader::from_word(word) {
                Some(FrameHeader::Empty) => return Ok(None),
                Some(FrameHeader::Pad) => self.position += self.ring.to_end(self.position),
                Some(FrameHeader::Closed { class }) if class != self.ring.class && self.classes.contains(&class) => {
                    self.ring = Ring::of(class);
                    self.publish(); // edge `passed`, writing end
                }
                _ => return Err(RingCorrupt { position: self.position, word }),
            }
            word = self.header(self.position);
            if let Some(frame) = self.frame(self.position, word) {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Adds to `frames` what is committed after the frame peeked last, `first` included, to the end of the ring, to
    /// `max` frames or to what is none: what stands there is for the next look.
    pub(crate) fn peek_batch(&self, first: Frame, max: usize, frames: &mut Vec<Frame>) {
        frames.push(first);
        let mut position = first.position() + frame_bytes(first.len);
        // No producer is a whole ring ahead, so one that seems to be is not followed in circles.
        let end = first.position() + self.ring.bytes();
        while frames.len() < max && position < end {
            let word = self.header(position);
            if let Some(frame) = self.frame(position, word) {
                frames.push(frame);
                position += frame_bytes(frame.len);
            } else if word == FrameHeader::Pad.to_word() {
                position += self.ring.to_end(position); // C2
            } else {
                // Another ring is entered only once this one has been read.
                return;
            }
        }
    }

    /// Gives the bytes of a batch back to the producer, all at once: C4.
    pub(crate) fn release_batch(&mut self, frames: &[Frame]) {
        let Some(last) = frames.last() else { return };
        self.position = last.position() + frame_bytes(last.len);
        self.messages = self.messages.wrapping_add(frames.len() as u64);
        self.publish();
    }

    /// A one-word payload in the model.
    #[cfg(loom)]
    pub(crate) fn read_word(&self, frame: Frame) -> u64 {
        self.area.load_payload(self.ring.offset(frame.position()) + WORD as usize)
    }

    /// Gives the bytes of the frame peeked last back to the producer: C4.
    #[inline]
    pub(crate) fn release(&mut self, frame: Frame) {
        debug_assert_eq!(frame.position(), self.position);
        self.position += frame_bytes(frame.len);
        self.messages = self.messages.wrapping_add(1);
        self.publish();
    }

    #[inline]
    fn publish(&self) {
        let cursor = Cursor { class: self.ring.class, position: self.position };
        // Edges `released` and `passed`, writing end.
        self.lane.consumer.cursor.store(cursor.to_word(), Release);
        self.lane.consumer.messages.store(self.messages, Relaxed);
    }
}
