//! Offering a producer another ring, and finding the rings that nobody needs. Steps R1-R5 of `PROTOCOL.md`.
//!
//! All functions here require the channel's structure lock.

use crate::prim::Ordering::{Acquire, Relaxed, Release};
use crate::ring::layout::{Lane, RING_FREE, RING_PREPARED};
use crate::ring::word::{Cursor, Offer};
use crate::ring::{Readers, alone, followers};

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    /// The producer finds it with its next message.
    Standing,
    /// The ring of that class still holds messages, or the producer is moving right now: try again later.
    Busy,
    /// The producer is, or is about to be, in a ring of that class.
    Already,
}

/// Gives an unused lane its first ring, already backed with memory. `is_shared` says whether producers share it.
pub(crate) fn found(lane: &Lane, class: u8, readers: Readers, is_shared: bool) {
    let first = Cursor { class, position: 0 }.to_word();
    let slot = &lane.rings[usize::from(class)];
    slot.start.store(0, Relaxed);
    slot.state.store(RING_PREPARED + 1, Relaxed);
    lane.shape.epoch.store(1, Relaxed);
    if readers != Readers::Each {
        lane.consumer().cursor.store(first, Relaxed);
    }
    lane.taking.cursor.store(first, Relaxed);
    lane.producing.settled.store(if is_shared { first } else { 0 }, Relaxed);
    lane.producing.cursor.store(first, Relaxed);
}

/// R5: takes back an offer that has not been taken. True if none stands now.
pub(crate) fn withdraw(lane: &Lane) -> bool {
    let word = lane.shape.offer.load(Acquire);
    match Offer::from_word(word) {
        Offer::None => true,
        Offer::Taken { .. } => false,
        // The ring stays prepared, which `reclaimable` finds.
        Offer::Offered { .. } => {
            lane.shape.offer.compare_exchange(word, Offer::None.to_word(), Acquire, Acquire).is_ok()
        }
    }
}

/// Whether an offer stands or is being taken.
pub(crate) fn is_offered(lane: &Lane) -> bool {
    // Edge `moved`, reading end.
    Offer::from_word(lane.shape.offer.load(Acquire)) != Offer::None
}

/// R1: the classes whose memory can be given back: the consumer has passed them, or an offer of them was withdrawn.
///
/// Call it only when no offer stands, after [`withdraw`] or [`is_offered`].
pub(crate) fn reclaimable(lane: &Lane, readers: Readers) -> Vec<u8> {
    let reading = released(lane, readers).class;
    let Some(current) = lane.rings.get(usize::from(reading)) else { return Vec::new() };
    let current = current.state.load(Relaxed);
    let passed = |state: u64| state == RING_PREPARED || (state > RING_PREPARED && state < current);
    (0..).zip(&lane.rings).filter(|(_, slot)| passed(slot.state.load(Relaxed))).map(|(class, _)| class).collect()
}

/// Up to where every consumer has released.
pub(crate) fn released(lane: &Lane, readers: Readers) -> Cursor {
    match readers {
        // Edges `passed` and `released`, reading end.
        Readers::One => Cursor::from_word(lane.consumer().cursor.load(Acquire)),
        Readers::Competing => Cursor::from_word(alone::unreleased(lane)),
        Readers::Each => {
            // Before the consumers are looked at: who joins later stands there or further on.
            let published = Cursor::from_word(lane.producing.cursor.load(Acquire)); // edge `published`, reading end
            let slowest = followers::slowest(lane).unwrap_or(published);
            // Where producers share the lane, consumers may stand behind what is claimed still.
            let settled = Cursor::from_word(lane.producing.settled.load(Relaxed));
            let age = |cursor: Cursor| (cursor.position, followers::epoch(lane, cursor.class));
            if settled.class != 0 && age(settled) < age(slowest) { settled } else { slowest }
        }
    }
}

/// Marks a class as having no memory.
pub(crate) fn mark_free(lane: &Lane, class: u8) {
    lane.rings[usize::from(class)].state.store(RING_FREE, Relaxed);
}

/// Whether `class` can be offered now; call it after [`withdraw`] and the reclaiming.
pub(crate) fn can_offer(lane: &Lane, class: u8) -> Offered {
    if Cursor::from_word(lane.producing.cursor.load(Relaxed)).class == class {
        return Offered::Already;
    }
    if lane.rings[usize::from(class)].state.load(Relaxed) == RING_FREE { Offered::Standing } else { Offered::Busy }
}

/// R2: from here on the range of `class`, which is free, may have memory behind it; [`reclaimable`] finds it.
pub(crate) fn prepare(lane: &Lane, class: u8) {
    lane.rings[usize::from(class)].state.store(RING_PREPARED, Relaxed);
}

/// R4: offers the ring of `class`, which is prepared and has been backed with memory.
pub(crate) fn offer(lane: &Lane, class: u8) {
    // Edge `offered`, writing end.
    lane.shape.offer.store(Offer::Offered { class }.to_word(), Release);
}
