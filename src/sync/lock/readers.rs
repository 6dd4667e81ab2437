//! Who reads under a lock: a count for each participant. Steps E1-E3, W1-W3 and D2 of `PROTOCOL.md`.
//!
//! Each participant counts its readers in a line of its own, so that those of several do not meet, and a writer looks at all
//! lines: the "big-reader" lock of Linux 2.4 (Molnar and Miller, `brlock.h`, 2000), with counts that say whose they are.

use std::time::Duration;

use crate::prim::AtomicU64;
use crate::prim::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::prim::{fence, step};
use crate::sync::futex::Slept;
use crate::sync::lock::word::{DIED, OWNER, lower_half};
use crate::sync::lock::words::LockWords;

/// Places of participants.
#[cfg(not(loom))]
pub(crate) const PLACES: usize = crate::shm::layout::PARTICIPANTS_MAX;
/// In the model each is a branch of every search.
#[cfg(loom)]
pub(crate) const PLACES: usize = 2;

/// Readers of the participant.
const COUNT: u64 = (1 << 31) - 1;
/// Most of them that are let in: far from the next bit, which no number of threads that come at once reaches.
const COUNT_MAX: u64 = 1 << 30;
/// A writer may sleep until there are none.
const AWAITED: u64 = 1 << 31;
/// The participant's seat stands above.
const SEAT_SHIFT: u32 = 32;

/// A lock, and who reads under it.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct ReadersWriterWords {
    pub(crate) lock: LockWords,
    readers: [Readers; PLACES],
}

/// The readers of one participant.
///
/// | bits | 0 | else | set by | cleared by |
/// |---|---|---|---|---|
/// | 0-30 | nobody reads | how many do | its readers | these; who proves its death |
/// | 31 | nobody waits for that | a writer may sleep until nobody reads | the writer | the last reader; who comes to the place next; who proves its death |
/// | 32-61 | never had | the seat of the participant | who comes to the place | nobody |
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Readers {
    word: AtomicU64,
    #[cfg(loom)]
    kernel: crate::sync::futex::FutexQueue,
}

impl ReadersWriterWords {
    /// The readers of the participant in `seat`.
    #[inline]
    pub(crate) fn readers_of(&self, seat: u64) -> &Readers {
        &self.readers[seat as usize % PLACES]
    }

    /// All readers.
    pub(crate) fn all_readers(&self) -> &[Readers] {
        &self.readers
    }

    /// W1 and W2, with the lock in hand and untouched: from now on nobody comes to read who is not counted; then `wait` for every
    /// place where somebody reads, as long as it says so. True if nobody reads, and the data may be changed.
    pub(crate) fn drain(&self, mut wait: impl FnMut(&Readers) -> bool) -> bool {
        // Edge `reading`, both ends: to the fence in `try_enter`, or from it.
        fence(SeqCst);
        step("write.closed");
        let have_left = self.readers.iter().all(|readers| readers.have_left() || wait(readers));
        if have_left {
            self.lock.touch();
            step("write.drained");
        }
        have_left
    }

    /// From the whole lock, had as `owner`, to a reader's. False, and the lock is held on, where the participant
    /// has too many readers.
    pub(crate) fn let_readers_in(&self, owner: u64) -> bool {
        let is_counted = self.readers_of(owner).count_one();
        if is_counted {
            // Whoever takes the lock next sees the count, by edge `unlocked`.
            self.lock.give_back(owner);
        }
        is_counted
    }

    /// Wakes every writer that sleeps, so that it looks how to wait.
    pub(crate) fn wake_writers(&self) {
        self.readers.iter().filter(|readers| readers.word.load(Relaxed) & AWAITED != 0).for_each(Readers::wake);
    }
}

impl Readers {
    /// The participant in `seat` has come to this place; whoever had it before is dead or has left.
    pub(crate) fn seat(&self, seat: u64) {
        // Edge `seated`, writing end.
        if self.word.swap(seat << SEAT_SHIFT, Release) & AWAITED != 0 {
            self.wake();
        }
    }

    /// E1 and E2: reads on, unless somebody has the lock or nobody has made whole what a dead one left.
    #[inline]
    pub(crate) fn try_enter(&self, lock: &LockWords) -> bool {
        // Looked at once before: who cannot read is not to be waited for.
        if lock.word.load(Relaxed) & (OWNER | DIED) != 0 || !self.count_one() {
            return false;
        }
        // Edge `reading`, both ends: to the fence in `drain`, or from it.
        fence(SeqCst);
        // Edge `unlocked`, reading end.
        if lock.word.load(Acquire) & (OWNER | DIED) == 0 {
            return true;
        }
        self.leave();
        false
    }

    /// E1; false where there are too many.
    #[inline]
    fn count_one(&self) -> bool {
        let is_counted = self.word.fetch_add(1, Relaxed) & COUNT < COUNT_MAX;
        if !is_counted {
            self.word.fetch_sub(1, Relaxed);
        }
        step("read.counted");
        is_counted
    }

    /// E3: reads no more.
    #[inline]
    pub(crate) fn leave(&self) {
        // Edge `read`, writing end.
        let before = self.word.fetch_sub(1, Release);
        step("read.left");
        if before & (COUNT | AWAITED) == AWAITED | 1 {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        self.word.fetch_and(!AWAITED, Relaxed);
        step("read.cleared");
        self.futex_wake();
        step("read.woken");
    }

    /// W2: whether nobody reads.
    pub(crate) fn have_left(&self) -> bool {
        // Edge `read`, reading end.
        self.word.load(Acquire) & COUNT == 0
    }

    /// Whose these are.
    pub(crate) fn owner(&self) -> u64 {
        self.word.load(Relaxed) >> SEAT_SHIFT
    }

    /// D2: none of the participant in `seat`, which is proven dead or has left, reads any more.
    pub(crate) fn forget(&self, seat: u64) {
        let word = self.word.load(Relaxed);
        if word >> SEAT_SHIFT == seat {
            // Fails where the next has come to the place.
            let _anew = self.word.compare_exchange(word, seat << SEAT_SHIFT, Relaxed, Relaxed);
        }
    }

    /// W3: sleeps until somebody leaves, at most `limit`.
    pub(crate) fn sleep(&self, limit: Duration) -> Slept {
        let word = self.word.load(Relaxed);
        let awaited = word | AWAITED;
        if word & COUNT == 0 || word != awaited && self.word.compare_exchange(word, awaited, Relaxed, Relaxed).is_err()
        {
            return Slept::Not;
        }
        step("write.announced");
        self.futex_wait(lower_half(awaited), limit)
    }
}

#[cfg(not(loom))]
mod kernel {
    use std::time::Duration;

    use super::{PLACES, Readers, ReadersWriterWords};
    use crate::shm::window::SharedLayout;
    use crate::sync::futex::{Half, Slept};
    use crate::sync::lock::raw::WHOEVER;
    use crate::sync::lock::words::LockWords;

    // SAFETY: atomics only, `repr(C)`.
    unsafe impl SharedLayout for ReadersWriterWords {}

    const _: () = assert!(size_of::<ReadersWriterWords>() == size_of::<LockWords>() + PLACES * 64);

    impl Readers {
        pub(super) fn futex_wait(&self, value: u32, limit: Duration) -> Slept {
            Half::of(&self.word).wait(value, WHOEVER, limit)
        }

        pub(super) fn futex_wake(&self) {
            Half::of(&self.word).wake(WHOEVER, i32::MAX as u32);
        }
    }
}

#[cfg(loom)]
mod model {
    use std::time::Duration;

    use super::{Readers, ReadersWriterWords};
    use crate::prim::AtomicU64;
    use crate::prim::Ordering::Relaxed;
    use crate::sync::futex::Slept;
    use crate::sync::lock::word::lower_half;

    impl Default for ReadersWriterWords {
        fn default() -> Self {
            let none = || Readers { word: AtomicU64::new(0), kernel: Default::default() };
            Self { lock: Default::default(), readers: std::array::from_fn(|_| none()) }
        }
    }

    impl Readers {
        pub(super) fn futex_wait(&self, value: u32, limit: Duration) -> Slept {
            self.kernel.wait(|| lower_half(self.word.load(Relaxed)) == value, limit)
        }

        pub(super) fn futex_wake(&self) {
            self.kernel.wake();
        }
    }
}
