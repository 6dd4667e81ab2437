//! Whether a channel still has senders. Steps S1, S4 and V2 of `PROTOCOL.md`.

use crate::prim::AtomicU64;
use crate::prim::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sync::fences;

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

/// V2 where receivers compete: from here on, who is done with a message wakes those that wait for the end. Before the look
/// at what others have in hand.
pub(crate) fn await_the_last(finishing: &AtomicU64) {
    if finishing.load(Relaxed) == 0 {
        finishing.store(1, Relaxed);
    }
    // Edge `finishing`: to the light fence between T4 and the look at the word. The caller may have announced its sleep before.
    fences::heavy();
}

/// Whether somebody waits for the end; after a light fence that follows T4: edge `finishing`, the other end.
#[inline]
pub(crate) fn is_the_last_awaited(finishing: &AtomicU64) -> bool {
    finishing.load(Relaxed) != 0
}
