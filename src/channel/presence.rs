//! Whether a channel still has senders, and whether its receiver takes messages. Steps S1, S4, V2 and V4 of
//! `PROTOCOL.md`.

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

/// Bits of a participant word that hold the role; a receiver's are all set.
const ROLE: u64 = 3 << 62;

/// V4: what a receiver leaves in its place while it refuses messages and drains what is there: its word without a role.
pub(crate) fn closing(word: u64) -> u64 {
    word & !ROLE
}

/// The participant word of the receiver whose place holds `word`, which is neither 0 nor that of one that has gone.
pub(crate) fn receiver_of(word: u64) -> u64 {
    word | ROLE
}

/// Whether the receiver whose place holds `word` takes no more messages. Nobody there yet refuses nothing.
#[inline]
pub(crate) fn refuses(word: u64) -> bool {
    // All ones: gone. From 1 to the largest word without a role: closing.
    word == u64::MAX || word.wrapping_sub(1) < 1 << 62
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_receivers_place_says_whether_it_takes_messages() {
        let open = ROLE | 7 << 40 | 3 << 32 | 4711;
        assert!(!refuses(0) && !refuses(open));
        assert!(refuses(closing(open)) && refuses(u64::MAX));
        assert_eq!(receiver_of(closing(open)), open);
        assert_eq!(receiver_of(open), open);
    }
}
