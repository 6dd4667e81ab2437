//! The reading side of a lane. Steps C1-C4 are those of `PROTOCOL.md`.

use crate::prim::Ordering::{Acquire, Relaxed, Release};
use crate::prim::step;
use crate::ring::followers::HELD;
use crate::ring::layout::{Lane, SEATS, Side};
use crate::ring::word::{Cursor, FrameHeader, LOAN_LEN, POSITION_END, WORD, frame_bytes};
use crate::ring::{Ring, RingCorrupt};
use crate::shm::window::Window;

/// [`Consumer::attach`]: by the words of the one that is alone.
pub(super) const ALONE: u8 = SEATS as u8;
/// Bytes of a cache line.
const LINE: u64 = 64;
/// Bytes read between two flushes, so that an answer to a single message does not wait for one.
const FLUSH_BYTES: u64 = 512;
/// Longer frames are not flushed: `cargo xtask bench peers` shows those of 16 KiB to be three times as fast without, those
/// of 1 KiB twice as fast or three times as slow, by the state that the machine is in.
const FLUSH_FRAME_MAX: u64 = 4096;
/// Pads and moves that one look follows, so that a hostile producer cannot keep it busy.
const HOPS_MAX: u32 = 64;

/// The one consumer of a lane, one of those that each get every frame, or one that is alone among those that may compete.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(super) lane: Lane,
    /// Whose words of the lane are this consumer's: those of a seat, or [`ALONE`].
    seat: usize,
    pub(super) area: Window,
    ring: Ring,
    position: u64,
    /// Up to where what was read is out of the caches.
    flushed: u64,
    pub(super) messages: u64,
    /// It has passed what was no frame, which is room for the producer.
    passed: bool,
    pub(super) classes: std::ops::RangeInclusive<u8>,
}

/// A committed frame that has not been released.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// [`Cursor`] of its header, and [`LOAN`]. In one word, so that a frame is passed on in two registers.
    cursor: u64,
    /// Bytes of the payload.
    pub(crate) len: u32,
}

/// Bit of [`Frame::cursor`] that says that the payload is in a block.
const LOAN: u64 = POSITION_END;

impl Frame {
    #[inline]
    pub(super) fn new(ring: Ring, position: u64, len: u32) -> Self {
        Self { cursor: Cursor { class: ring.class, position }.to_word(), len }
    }

    pub(super) fn loan(ring: Ring, position: u64, len: u32) -> Self {
        Self { cursor: Cursor { class: ring.class, position }.to_word() | LOAN, len }
    }

    /// Whether the payload is in a block.
    #[inline]
    pub(crate) fn is_loan(self) -> bool {
        self.cursor & LOAN != 0
    }

    /// Where the frame stands, bytes from the lane's beginning.
    #[inline]
    pub(crate) fn position(self) -> u64 {
        Cursor::from_word(self.cursor & !LOAN).position
    }

    #[inline]
    pub(super) fn ring(self) -> Ring {
        Ring::of(Cursor::from_word(self.cursor).class)
    }

    /// Payload bytes in the ring.
    #[inline]
    pub(super) fn ring_len(self) -> u32 {
        if self.is_loan() { LOAN_LEN } else { self.len }
    }

    #[inline]
    fn bytes(self) -> u64 {
        frame_bytes(self.ring_len())
    }

    /// [`Cursor`] of where the frame ends.
    #[inline]
    pub(crate) fn end(self) -> u64 {
        (self.cursor & !LOAN) + self.bytes()
    }

    /// Bytes of the ring that it stands in.
    #[inline]
    pub(crate) fn ring_bytes(self) -> u64 {
        self.ring().bytes()
    }
}

/// A payload in place. Whoever has it must be done with it when its frame is released.
#[cfg(not(loom))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Payload {
    at: std::ptr::NonNull<u8>,
    len: usize,
}

// SAFETY: bytes that nobody writes while the payload is in use, as those of a `&[u8]`.
#[cfg(not(loom))]
unsafe impl Send for Payload {}
// SAFETY: as above.
#[cfg(not(loom))]
unsafe impl Sync for Payload {}

#[cfg(not(loom))]
impl Payload {
    #[inline]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { at: std::ptr::NonNull::from(bytes).cast(), len: bytes.len() }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: made from a slice of a frame or of its block, whose bytes are mapped for as long as the receiver is that
        // the holder has; the holder releases the frame last of all, and a producer that keeps the protocol writes there
        // only after that.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}

/// The payloads of a lane's frames.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct Payloads(pub(crate) Window);

#[cfg(not(loom))]
impl Payloads {
    /// The payload of a frame that was peeked or taken in this lane and is not released, in place. Of a loan, the number of
    /// its block.
    #[inline]
    pub(crate) fn of(&self, frame: Frame) -> &[u8] {
        let offset = frame.ring().offset(frame.position()) + WORD as usize;
        // SAFETY: the frame was committed (edge `committed`) and its holder has not released it: `release` and `done` are
        // the last that its holder does with it. A producer that keeps the protocol writes there only after that.
        unsafe { self.0.bytes(offset, frame.ring_len() as usize) }
    }
}

#[inline]
fn side(lane: &Lane, seat: usize) -> &Side {
    // Never more, which the compiler cannot know.
    &lane.consumers[seat.min(SEATS)]
}

impl Consumer {
    /// Goes on where the last consumer in that seat has released, or where it joined. Seats are less than [`SEATS`].
    pub(crate) fn attach(
        lane: Lane,
        area: Window,
        classes: std::ops::RangeInclusive<u8>,
        seat: u8,
    ) -> Result<Self, RingCorrupt> {
        let seat = usize::from(seat);
        let own = side(&lane, seat);
        let (cursor, messages) = (Cursor::from_word(own.cursor.load(Acquire) & !HELD), own.messages.load(Relaxed));
        if !classes.contains(&cursor.class) || !cursor.position.is_multiple_of(WORD) || cursor.position >= POSITION_END
        {
            return Err(RingCorrupt { position: cursor.position, word: cursor.to_word() });
        }
        Ok(Self {
            ring: Ring::of(cursor.class),
            position: cursor.position,
            flushed: cursor.position,
            messages,
            passed: false,
            lane,
            seat,
            area,
            classes,
        })
    }

    /// Stands at a cursor that somebody else has moved.
    pub(super) fn stand_at(&mut self, word: u64) -> Result<(), RingCorrupt> {
        let Cursor { class, position } = Cursor::from_word(word);
        if !self.classes.contains(&class) || !position.is_multiple_of(WORD) || position >= POSITION_END {
            return Err(RingCorrupt { position, word });
        }
        if position != self.position {
            self.messages = side(&self.lane, self.seat).messages.load(Relaxed);
            self.flushed = position;
        }
        (self.ring, self.position) = (Ring::of(class), position);
        Ok(())
    }

    /// Where this consumer stands.
    #[inline]
    pub(super) fn cursor(&self) -> u64 {
        Cursor { class: self.ring.class, position: self.position }.to_word()
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

    /// The next committed frame, if it is there now and no loan: what [`Consumer::peek`] finds nearly always, in as few
    /// steps as can be.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn glance(&self) -> Option<(Frame, Payload)> {
        let frame = self.frame(self.position, self.header(self.position))?;
        let offset = self.ring.offset(self.position) + WORD as usize;
        // SAFETY: as in `Payloads::of`.
        Some((frame, Payload::of(unsafe { self.area.bytes(offset, frame.len as usize) })))
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
        // What is past the end of positions is no frame, so that no bit of one is taken for another's.
        let fits = frame_bytes(len) <= self.ring.to_end(position) && position < POSITION_END;
        fits.then_some(Frame::new(self.ring, position, len))
    }

    /// The loan at `position` whose header is `word`; `None` if it says something else, or cannot be.
    fn loan(&self, position: u64, word: u64) -> Option<Frame> {
        match FrameHeader::from_word(word) {
            Some(FrameHeader::Loan { len })
                if frame_bytes(LOAN_LEN) <= self.ring.to_end(position) && position < POSITION_END =>
            {
                Some(Frame::loan(self.ring, position, len))
            }
            _ => None,
        }
    }

    /// The next committed frame after what `word`, which is neither a frame nor empty, says: C2.
    #[cold]
    fn peek_past(&mut self, mut word: u64) -> Result<Option<Frame>, RingCorrupt> {
        if let Some(loan) = self.loan(self.position, word) {
            return Ok(Some(loan));
        }
        // An honest lane has at most a pad and a move before a frame, each further pair needs another move; and what is void
        // is less than a ring.
        let (mut padded, mut hops, mut void_end) = (false, 1, self.position + self.ring.bytes());
        while hops < HOPS_MAX {
            hops += 1;
            match FrameHeader::from_word(word) {
                Some(FrameHeader::Empty | FrameHeader::Claimed { .. }) => return Ok(None),
                Some(void @ FrameHeader::Void { .. })
                    if let Some(bytes) = void.frame_bytes()
                        && bytes <= self.ring.to_end(self.position)
                        && self.position < POSITION_END =>
                {
                    padded = false;
                    self.position += bytes;
                    self.passed = true;
                    self.publish();
                    hops -= u32::from(self.position < void_end);
                }
                Some(FrameHeader::Pad) if !padded && self.position < POSITION_END => {
                    padded = true;
                    self.position += self.ring.to_end(self.position);
                }
                Some(FrameHeader::Closed { class }) if class != self.ring.class && self.classes.contains(&class) => {
                    padded = false;
                    void_end = self.position + Ring::of(class).bytes();
                    self.ring = Ring::of(class);
                    self.flushed = self.position;
                    self.publish(); // edge `passed`, writing end
                    step("receive.moved");
                }
                _ => return Err(RingCorrupt { position: self.position, word }),
            }
            word = self.header(self.position);
            if let Some(frame) = self.frame(self.position, word).or_else(|| self.loan(self.position, word)) {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Whether something stands where the last look, which found nothing, has ended: a claim, behind which there may be frames,
    /// or what has come since.
    pub(crate) fn is_something_there(&self) -> bool {
        self.header(self.position) != FrameHeader::Empty.to_word()
    }

    /// Whether there was, since this was asked last, what the producer may wait for: it must be woken.
    #[inline]
    pub(crate) fn take_passed(&mut self) -> bool {
        self.passed && std::mem::take(&mut self.passed)
    }

    /// Adds to `frames` what is committed after the frame peeked last, `first` included, to the end of the ring, to
    /// `max` frames, to a loan or to what is none: what stands there is for the next look.
    pub(crate) fn peek_batch(&self, first: Frame, max: usize, frames: &mut Vec<Frame>) {
        frames.push(first);
        let mut position = first.position() + first.bytes();
        // No producer is a whole ring ahead, so one that seems to be is not followed in circles.
        let end = first.position() + self.ring.bytes();
        while frames.len() < max && position < end {
            let word = self.header(position);
            if let Some(frame) = self.frame(position, word) {
                frames.push(frame);
                position += frame.bytes();
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
        self.position = last.position() + last.bytes();
        self.flush_read(last.bytes());
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
        let bytes = frame.bytes();
        self.position += bytes;
        self.messages = self.messages.wrapping_add(1);
        self.flush_read(bytes);
        self.publish();
    }

    /// Puts what was read out of the caches, some lines at a time: `cargo xtask bench ring` shows a stream to be two to ten
    /// times as fast. The producer, which writes there next, finds the lines in memory sooner than it gets them from this
    /// core's cache, where it must ask for one after the other.
    #[inline]
    fn flush_read(&mut self, frame_bytes: u64) {
        if self.position.wrapping_sub(self.flushed) >= FLUSH_BYTES {
            self.flush_lines(frame_bytes);
        }
    }

    #[inline(never)]
    fn flush_lines(&mut self, frame_bytes: u64) {
        if frame_bytes > FLUSH_FRAME_MAX {
            self.flushed = self.position & !(LINE - 1);
            return;
        }
        let first = self.flushed.max(self.position.saturating_sub(self.ring.bytes()));
        let mut line = first & !(LINE - 1);
        while line + LINE <= self.position {
            self.area.flush(self.ring.offset(line));
            line += LINE;
        }
        self.flushed = line;
    }

    #[inline]
    fn publish(&self) {
        // Edges `released` and `passed`, writing end.
        let own = side(&self.lane, self.seat);
        own.cursor.store(self.cursor(), Release);
        own.messages.store(self.messages, Relaxed);
        step("release.published");
    }
}
