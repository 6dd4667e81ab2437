//! Whether a channel still has senders. Steps S1, S4 and V2 of `PROTOCOL.md`.

use crate::prim::AtomicU64;
use crate::prim::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// S1, the end: the sender has its lane. Call it under the structure lock.
pub(crate) fn arrive(attached: &AtomicU64) {
    // Edge `sender-attached`, writing end. Wrapping: the word is a peer's to spoil.
    attached.store(attached.load(Relaxed).wrapping_add(1), Release);
}

/// S4: gives the lane back, unless a successor has it already.
pub(crate) fn leave(owner: &AtomicU64, word: u64) {
    // Edge `sender-left`, writing end: whoever sees no owner sees every message committed before.
    let _taken_over_if_it_differs = owner.compare_exchange(word, 0, AcqRel, Relaxed);
}

/// V2: what was seen of the senders' coming before their lanes are looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrivals(u64);

impl Arrivals {
    /// Looks.
    pub(crate) fn seen(attached: &AtomicU64) -> Self {
        // Edge `sender-attached`, reading end: the lanes of those counted show their owners.
        Self(attached.load(Acquire))
    }

    /// Whether no sender has come since. Relaxed: a sender that came before another left is ordered before it by
    /// `sender-left`, and one that came after all had left may be met the next time.
    pub(crate) fn are_all(self, attached: &AtomicU64) -> bool {
        attached.load(Relaxed) == self.0
    }
}

/// Whether nobody owns the lane.
pub(crate) fn is_free(owner: &AtomicU64) -> bool {
    // Edge `sender-left`, reading end.
    owner.load(Acquire) == 0
}
