//! The writing side of a lane. Steps P1-P5 and M1-M5 are those of `PROTOCOL.md`.

use crate::prim::Ordering::{Acquire, Relaxed, Release};
use crate::prim::step;
use crate::ring::alone::{self, Released};
use crate::ring::layout::Lane;
use crate::ring::lock::Holder;
#[cfg(not(loom))]
use crate::ring::word::LOAN_LEN;
use crate::ring::word::{Cursor, FrameHeader, Offer, POSITION_END, WORD, frame_bytes};
use crate::ring::{Event, Readers, Ring, RingCorrupt, WhenFull, followers, lapped, taker};
use crate::shm::window::Window;

/// The one producer of a lane.
#[derive(Debug)]
pub(crate) struct Producer {
    pub(super) lane: Lane,
    pub(super) area: Window,
    pub(super) ring: Ring,
    /// Where this producer's ring began: bytes before it do not count against the ring.
    pub(super) start: u64,
    /// Next position to write.
    pub(super) position: u64,
    /// The consumer's position when last read; it can only have grown since.
    consumer_seen: u64,
    /// Frames may end here without another look: before the ring's end, and so that a word fits behind them.
    limit: u64,
    messages: u64,
    /// The batch that is being written, from its first frame on.
    batch: Option<Batch>,
    pub(super) classes: std::ops::RangeInclusive<u8>,
    pub(super) readers: Readers,
    when_full: WhenFull,
    /// Where producers share the lane: up to where none of them has claimed what it has not committed.
    pub(super) settled: Option<u64>,
}

/// Frames that stand in the ring behind a first one whose header is still 0.
#[derive(Debug, Clone, Copy)]
struct Batch {
    position: u64,
    header: FrameHeader,
}

/// Room for one frame, found and not yet written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reservation {
    position: u64,
    /// As wide as a register: half of one, written and read back whole, would wait for every store before it.
    len: u64,
}

impl Reservation {
    /// Where the frame will stand, bytes from the lane's beginning.
    pub(crate) fn position(self) -> u64 {
        self.position
    }

    /// Bytes of the payload.
    #[inline]
    pub(crate) fn len(self) -> u32 {
        self.len as u32
    }
}

/// There is no room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RingFull;

/// Where the ring that the cursor is in began: no later than it stands, whatever a peer writes there.
pub(super) fn start(lane: &Lane, cursor: Cursor) -> u64 {
    lane.rings[usize::from(cursor.class)].start.load(Relaxed).min(cursor.position)
}

impl Producer {
    /// Takes over a lane that has a ring and no living producer: walks to the first uncommitted header.
    pub(crate) fn attach(
        lane: Lane,
        area: Window,
        classes: std::ops::RangeInclusive<u8>,
        (readers, when_full): (Readers, WhenFull),
    ) -> Result<Self, RingCorrupt> {
        let cursor = Cursor::from_word(lane.producing.cursor.load(Relaxed));
        let corrupt = |word| RingCorrupt { position: cursor.position, word };
        if !classes.contains(&cursor.class) || !cursor.position.is_multiple_of(WORD) || cursor.position >= POSITION_END
        {
            return Err(corrupt(cursor.to_word()));
        }
        let mut producer = Self {
            start: start(&lane, cursor),
            consumer_seen: 0,
            limit: 0,
            messages: lane.producing.messages.load(Relaxed),
            batch: None,
            ring: Ring::of(cursor.class),
            position: cursor.position,
            lane,
            area,
            classes,
            readers,
            when_full,
            settled: None,
        };
        producer.walk()?;
        Ok(producer)
    }

    fn walk(&mut self) -> Result<(), RingCorrupt> {
        // By P2 a dead producer is ahead of its cursor by less than its ring's bytes, whether by a frame or by a batch.
        let mut end = self.position + self.ring.bytes();
        let mut moved = false;
        while self.position < end {
            let word = self.ring.word(&self.area, self.position).load(Acquire);
            let corrupt = RingCorrupt { position: self.position, word };
            let header = FrameHeader::from_word(word).ok_or(corrupt)?;
            if let Some(bytes) = header.frame_bytes().filter(|&bytes| bytes <= self.ring.to_end(self.position)) {
                self.position += bytes;
                self.messages = self.messages.wrapping_add(1);
                continue;
            }
            match header {
                FrameHeader::Empty => return self.end_walk(corrupt),
                FrameHeader::Pad => self.position += self.ring.to_end(self.position),
                // It publishes each move before its next one.
                FrameHeader::Closed { class } if !moved && self.classes.contains(&class) => {
                    moved = true;
                    self.ring = Ring::of(class);
                    self.start = self.position;
                    end = self.position + self.ring.bytes();
                }
                _ => return Err(corrupt),
            }
        }
        Err(RingCorrupt { position: self.position, word: self.ring.word(&self.area, self.position).load(Relaxed) })
    }

    /// Stands at the first uncommitted header; completes a move that the dead producer began.
    fn end_walk(&mut self, corrupt: RingCorrupt) -> Result<(), RingCorrupt> {
        // Before the offer is cleared, as in `enter`: edge `moved` promises the cursor.
        self.publish();
        if let Offer::Taken { class } = Offer::from_word(self.lane.shape.offer.load(Acquire)) {
            if class == self.ring.class {
                self.lane.shape.offer.store(Offer::None.to_word(), Release);
            } else if self.classes.contains(&class) {
                self.enter(class);
            } else {
                return Err(corrupt);
            }
        }
        Ok(())
    }

    /// Finds room for `len` payload bytes, which must not exceed half the ring less two words.
    #[inline]
    pub(crate) fn reserve(&mut self, len: u32, on_event: impl FnMut(Event)) -> Result<Reservation, RingFull> {
        match self.reserve_at_hand(len) {
            Some(reservation) => Ok(reservation),
            None => self.reserve_elsewhere(len, on_event),
        }
    }

    /// As [`Producer::reserve`], if nothing needs to be done for it.
    #[inline]
    pub(crate) fn reserve_at_hand(&self, len: u32) -> Option<Reservation> {
        let fits = self.position + frame_bytes(len) <= self.limit;
        // P1: Relaxed, since M1's CAS is what acquires the offer.
        (fits && self.lane.shape.offer.load(Relaxed) == 0)
            .then_some(Reservation { position: self.position, len: len.into() })
    }

    #[inline(never)]
    fn reserve_elsewhere(&mut self, len: u32, on_event: impl FnMut(Event)) -> Result<Reservation, RingFull> {
        // P1
        if self.lane.shape.offer.load(Relaxed) != 0 && self.batch.is_none() {
            self.adopt_offer();
        }
        let frame = frame_bytes(len);
        let to_end = self.ring.to_end(self.position);
        let pad = if frame <= to_end { 0 } else { to_end };
        self.find_room(pad + frame + WORD, on_event)?;
        if pad != 0 {
            self.ring.word(&self.area, self.position + pad).store(FrameHeader::Empty.to_word(), Relaxed);
            // Edge `committed`, writing end.
            self.ring.word(&self.area, self.position).store(FrameHeader::Pad.to_word(), Release);
            step("claim.padded");
            self.position += pad;
        }
        let room_end = self.consumer_seen.max(self.start) + self.ring.bytes() - WORD;
        self.limit = room_end.min(self.position + self.ring.to_end(self.position));
        Ok(Reservation { position: self.position, len: len.into() })
    }

    fn find_room(&mut self, bytes: u64, on_event: impl FnMut(Event)) -> Result<(), RingFull> {
        if self.has_room(bytes, self.consumer_seen) {
            return Ok(());
        }
        let seen = match self.readers {
            // Edge `released`, reading end: the consumer is done with what we are about to overwrite.
            Readers::One => Cursor::from_word(self.lane.consumer().cursor.load(Acquire)).position,
            Readers::Competing => match alone::released(&self.lane) {
                Released::Alone(position) => position,
                Released::Changing => return Err(RingFull),
                Released::Shared => self.collect(bytes, on_event).ok_or(RingFull)?,
            },
            Readers::Each => self.slowest(bytes, on_event).min(self.settled.unwrap_or(u64::MAX)),
        };
        // A consumer ahead of us is a lie; it gets no room out of it.
        if seen <= self.position {
            self.consumer_seen = seen;
        }
        if self.has_room(bytes, self.consumer_seen) { Ok(()) } else { Err(RingFull) }
    }

    fn has_room(&self, bytes: u64, released: u64) -> bool {
        let used = self.position.wrapping_sub(released.max(self.start));
        used.checked_add(bytes).is_some_and(|needed| needed <= self.ring.bytes())
    }

    #[cold]
    fn slowest(&self, bytes: u64, mut on_event: impl FnMut(Event)) -> u64 {
        // Who joins from now on stands at the published position, or further on: that of the batch that is being written.
        let published = self.batch.map_or(self.position, |batch| batch.position);
        let slowest = || followers::slowest(&self.lane).map_or(published, |cursor| cursor.position);
        let position = slowest();
        if self.when_full == WhenFull::Wait || self.has_room(bytes, position) {
            return position;
        }
        let Some(lock) = self.lane.taking.lock.try_lock(Holder::Producer) else { return position };
        // Never past what is published.
        let target = (self.position + bytes).saturating_sub(self.ring.bytes()).min(published);
        lapped::lap(&self.lane, &self.area, &self.classes, &lock, target);
        if lock.unlock().0 {
            on_event(Event::Contended);
        }
        slowest()
    }

    #[cold]
    fn collect(&self, bytes: u64, mut on_event: impl FnMut(Event)) -> Option<u64> {
        let (lane, area, classes) = (&self.lane, &self.area, &self.classes);
        // Who changes the structure collects, too. Edge `passed`, reading end.
        let collected = Cursor::from_word(lane.consumer().cursor.load(Acquire)).position;
        if self.has_room(bytes, collected) {
            return Some(collected);
        }
        if self.when_full == WhenFull::Wait && !taker::may_collect(lane, area, classes) {
            return None;
        }
        let lock = self.lane.taking.lock.try_lock(Holder::Producer)?;
        let position = match self.when_full {
            WhenFull::Wait => taker::collect(lane, area, classes, &lock),
            WhenFull::DropOldest => {
                let enough = |position| self.has_room(bytes, position);
                taker::drop_oldest(lane, area, classes, &lock, enough, |position, block| {
                    on_event(Event::DroppedLoan { position, block });
                })
            }
        };
        if lock.unlock().0 {
            on_event(Event::Contended);
        }
        position.ok()
    }

    /// Drops the oldest frame that nobody has in hand; false if there is none, or if it cannot be done now.
    #[cfg(not(loom))]
    pub(crate) fn drop_oldest(&mut self, mut on_event: impl FnMut(Event)) -> bool {
        let (lane, area, classes) = (&self.lane, &self.area, &self.classes);
        let Some(lock) = lane.taking.lock.try_lock(Holder::Producer) else { return false };
        let dropped = match self.readers {
            Readers::One => false,
            Readers::Competing => {
                let dropped = || lane.taking.dropped.load(Relaxed);
                let before = dropped();
                let enough = |_| dropped() != before;
                let loan = |position, block| on_event(Event::DroppedLoan { position, block });
                let _spoilt = taker::drop_oldest(lane, area, classes, &lock, enough, loan);
                dropped() != before
            }
            Readers::Each => followers::slowest(lane).is_some_and(|slowest| {
                lapped::lap(lane, area, classes, &lock, (slowest.position + 1).min(self.position));
                followers::slowest(lane).is_none_or(|now| now.position > slowest.position)
            }),
        };
        if lock.unlock().0 {
            on_event(Event::Contended);
        }
        dropped
    }

    /// The payload bytes of a reservation, to fill.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn payload_mut(&mut self, reservation: Reservation) -> &mut [u8] {
        let offset = self.ring.offset(reservation.position) + WORD as usize;
        // SAFETY: the reserved bytes lie between our position and the consumer's, so by P2 the consumer has released
        // them, and by zero-ahead it will not look at them before the commit; `&mut self` keeps other claims away.
        unsafe { self.area.bytes_mut(offset, reservation.len as usize) }
    }

    /// The payload bytes of a reservation, to look at.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn payload(&self, reservation: Reservation) -> &[u8] {
        let offset = self.ring.offset(reservation.position) + WORD as usize;
        // SAFETY: as in `payload_mut`; `&self` keeps `payload_mut` of this producer away.
        unsafe { self.area.bytes(offset, reservation.len as usize) }
    }

    /// Fills a one-word payload in the model.
    #[cfg(loom)]
    pub(crate) fn write_word(&mut self, reservation: Reservation, value: u64) {
        self.area.store_payload(self.ring.offset(reservation.position) + WORD as usize, value);
    }

    /// Publishes the first `len` bytes of the reservation made last.
    #[inline]
    pub(crate) fn commit(&mut self, reservation: Reservation, len: u32) {
        debug_assert!(len <= reservation.len() && reservation.position == self.position);
        self.commit_frame(frame_bytes(len), FrameHeader::Data { len });
    }

    /// Publishes a loan of `len` bytes, in the block whose number the reservation made last was filled with.
    #[cfg(not(loom))]
    pub(crate) fn commit_loan(&mut self, reservation: Reservation, len: u32) {
        debug_assert!(LOAN_LEN == reservation.len() && reservation.position == self.position);
        self.commit_frame(frame_bytes(LOAN_LEN), FrameHeader::Loan { len });
    }

    #[inline]
    pub(super) fn commit_frame(&mut self, bytes: u64, header: FrameHeader) {
        let (begin, end) = (self.position, self.position + bytes);
        self.position = end;
        self.messages = self.messages.wrapping_add(1);
        self.ring.word(&self.area, end).store(FrameHeader::Empty.to_word(), Relaxed); // P3
        step("commit.ahead");
        // P4: edge `committed`, writing end.
        self.ring.word(&self.area, begin).store(header.to_word(), Release);
        step("commit.committed");
        self.publish(); // P5
        step("commit.published");
    }

    /// Has the next look for room find out anew what there is.
    pub(super) fn forget_room(&mut self) {
        self.limit = 0;
    }

    /// Where the next frame of a successor would stand: nothing was committed from there on.
    #[cfg(not(loom))]
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Adds the first `len` bytes of the reservation made last to the batch: B1.
    #[inline]
    pub(crate) fn append(&mut self, reservation: Reservation, len: u32) {
        debug_assert!(len <= reservation.len() && reservation.position == self.position);
        let header = FrameHeader::Data { len };
        match self.batch {
            None => self.batch = Some(Batch { position: self.position, header }),
            // Relaxed: the consumer comes here only past the batch's first header.
            Some(_) => self.ring.word(&self.area, self.position).store(header.to_word(), Relaxed),
        }
        self.position += frame_bytes(len);
        self.messages = self.messages.wrapping_add(1);
        step("batch.appended");
    }

    /// Commits the batch, if there is one, by the header of its first frame: B2.
    #[inline]
    pub(crate) fn commit_batch(&mut self) -> bool {
        let Some(Batch { position, header }) = self.batch.take() else { return false };
        self.ring.word(&self.area, self.position).store(FrameHeader::Empty.to_word(), Relaxed); // P3
        step("batch.ahead");
        // P4: edge `committed`, writing end, for every frame of the batch.
        self.ring.word(&self.area, position).store(header.to_word(), Release);
        step("batch.committed");
        self.publish(); // P5
        step("batch.published");
        true
    }

    #[inline]
    fn publish(&self) {
        let cursor = Cursor { class: self.ring.class, position: self.position };
        // Edge `published`, writing end: to a consumer that joins here. Other readers follow no pointer from these words; a
        // successor walks the headers.
        self.lane.producing.cursor.store(cursor.to_word(), Release);
        self.lane.producing.messages.store(self.messages, Relaxed);
    }

    #[cold]
    fn adopt_offer(&mut self) {
        let word = self.lane.shape.offer.load(Relaxed);
        let Offer::Offered { class } = Offer::from_word(word) else { return };
        if class == self.ring.class || !self.classes.contains(&class) {
            return;
        }
        // M1: edge `offered`, reading end.
        let taken = Offer::Taken { class }.to_word();
        if self.lane.shape.offer.compare_exchange(word, taken, Acquire, Relaxed).is_ok() {
            step("move.taken");
            self.enter(class);
        }
    }

    /// M2 to M5.
    fn enter(&mut self, class: u8) {
        let next = Ring::of(class);
        next.word(&self.area, self.position).store(FrameHeader::Empty.to_word(), Relaxed); // M2
        // Wrapping: the word is a peer's to spoil.
        let epoch = self.lane.shape.epoch.load(Relaxed).wrapping_add(1);
        let slot = &self.lane.rings[usize::from(class)];
        slot.start.store(self.position, Relaxed); // M3
        slot.state.store(epoch.wrapping_add(1), Relaxed);
        self.lane.shape.epoch.store(epoch, Relaxed);
        step("move.prepared");
        // M4: edge `closed`, writing end.
        let closed = FrameHeader::Closed { class }.to_word();
        self.ring.word(&self.area, self.position).store(closed, Release);
        step("move.closed");
        self.ring = next;
        self.start = self.position;
        self.limit = 0;
        self.publish();
        step("move.published");
        // M5: Release, so that a resizer that sees no offer sees the new ring's epoch and cursor (edge `moved`).
        self.lane.shape.offer.store(Offer::None.to_word(), Release);
        step("move.done");
    }

    /// Messages committed so far.
    #[cfg(not(loom))]
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// Bytes of the ring that is written now.
    pub(crate) fn ring_bytes(&self) -> u64 {
        self.ring.bytes()
    }
}
