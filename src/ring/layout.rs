//! A lane's words in shared memory. No behaviour.
//!
//! ```text
//! LaneWords, which a consumer that is alone in its seat only reads:
//! +0    producer's pair of lines   cursor  messages  lock      | written by the producer, every message
//! +128  competing consumers' pair  lock    cursor  messages    | written by the consumer that has the lock
//! +256  read-mostly pair           offer   owner   rejected    | written when the channel's structure changes
//! +384  rings                      start and epoch, a class    | written when a ring is prepared or entered
//!
//! Sides, on pages of their own:
//! +0    consumers' pairs, by seat  cursor  messages  missed    | written by that consumer, every message
//! +2048 the pair of one alone      cursor  messages  hand      | written by the one that competes with nobody
//! ```

use std::ops::Deref;

use crate::prim::AtomicU64;
use crate::prim::Ordering::Relaxed;
use crate::ring::lock::LaneLock;
use crate::shm::window::Shared;

/// Classes a lane's area may hold, by log2 of the ring's bytes: index 30 is the largest.
pub(crate) const CLASSES: usize = 31;

/// Consumers that a lane may have.
#[cfg(not(loom))]
pub(crate) const SEATS: usize = crate::shm::layout::SEATS;
/// In the model each word costs time.
#[cfg(loom)]
pub(crate) const SEATS: usize = 2;

/// One lane.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    words: Shared<LaneWords>,
    pub(crate) consumers: Shared<Sides>,
}

/// What producers write of a lane, and consumers that compete.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct LaneWords {
    pub(crate) producing: Producing,
    pub(crate) taking: Taking,
    pub(crate) shape: Shape,
    pub(crate) rings: [RingSlot; CLASSES],
}

/// By seat; an only consumer has the first. Of competing ones the first says what the producer has been given back (see
/// `taker::collect`). Where each consumer gets every frame, 0 is no consumer. The last is of one that may compete, and is
/// alone.
pub(crate) type Sides = [Side; SEATS + 1];

/// What the producer writes with every message; on lines of its own.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Producing {
    /// [`crate::ring::word::Cursor`]; written by the producer only. The consumers' copies may be older, never newer.
    pub(crate) cursor: AtomicU64,
    /// Messages committed. Read by telemetry, one commit late at most. Means nothing where producers share the lane.
    pub(crate) messages: AtomicU64,
    /// Of producers that share the lane: held while one claims room, and while it writes any of these words.
    pub(crate) lock: LaneLock,
    /// Of these: messages committed. Added to by each.
    pub(crate) committed: AtomicU64,
    /// Of these: [`crate::ring::word::Cursor`] up to which nothing is claimed and not committed; 0 in a lane that is not
    /// shared by producers. Written under the lock.
    pub(crate) settled: AtomicU64,
}

/// What a consumer writes with every message; on lines of its own.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Side {
    /// [`crate::ring::word::Cursor`]; written by this consumer only. The producer's copies may be older, never newer.
    pub(crate) cursor: AtomicU64,
    /// Messages released. Read by telemetry, one release late at most.
    pub(crate) messages: AtomicU64,
    /// Messages that the producer did not wait with. Written under the lane's lock.
    pub(crate) missed: AtomicU64,
    /// Of one that is alone: [`crate::ring::word::Cursor`] of where that ends which it has in hand.
    pub(crate) hand: AtomicU64,
}

/// Where the competing consumers of a lane have come to.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Taking {
    /// Held while a frame is taken.
    pub(crate) lock: LaneLock,
    /// [`crate::ring::word::Cursor`]: the next frame that may be there to be taken.
    pub(crate) cursor: AtomicU64,
    /// Messages taken.
    pub(crate) messages: AtomicU64,
    /// Messages of these that were given back, to be taken again.
    pub(crate) returned: AtomicU64,
    /// Messages that the producer has dropped to make room. Written under the lock.
    pub(crate) dropped: AtomicU64,
    /// Messages that the one that was alone was taken to have released, when the lane was shared. Written under the lock.
    pub(crate) alone_messages: AtomicU64,
}

/// What changes seldom and is read with every message.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Shape {
    /// [`crate::ring::word::Offer`].
    pub(crate) offer: AtomicU64,
    /// Participant slot + 1 of the sender that owns the lane, or 0. Written under the structure lock, or by the owner.
    pub(crate) owner: AtomicU64,
    /// Participant word of the last sender of that number that was found dead, or 0.
    pub(crate) died: AtomicU64,
    /// Who of those that may compete is alone: see [`crate::ring::alone`]. Written under the structure lock.
    pub(crate) sole: AtomicU64,
    /// Rings entered so far. Written by the producer (M3).
    pub(crate) epoch: AtomicU64,
    /// Sends refused for want of room. Written by the producer.
    pub(crate) rejected: AtomicU64,
    /// Payload bytes of these. Written by the producer.
    pub(crate) rejected_bytes: AtomicU64,
}

/// What is known of the ring of one class.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct RingSlot {
    /// 0: no memory behind it; 1: prepared; epoch + 1: in use since that epoch (2 or more). Set to 0 and 1 under the
    /// structure lock, to the epoch by the producer.
    pub(crate) state: AtomicU64,
    /// Position at which the producer entered it.
    pub(crate) start: AtomicU64,
}

/// [`RingSlot::state`]: no memory.
pub(crate) const RING_FREE: u64 = 0;
/// [`RingSlot::state`]: memory, not yet entered.
pub(crate) const RING_PREPARED: u64 = 1;

#[cfg(not(loom))]
// SAFETY: atomics only, `repr(C)`.
unsafe impl crate::shm::window::SharedLayout for LaneWords {}
#[cfg(not(loom))]
// SAFETY: an array of atomics, `repr(C)`.
unsafe impl crate::shm::window::SharedLayout for Sides {}

#[cfg(not(loom))]
const _: () = assert!(size_of::<LaneWords>() == 896 && size_of::<Sides>() == 2176);

impl Deref for Lane {
    type Target = LaneWords;
    #[inline]
    fn deref(&self) -> &LaneWords {
        &self.words
    }
}

impl Lane {
    pub(crate) fn new(words: Shared<LaneWords>, consumers: Shared<Sides>) -> Self {
        Self { words, consumers }
    }

    /// A lane whose words and sides lie one after the other.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn at(segment: &std::sync::Arc<crate::shm::segment::Segment>, offset: usize) -> Option<Self> {
        let sides = Shared::at(segment, offset + size_of::<LaneWords>())?;
        Some(Self::new(Shared::at(segment, offset)?, sides))
    }

    /// What an only consumer has released, or competing ones have given back.
    #[inline]
    pub(crate) fn consumer(&self) -> &Side {
        &self.consumers[0]
    }

    /// Of a consumer that may compete, and is alone.
    #[inline]
    pub(crate) fn alone(&self) -> &Side {
        &self.consumers[SEATS]
    }

    /// Messages committed.
    pub(crate) fn sent_messages(&self) -> u64 {
        let Producing { messages, committed, settled, .. } = &self.producing;
        if settled.load(Relaxed) == 0 { messages.load(Relaxed) } else { committed.load(Relaxed) }
    }
}

#[cfg(loom)]
impl Lane {
    /// A lane as zeroed memory.
    pub(crate) fn zeroed() -> Self {
        let word = || AtomicU64::new(0);
        let side = || Side { cursor: word(), messages: word(), missed: word(), hand: word() };
        let words = LaneWords {
            producing: Producing {
                cursor: word(),
                messages: word(),
                lock: LaneLock::free(),
                committed: word(),
                settled: word(),
            },
            taking: Taking {
                lock: LaneLock::free(),
                cursor: word(),
                messages: word(),
                returned: word(),
                dropped: word(),
                alone_messages: word(),
            },
            shape: Shape {
                offer: word(),
                owner: word(),
                died: word(),
                sole: word(),
                epoch: word(),
                rejected: word(),
                rejected_bytes: word(),
            },
            rings: std::array::from_fn(|_| RingSlot { state: word(), start: word() }),
        };
        Self::new(Shared::new(words), Shared::new(std::array::from_fn(|_| side())))
    }
}
