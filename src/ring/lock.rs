//! A lock in shared memory for a few loads and stores, which tells who holds it. Steps L1 and L2 of `PROTOCOL.md`.

use crate::prim::AtomicU64;
use crate::prim::Ordering::{AcqRel, Acquire, Relaxed};

/// Set by who did not get the lock.
const CONTENDED: u64 = 1 << 63;
/// Tries before a lock is left to its holder, which needs it for some dozens of nanoseconds.
#[cfg(not(loom))]
const TRIES: u32 = 128;
/// In the model each try is a branch.
#[cfg(loom)]
const TRIES: u32 = 1;

/// The lock: 0 if free, else its [`Holder`].
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct LaneLock {
    word: AtomicU64,
}

/// Who holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The lane's producer.
    Producer,
    /// Who holds the channel's structure lock.
    Resizer,
    /// The competing consumer in that seat.
    Seat(u8),
    /// That one of the producers that share the lane.
    Sender(u8),
}

impl Holder {
    fn to_word(self) -> u64 {
        match self {
            Self::Producer => 1,
            Self::Resizer => 2,
            Self::Seat(seat) => 3 + u64::from(seat),
            Self::Sender(number) => 0x100 + u64::from(number),
        }
    }
}

/// The lock, held. It must be given back with [`Held::unlock`].
#[derive(Debug)]
#[must_use]
pub(crate) struct Held<'a>(&'a LaneLock);

/// Whether somebody failed to get the lock meanwhile, and may have gone to sleep over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) struct Contended(pub(crate) bool);

impl LaneLock {
    /// L1: takes the lock, or leaves word for its holder that somebody wanted it.
    #[inline]
    pub(crate) fn try_lock(&self, holder: Holder) -> Option<Held<'_>> {
        // Edge `lane-locked`, reading end.
        match self.word.compare_exchange(0, holder.to_word(), Acquire, Relaxed) {
            Ok(_) => Some(Held(self)),
            Err(_) => self.try_again(holder),
        }
    }

    /// As [`LaneLock::try_lock`], in one try that leaves no word: whoever fails must ask again.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn try_lock_at_once(&self, holder: Holder) -> Option<Held<'_>> {
        // Edge `lane-locked`, reading end.
        self.word.compare_exchange(0, holder.to_word(), Acquire, Relaxed).ok().map(|_| Held(self))
    }

    #[cold]
    fn try_again(&self, holder: Holder) -> Option<Held<'_>> {
        for _ in 0..TRIES {
            // A look first: a failed exchange takes the line from the holder.
            if self.word.load(Relaxed) == 0 && self.word.compare_exchange(0, holder.to_word(), Acquire, Relaxed).is_ok()
            {
                return Some(Held(self));
            }
            pause();
        }
        // A holder that has unlocked meanwhile would not see the mark, so there is nothing to leave then.
        for _ in 0..TRIES.max(8) {
            let word = match self.word.compare_exchange(0, holder.to_word(), Acquire, Relaxed) {
                Ok(_) => return Some(Held(self)),
                Err(word) => word,
            };
            // Edge `contended`, writing end: what we did before, going to sleep, is seen by the holder's unlock.
            if word & CONTENDED != 0 || self.word.compare_exchange(word, word | CONTENDED, AcqRel, Relaxed).is_ok() {
                return None;
            }
        }
        // A peer that does not keep the protocol.
        None
    }

    /// As [`LaneLock::try_lock`], or takes the lock over from one of `dead`, holders that are proven dead. Nobody else may
    /// do so at the time, and none of `dead` come back: the channel's structure lock sees to both.
    #[cfg(not(loom))]
    pub(crate) fn lock_or_take_from(&self, dead: &[Holder], holder: Holder) -> Option<Held<'_>> {
        let taken = dead.iter().any(|&dead| self.replace(dead, holder.to_word()).is_some());
        if taken { Some(Held(self)) } else { self.try_lock(holder) }
    }

    /// Frees the lock if `dead` holds it, under the conditions of [`LaneLock::lock_or_take_from`].
    pub(crate) fn break_from(&self, dead: Holder) -> Option<Contended> {
        self.replace(dead, 0).map(|word| Contended(word & CONTENDED != 0))
    }

    fn replace(&self, dead: Holder, new: u64) -> Option<u64> {
        // Somebody may mark it meanwhile, once.
        for _ in 0..TRIES.max(2) {
            let word = self.word.load(Relaxed);
            if word & !CONTENDED != dead.to_word() {
                return None;
            }
            // The mark stays for who unlocks. Edge `contended`, reading end.
            let new = if new == 0 { 0 } else { new | word & CONTENDED };
            if self.word.compare_exchange(word, new, AcqRel, Relaxed).is_ok() {
                return Some(word);
            }
        }
        None
    }

    /// Whether that one holds the lock now.
    pub(crate) fn is_held_by(&self, holder: Holder) -> bool {
        self.word.load(Relaxed) & !CONTENDED == holder.to_word()
    }
}

impl Held<'_> {
    /// L2: gives the lock back. Whoever failed to get it must be woken.
    #[inline]
    pub(crate) fn unlock(self) -> Contended {
        // Edges `lane-locked`, writing end, and `contended`, reading end.
        Contended(self.0.word.swap(0, AcqRel) & CONTENDED != 0)
    }
}

#[cfg(not(loom))]
fn pause() {
    std::hint::spin_loop();
}

/// Not a yield: that would let the holder go on until it has unlocked, and nobody ever leave a mark.
#[cfg(loom)]
fn pause() {}

#[cfg(loom)]
impl LaneLock {
    /// A free lock.
    pub(crate) fn free() -> Self {
        Self { word: AtomicU64::new(0) }
    }
}
