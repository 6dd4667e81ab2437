//! Producers that share a lane, so that their frames are in one order. Steps Q1 to Q9 of `PROTOCOL.md`.

use crate::prim::Ordering::{Relaxed, Release};
use crate::prim::step;
use crate::ring::layout::Lane;
use crate::ring::lock::{Held, Holder};
use crate::ring::producer::{Producer, Reservation, RingFull, start};
use crate::ring::taker::{Next, Walk, walk_frames};
use crate::ring::word::{Cursor, FrameHeader, WORD, frame_bytes};
use crate::ring::{Event, Readers, Ring, RingCorrupt, resize};
use crate::shm::window::Window;

/// One of the producers of a lane that they share.
#[derive(Debug)]
pub(crate) struct Claimant {
    lane: Lane,
    area: Window,
    number: u8,
    /// What it has claimed and neither committed nor given up.
    open: Option<Claimed>,
}

/// Room with a place in the order.
#[derive(Debug, Clone, Copy)]
struct Claimed {
    ring: Ring,
    reservation: Reservation,
}

impl Claimant {
    pub(crate) fn new(lane: Lane, area: Window, number: u8) -> Self {
        Self { lane, area, number, open: None }
    }

    /// Q1 to Q4: finds room for `len` payload bytes behind all that was claimed before, by `producer`, this one's view of the
    /// lane.
    pub(crate) fn claim(
        &mut self,
        producer: &mut Producer,
        len: u32,
        mut on_event: impl FnMut(Event),
    ) -> Result<Reservation, RingFull> {
        if self.give_up() {
            on_event(Event::Voided); // It was forgotten.
        }
        let number = self.number;
        let (ring, reservation) = self.in_turn(producer, on_event, |producer, on_event| {
            let reservation = producer.reserve(len, on_event)?;
            Ok((producer.claim(reservation, number), reservation))
        })?;
        self.open = Some(Claimed { ring, reservation });
        Ok(reservation)
    }

    /// Has `producer` do what only one does at a time: Q1, Q2 and the end of Q4.
    fn in_turn<T, E: FnMut(Event)>(
        &self,
        producer: &mut Producer,
        mut on_event: E,
        act: impl FnOnce(&mut Producer, &mut E) -> Result<T, RingFull>,
    ) -> Result<T, RingFull> {
        let turn = self.lane.producing.lock.try_lock(Holder::Sender(self.number)).ok_or(RingFull)?;
        step("turn.taken");
        // Where its words are spoilt there is no room.
        let refreshed = producer.refresh(&turn).map_err(|_| RingFull);
        let outcome = refreshed.and_then(|()| act(producer, &mut on_event));
        producer.forget_room();
        if turn.unlock().0 {
            on_event(Event::TurnAwaited);
        }
        step("turn.left");
        outcome
    }

    /// Q9, if it is this one's turn.
    #[cfg(not(loom))]
    pub(crate) fn look(&self, producer: &mut Producer, on_event: impl FnMut(Event)) {
        let _the_next_look_will_do = self.in_turn(producer, on_event, |_, _| Ok(()));
    }

    /// As [`Producer::drop_oldest`], in turn.
    #[cfg(not(loom))]
    pub(crate) fn drop_oldest(&self, producer: &mut Producer, on_event: impl FnMut(Event)) -> bool {
        self.in_turn(producer, on_event, |producer, on_event| Ok(producer.drop_oldest(on_event))).unwrap_or(false)
    }

    /// Q5: publishes what was claimed last, as a frame that is no longer.
    pub(crate) fn commit(&mut self, header: FrameHeader) {
        let Some(Claimed { ring, reservation }) = self.open.take() else { return };
        let (position, claimed) = (reservation.position(), FrameHeader::Data { len: reservation.len() });
        let bytes = |header: FrameHeader| header.frame_bytes().unwrap_or(0);
        if let Some(rest) = bytes(claimed).checked_sub(bytes(header) + WORD) {
            let void = FrameHeader::Void { len: rest as u32 };
            ring.word(&self.area, position + bytes(header)).store(void.to_word(), Relaxed);
            step("claim.shortened");
        }
        // P4: edge `committed`, writing end.
        ring.word(&self.area, position).store(header.to_word(), Release);
        step("claim.committed");
        self.lane.producing.committed.fetch_add(1, Relaxed);
    }

    /// Q6: gives up what is claimed and not committed. True if there was something: then the consumers must be woken.
    pub(crate) fn give_up(&mut self) -> bool {
        let Some(Claimed { ring, reservation }) = self.open.take() else { return false };
        let claimed = FrameHeader::Claimed { len: reservation.len(), sender: self.number };
        let voided = void(ring, &self.area, reservation.position(), claimed);
        step("claim.voided");
        voided
    }
}

/// Q6. False if it is not, or no longer, claimed.
fn void(ring: Ring, area: &Window, position: u64, claimed: FrameHeader) -> bool {
    let FrameHeader::Claimed { len, .. } = claimed else { return false };
    let void = FrameHeader::Void { len }.to_word();
    // Relaxed: a swap goes on with the Release of the header that it replaces, by which who passes it sees the 0 behind.
    ring.word(area, position).compare_exchange(claimed.to_word(), void, Relaxed, Relaxed).is_ok()
}

/// Q9: goes on in `settled` past all that is committed or void. What consumers that come and go have not to wait for is kept
/// from being written over by that.
pub(crate) fn settle(
    lane: &Lane,
    area: &Window,
    classes: &std::ops::RangeInclusive<u8>,
    _turn: &Held<'_>,
) -> Result<u64, RingCorrupt> {
    let settled = &lane.producing.settled;
    let mut walk = Walk::from_word(settled.load(Relaxed), classes)?;
    let walked = walk_frames(&mut walk, None, area, classes, |header, _, _| match header {
        FrameHeader::Claimed { .. } => Next::Here,
        _ => Next::On,
    });
    settled.store(walk.to_word(), Relaxed);
    walked.map(|()| walk.position)
}

/// Q8: gives up what the dead producer of that number had claimed; shows where each claim stands first.
pub(crate) fn give_up_of(
    lane: &Lane,
    area: &Window,
    (classes, readers): (&std::ops::RangeInclusive<u8>, Readers),
    _turn: &Held<'_>,
    dead: u8,
    mut each: impl FnMut(u64),
) -> Result<(), RingCorrupt> {
    let mut walk = Walk::from_word(resize::released(lane, readers).to_word(), classes)?;
    walk_frames(&mut walk, None, area, classes, |header, _, Walk { ring, position }| {
        if matches!(header, FrameHeader::Claimed { sender, .. } if sender == dead) {
            // Before it is void: afterwards nobody finds it.
            each(position);
            void(ring, area, position, header);
        }
        Next::On
    })
}

impl Producer {
    /// Q2: stands where the producer before has left off.
    fn refresh(&mut self, turn: &Held<'_>) -> Result<(), RingCorrupt> {
        let words = &self.lane.producing;
        // Edge `lane-locked`, by which the words are those of the last holder.
        let word = words.cursor.load(Relaxed);
        let walk = Walk::from_word(word, &self.classes)?;
        (self.ring, self.position) = (walk.ring, walk.position);
        if self.readers == Readers::Each {
            // Consumers may stand behind a claim.
            self.settled = Some(settle(&self.lane, &self.area, &self.classes, turn)?);
        }
        self.start = start(&self.lane, Cursor::from_word(word));
        Ok(())
    }

    /// Q4
    fn claim(&mut self, reservation: Reservation, number: u8) -> Ring {
        let header = FrameHeader::Claimed { len: reservation.len(), sender: number };
        // Edge `committed`, writing end: to who passes it when it was given up.
        self.commit_frame(frame_bytes(reservation.len()), header);
        self.ring
    }
}
