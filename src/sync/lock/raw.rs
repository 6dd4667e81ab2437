//! Taking a lock, sleeping over it and giving it back. Steps T1, N1-N2, N6, S1-S2, R1-R3 and D1 of `PROTOCOL.md`.

use std::time::Duration;

use crate::prim::Ordering::{AcqRel, Relaxed, Release};
use crate::prim::step;
use crate::sync::futex::Slept;
use crate::sync::lock::queue::Place;
use crate::sync::lock::word::{
    DIED, HEAD_SLEEPS, OWNER, SLEEPERS, TAIL, UNTOUCHED, WOKEN, lower_half, tail, with_tail,
};
use crate::sync::lock::words::LockWords;

/// Changes of the word by others that one step follows, so that a hostile peer cannot keep it busy.
const TRIES: u32 = 1 << 16;

#[cfg(not(loom))]
pub(super) use kernel::WHOEVER;

/// For whom a wake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    Sleeper,
    Head,
}

/// The lock was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Whether an owner has died with it in hand, and nobody has said since that the data are whole.
    pub(crate) is_inconsistent: bool,
    /// The process of the dead owner that it was taken from just now, or 0 if that is not known any more.
    pub(crate) from_dead: Option<u32>,
}

/// A thread that wants a lock.
#[derive(Debug)]
pub(crate) struct Waiter<'a> {
    lock: &'a LockWords,
    /// The seat of its participant, and [`UNTOUCHED`] if it is to take the lock so.
    owner: u64,
    place: Option<Place>,
    /// It was woken, so that no other sleeper need be, until it has the lock or sleeps again.
    was_woken: bool,
    /// It waits its turn no longer.
    is_impatient: bool,
}

impl LockWords {
    /// T1 where nobody holds the lock, nor waits for it.
    #[inline]
    pub(crate) fn try_take_free(&self, owner: u64) -> bool {
        // Edge `unlocked`, reading end. Edge `seated`, writing end.
        let taken = self.word.compare_exchange(0, owner, AcqRel, Relaxed).is_ok();
        step("lock.taken");
        taken
    }

    /// From now on the owner may change the data.
    pub(crate) fn touch(&self) {
        self.word.fetch_and(!UNTOUCHED, Relaxed);
    }

    /// R1: gives the lock back, that was had as `owner`.
    #[inline]
    pub(crate) fn give_back(&self, owner: u64) {
        // Edge `unlocked`, writing end.
        let word = self.word.fetch_sub(owner, Release);
        step("unlock.freed");
        if word & (SLEEPERS | HEAD_SLEEPS) != 0 {
            self.wake();
        }
    }

    /// R2 and R3: wakes whoever should try next, if the lock is free and somebody sleeps over it.
    #[cold]
    fn wake(&self) {
        let mut word = self.word.load(Relaxed);
        for _ in 0..TRIES {
            let has_queue = tail(word, self.nodes.len()).is_some();
            let (whom, new) = if word & OWNER != 0 {
                return; // Who holds it now wakes.
            } else if word & HEAD_SLEEPS != 0 {
                (Whom::Head, word & !HEAD_SLEEPS)
            } else if word & SLEEPERS != 0 && !has_queue && word & WOKEN == 0 {
                (Whom::Sleeper, word & !SLEEPERS | WOKEN)
            } else {
                return;
            };
            // R2
            if let Err(now) = self.word.compare_exchange(word, new, Relaxed, Relaxed) {
                word = now;
                continue;
            }
            step("unlock.chosen");
            // R3
            if self.futex_wake(whom) {
                return step("unlock.woken");
            }
            // Nobody was asleep: whoever has gone to sleep meanwhile, and was not woken since one was on its way, is our
            // business.
            word = match whom {
                Whom::Head => new,
                Whom::Sleeper => self.word.fetch_and(!WOKEN, Relaxed) & !WOKEN,
            };
        }
    }

    /// Takes `node` from the end of the queue, if it is there: nobody stands there any more.
    pub(super) fn forget_tail(&self, node: usize) {
        let mut word = self.word.load(Relaxed);
        for _ in 0..TRIES {
            if tail(word, self.nodes.len()) != Some(node) {
                return;
            }
            match self.word.compare_exchange(word, word & !TAIL, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Says that the data are whole. For the owner.
    pub(crate) fn mark_consistent(&self) {
        self.word.fetch_and(!DIED, Relaxed);
    }

    /// Who holds the lock now, by the seat of its participant; 0: nobody.
    pub(crate) fn owner(&self) -> u64 {
        self.word.load(Relaxed) & OWNER
    }

    /// Wakes all sleepers, so that they look how to wait.
    pub(crate) fn wake_all(&self) {
        let word = self.word.fetch_and(!(SLEEPERS | HEAD_SLEEPS | WOKEN), Relaxed);
        // Who was woken, and would have others woken, may be dead.
        if word & (SLEEPERS | HEAD_SLEEPS | WOKEN) != 0 {
            self.futex_wake_all();
        }
    }
}

impl<'a> Waiter<'a> {
    /// A thread of the participant in that seat, which takes the lock with [`UNTOUCHED`] if that is beside it.
    pub(crate) fn new(lock: &'a LockWords, owner: u64) -> Self {
        Self { lock, owner, place: None, was_woken: false, is_impatient: false }
    }

    /// T1: takes the lock if nobody holds it and it is this one's turn.
    pub(crate) fn try_take(&mut self) -> Option<Taken> {
        let mut word = self.lock.word.load(Relaxed);
        for _ in 0..TRIES {
            if word & OWNER != 0 || !self.may_take(word) {
                self.mend_tail(word);
                return None;
            }
            let new = self.held(word);
            // Edge `unlocked`, reading end. Edge `seated`, writing end.
            match self.lock.word.compare_exchange(word, new, AcqRel, Relaxed) {
                Ok(_) => {
                    step("lock.taken");
                    return Some(self.taken(word, None));
                }
                Err(now) => word = now,
            }
        }
        None
    }

    /// D1: takes the lock from `dead`, the seat of a participant that is proven dead and was of process `pid`, unless somebody
    /// else has.
    pub(crate) fn take_from_dead(&mut self, dead: u64, pid: u32) -> Option<Taken> {
        let mut word = self.lock.word.load(Relaxed);
        for _ in 0..TRIES {
            if word & OWNER != dead {
                return None;
            }
            let died = if word & UNTOUCHED == 0 { DIED } else { 0 };
            // It may have died with a wake to pass on.
            let new = self.held(word & !(OWNER | UNTOUCHED | WOKEN) | died | SLEEPERS);
            // Edge `unlocked`, reading end: what was done before the dead had it. Edge `seated`, writing end.
            match self.lock.word.compare_exchange(word, new, AcqRel, Relaxed) {
                Ok(_) => {
                    step("lock.inherited");
                    return Some(self.taken(word | died, (died != 0).then_some(pid)));
                }
                Err(now) => word = now,
            }
        }
        None
    }

    /// `word` once this one holds the lock.
    fn held(&self, word: u64) -> u64 {
        self.passing_wake_on(self.without_place(word)) | self.owner
    }

    fn taken(&mut self, word: u64, from_dead: Option<u32>) -> Taken {
        let was_last = self.is_at_tail(word);
        if let Some(place) = self.place.take() {
            self.lock.leave(place, was_last);
            step("lock.left_queue");
        }
        self.was_woken = false;
        Taken { is_inconsistent: word & DIED != 0, from_dead }
    }

    fn may_take(&mut self, word: u64) -> bool {
        tail(word, self.lock.nodes.len()).is_none() || self.is_impatient || self.is_head()
    }

    fn is_at_tail(&self, word: u64) -> bool {
        self.place.as_ref().is_some_and(|place| tail(word, self.lock.nodes.len()) == Some(place.node))
    }

    /// Whether it is this one's turn.
    pub(crate) fn is_head(&mut self) -> bool {
        self.place.as_mut().is_some_and(|place| self.lock.is_head(place))
    }

    /// Who holds the lock now, by the seat of its participant; 0: nobody.
    pub(crate) fn owner_now(&self) -> u64 {
        self.lock.owner()
    }

    /// Whether it stands in the queue.
    pub(crate) fn is_queued(&self) -> bool {
        self.place.is_some()
    }

    /// From now on it takes the lock whenever that is free.
    pub(crate) fn stop_queueing(&mut self) {
        self.is_impatient = true;
    }

    /// N1 and N2: goes to the end of the queue; false if there is no place in it.
    pub(crate) fn enqueue(&mut self) -> bool {
        let Some(node) = self.lock.take_node(self.owner & OWNER) else { return false };
        step("lock.placed");
        // N2: edge `enqueued`, both ends: our node is ready for who comes next, and the one before ours for us.
        let Some(word) = self.change(|waiter, word| with_tail(waiter.passing_wake_on(word), node)) else {
            self.lock.free_node(node);
            return false;
        };
        self.was_woken = false;
        self.place = Some(Place { node, before: self.lock.before(tail(word, self.lock.nodes.len()), node) });
        step("lock.queued");
        true
    }

    /// Changes the word, and yields what it was.
    fn change(&self, new: impl Fn(&Self, u64) -> u64) -> Option<u64> {
        let mut word = self.lock.word.load(Relaxed);
        for _ in 0..TRIES {
            match self.lock.word.compare_exchange(word, new(self, word), AcqRel, Relaxed) {
                Ok(_) => return Some(word),
                Err(now) => word = now,
            }
        }
        None
    }

    /// `word` once this one is on its way no longer: there may be sleepers besides the one that was woken.
    fn passing_wake_on(&self, word: u64) -> u64 {
        if self.was_woken { word & !WOKEN | SLEEPERS } else { word }
    }

    /// `word` once this one stands in the queue no longer.
    fn without_place(&self, word: u64) -> u64 {
        if self.is_at_tail(word) { word & !TAIL } else { word }
    }

    /// N6: a queue whose last has given up looks like none. The last that is left says that there is one.
    fn mend_tail(&self, word: u64) {
        if let Some(place) = &self.place
            && word & TAIL == 0
            && self.lock.reopen(place)
        {
            // Edge `enqueued`, writing end.
            let mended = self.lock.word.compare_exchange(word, with_tail(word, place.node), Release, Relaxed);
            if mended.is_err() {
                self.lock.close_again(place);
            }
        }
    }

    /// T1 at the deadline: past those before it, who may be dead. A queue of the dead alone goes with it.
    pub(crate) fn try_take_at_deadline(&mut self) -> Option<Taken> {
        let word = self.lock.word.load(Relaxed);
        if !self.is_queued() && word & OWNER == 0 && word & TAIL != 0 {
            let _or_takes_it_without = self.enqueue();
        }
        self.stop_queueing();
        self.try_take()
    }

    /// S1 and S2: sleeps until it is worth another try, at most `limit`.
    pub(crate) fn sleep(&mut self, limit: Duration) -> Slept {
        let is_head = self.is_head();
        if let Some(before) = self.place.as_ref().and_then(|place| place.before) {
            return self.lock.sleep_behind(before, limit);
        }
        let (whom, flag) = if is_head { (Whom::Head, HEAD_SLEEPS) } else { (Whom::Sleeper, SLEEPERS) };
        let mut word = self.lock.word.load(Relaxed);
        for _ in 0..TRIES {
            if word & OWNER == 0 && self.may_take(word) {
                return Slept::Not;
            }
            let new = self.passing_wake_on(word) | flag;
            // S1
            if let Err(now) = self.lock.word.compare_exchange(word, new, Relaxed, Relaxed) {
                word = now;
                continue;
            }
            self.was_woken = false;
            step("lock.announced");
            // S2
            let slept = self.lock.futex_wait(lower_half(new), whom, limit);
            step("lock.slept");
            // Who was to be woken may have died, which one whose sleep has timed out makes up for.
            self.was_woken = whom == Whom::Sleeper && slept != Slept::Not;
            return slept;
        }
        Slept::Not
    }

    /// Wants the lock no more.
    pub(crate) fn give_up(mut self) {
        let word = self.change(|waiter, word| waiter.passing_wake_on(waiter.without_place(word)));
        let was_last = word.is_some_and(|word| self.is_at_tail(word));
        if let Some(place) = self.place.take() {
            self.lock.leave(place, was_last);
        }
        step("lock.gave_up");
        // The lock may have come free for this one.
        self.lock.wake();
    }
}

#[cfg(not(loom))]
mod kernel {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::Whom;
    use crate::sync::futex::{Half, Slept};
    use crate::sync::lock::words::LockWords;

    /// For all that sleep.
    pub(in super::super) const WHOEVER: NonZeroU32 = NonZeroU32::MAX;

    impl Whom {
        fn bits(self) -> NonZeroU32 {
            match self {
                Self::Sleeper => NonZeroU32::MIN,
                Self::Head => NonZeroU32::MIN.saturating_add(1),
            }
        }
    }

    impl LockWords {
        pub(super) fn futex_wait(&self, value: u32, whom: Whom, limit: Duration) -> Slept {
            Half::of(&self.word).wait(value, whom.bits(), limit)
        }

        /// Wakes one sleeper, or whoever takes itself for the head; whether there was one.
        pub(super) fn futex_wake(&self, whom: Whom) -> bool {
            let count = match whom {
                Whom::Sleeper => 1,
                Whom::Head => i32::MAX as u32,
            };
            Half::of(&self.word).wake(whom.bits(), count) > 0
        }

        pub(super) fn futex_wake_all(&self) {
            Half::of(&self.word).wake(WHOEVER, i32::MAX as u32);
        }
    }
}

#[cfg(loom)]
mod model {
    use std::time::Duration;

    use super::Whom;
    use crate::prim::Ordering::Relaxed;
    use crate::sync::futex::Slept;
    use crate::sync::lock::word::lower_half;
    use crate::sync::lock::words::LockWords;

    impl LockWords {
        pub(super) fn futex_wait(&self, value: u32, whom: Whom, limit: Duration) -> Slept {
            self.kernel[whom as usize].wait(|| lower_half(self.word.load(Relaxed)) == value, limit)
        }

        pub(super) fn futex_wake(&self, whom: Whom) -> bool {
            match whom {
                Whom::Sleeper => self.kernel[whom as usize].wake_one(),
                Whom::Head => self.kernel[whom as usize].wake(),
            }
        }

        pub(super) fn futex_wake_all(&self) {
            self.kernel.iter().for_each(|queue| {
                queue.wake();
            });
        }
    }
}
