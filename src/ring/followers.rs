//! Consumers that each get every frame of a lane. Steps F1 to F3 of `PROTOCOL.md`.

use crate::prim::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::prim::fence;
use crate::ring::layout::Lane;
use crate::ring::word::{Cursor, POSITION_END};

/// Bit of a consumer's cursor that says that the producer must not move it.
pub(crate) const HELD: u64 = POSITION_END;

/// F1: lets the consumer in `seat` join the lane, behind what is committed. Call it under the structure lock.
pub(crate) fn join(lane: &Lane, seat: u8) {
    let own = &lane.consumers[usize::from(seat)];
    own.missed.store(0, Relaxed);
    own.messages.store(lane.sent_messages(), Relaxed);
    // Edge `published`, reading end: what is written ahead of the producer's position.
    let first = lane.producing.cursor.load(Acquire);
    own.cursor.store(first, Release);
    // Edge `joined`: a producer that has not seen this consumer yet gives it this much, at least. To the fence in `slowest`.
    fence(SeqCst);
    let cursor = lane.producing.cursor.load(Acquire);
    // A producer that drops what is oldest may have moved it on already (O3), further than that.
    if own.cursor.compare_exchange(first, cursor, Release, Relaxed).is_ok() {
        own.messages.store(lane.sent_messages(), Relaxed);
    }
}

/// F1 in a lane that was founded just now and that no consumer has seen.
pub(crate) fn join_new(lane: &Lane, seat: u8) {
    let own = &lane.consumers[usize::from(seat)];
    own.messages.store(0, Relaxed);
    own.missed.store(0, Relaxed);
    own.cursor.store(lane.producing.cursor.load(Relaxed), Release);
}

/// F3: the consumer in `seat` is done with the lane, wherever it stands.
pub(crate) fn leave(lane: &Lane, seat: u8) {
    // Edge `released`, writing end. A swap, since the producer may be moving it on (O3): that comes before, or fails.
    lane.consumers[usize::from(seat)].cursor.swap(0, Release);
}

/// F2: where the consumer stands that is behind all others; `None` if there is no consumer.
pub(crate) fn slowest(lane: &Lane) -> Option<Cursor> {
    // Edge `joined`: to the fence in `join`.
    fence(SeqCst);
    let words = lane.consumers.iter().map(|consumer| consumer.cursor.load(Acquire)); // edge `released`, reading end
    let cursors = words.filter(|&word| word != 0).map(|word| Cursor::from_word(word & !HELD));
    // Where two stand at one position in two rings, the one whose ring is older is behind.
    cursors.min_by_key(|cursor| (cursor.position, epoch(lane, cursor.class)))
}

/// Which ring of the lane that of `class` is: later ones are more.
pub(crate) fn epoch(lane: &Lane, class: u8) -> u64 {
    lane.rings.get(usize::from(class)).map_or(0, |ring| ring.state.load(Relaxed))
}

/// Messages that the consumer has released that has released the fewest; all, if there is no consumer.
#[cfg(not(loom))]
pub(crate) fn fewest_messages(lane: &Lane) -> u64 {
    let present = lane.consumers.iter().filter(|consumer| consumer.cursor.load(Acquire) != 0);
    let sent = lane.sent_messages();
    present.map(|consumer| consumer.messages.load(Acquire)).min().unwrap_or(sent)
}
