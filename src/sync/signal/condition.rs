//! A condition that processes wait for, and of which they are told one by one.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::prim::AtomicU64;
use crate::prim::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::shm::ShmError;
use crate::shm::layout::Kind;
use crate::shm::window::Window;
use crate::sync::clock::deadline;
use crate::sync::signal::shared::Signal;

/// Threads, of all processes, that wait at a time.
const WAITERS_MAX: usize = 1024;
/// Of each: who it is and how far, and its place in the order.
const SLOT_BYTES: usize = 2 * size_of::<u64>();

/// What the low bits of a slot say; above them is the seat of who has it. 0: free.
const PHASE: u64 = 3;
const ENTERING: u64 = 1;
const WAITING: u64 = 2;
const NOTIFIED: u64 = 3;

/// A condition variable beside a lock of the caller's, which is to be held on [`ShmCondition::enter`] and
/// [`ShmCondition::notify`], and let go between entering and waiting.
///
/// Each notification is for those that wait then, the longest first, and is taken by no other. Those that have died are passed
/// over; what one was told that dies before it gives up its place is told to the next.
///
/// It has no name: a process reaches it through its descriptor ([`AsFd`], [`ShmCondition::from_fd`]). Handles are cheap to clone,
/// and clones share the mapping.
///
/// ```
/// use tidegate::ShmCondition;
///
/// let condition = ShmCondition::create()?;
/// let waiter = condition.enter()?;
/// assert_eq!(condition.notify(1)?, 1);
/// assert!(waiter.wait(None)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ShmCondition {
    shared: Arc<Mapping>,
}

#[derive(Debug)]
struct Mapping {
    signal: Signal,
    slots: Window,
}

/// A place among those that wait, given up on drop.
#[derive(Debug)]
#[must_use]
pub struct Waiter {
    shared: Arc<Mapping>,
    slot: usize,
}

impl ShmCondition {
    /// Makes a condition for which nobody waits.
    ///
    /// # Errors
    /// Memory cannot be had.
    pub fn create() -> Result<Self, ShmError> {
        Self::of(Signal::create(Kind::Condition, WAITERS_MAX as u32, 0, WAITERS_MAX * SLOT_BYTES)?)
    }

    /// Attaches to the condition that a descriptor leads to.
    ///
    /// # Errors
    /// What is in it is no condition, of another version, or not trusted.
    pub fn from_fd(memory: OwnedFd) -> Result<Self, ShmError> {
        Self::of(Signal::from_fd(Kind::Condition, &memory)?.0)
    }

    fn of(signal: Signal) -> Result<Self, ShmError> {
        let slots = signal.slots(WAITERS_MAX * SLOT_BYTES)?;
        Ok(Self { shared: Arc::new(Mapping { signal, slots }) })
    }

    /// Takes a place among those that wait: what is notified from now on is for it, too.
    ///
    /// # Errors
    /// [`ShmError::Forked`]; [`ShmError::TooManyParticipants`] where 1,024 threads wait already.
    pub fn enter(&self) -> Result<Waiter, ShmError> {
        let shared = &self.shared;
        shared.check_not_forked()?;
        let slot = shared.claim().or_else(|| {
            shared.free_the_dead();
            shared.claim()
        });
        let slot = slot.ok_or(ShmError::TooManyParticipants { slots: WAITERS_MAX })?;
        let ticket = shared.signal.words.state.0.fetch_add(1, Relaxed);
        shared.ticket(slot).store(ticket, Relaxed);
        // Edge `entered`, writing end: who finds it waiting finds its ticket.
        shared.phase(slot).store(shared.signal.seat() << 2 | WAITING, Release);
        Ok(Waiter { shared: Arc::clone(shared), slot })
    }

    /// Tells up to `most` of those that wait, the longest first; yields how many.
    ///
    /// # Errors
    /// [`ShmError::Forked`].
    pub fn notify(&self, most: usize) -> Result<usize, ShmError> {
        let shared = &self.shared;
        shared.check_not_forked()?;
        shared.pass_on_from_the_dead();
        Ok(shared.tell(most))
    }
}

impl Waiter {
    /// Waits until it is told, at most `timeout`, or as long as it takes. Whether it was.
    ///
    /// # Errors
    /// [`ShmError::Forked`].
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool, ShmError> {
        self.shared.check_not_forked()?;
        let told = || self.is_notified().then_some(());
        let pass_on = || {
            self.shared.pass_on_from_the_dead();
            told()
        };
        let signal = &self.shared.signal;
        let waited = signal.wait(timeout.map(deadline), told, pass_on);
        // A wait that is short ends before it looks who has died.
        Ok(waited.or_else(|| if signal.is_check_due() { pass_on() } else { None }).is_some())
    }

    /// Whether it was told.
    pub fn is_notified(&self) -> bool {
        // Edge `notified`, reading end: what whoever notified did before is done.
        self.shared.phase(self.slot).load(Acquire) & PHASE == NOTIFIED
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        // A child that has it by `fork` must not give up its parent's place.
        if self.shared.check_not_forked().is_ok() {
            let phase = self.shared.phase(self.slot);
            let word = phase.load(Relaxed);
            if word >> 2 == self.shared.signal.seat() {
                phase.store(0, Release); // edge `slot-left`, writing end
            }
        }
    }
}

impl Mapping {
    /// As [`ShmCondition::notify`].
    fn tell(&self, most: usize) -> usize {
        let mut waiting: Vec<(u64, usize, u64)> = (0..WAITERS_MAX)
            .filter_map(|slot| {
                let word = self.phase(slot).load(Acquire); // edge `entered`, reading end
                (word & PHASE == WAITING).then(|| (self.ticket(slot).load(Relaxed), slot, word))
            })
            .collect();
        waiting.sort_unstable();
        let mut told = 0;
        for (_, slot, word) in waiting {
            if told == most {
                break;
            }
            if self.is_dead(word) {
                self.free(slot, word);
            } else {
                // Edge `notified`, writing end. One that has given up meanwhile is told nothing.
                let to = word & !PHASE | NOTIFIED;
                told += usize::from(self.phase(slot).compare_exchange(word, to, Release, Relaxed).is_ok());
            }
        }
        if told > 0 {
            self.signal.notify();
        }
        told
    }

    /// What those were told who died before they gave up their place, nobody has acted on: the next are told.
    fn pass_on_from_the_dead(&self) {
        let untold = (0..WAITERS_MAX).filter(|&slot| {
            let word = self.phase(slot).load(Relaxed);
            word & PHASE == NOTIFIED && self.is_dead(word) && self.free(slot, word)
        });
        let untold = untold.count();
        if untold > 0 {
            self.tell(untold);
        }
    }

    fn phase(&self, slot: usize) -> &AtomicU64 {
        self.slots.word(slot * SLOT_BYTES)
    }

    fn ticket(&self, slot: usize) -> &AtomicU64 {
        self.slots.word(slot * SLOT_BYTES + size_of::<u64>())
    }

    fn claim(&self) -> Option<usize> {
        let entering = self.signal.seat() << 2 | ENTERING;
        (0..WAITERS_MAX).find(|&slot| {
            let phase = self.phase(slot);
            // Edge `slot-left`, reading end: the last owner's ticket is written before the next one's. Edge `seated`, writing end.
            phase.load(Relaxed) == 0 && phase.compare_exchange(0, entering, AcqRel, Relaxed).is_ok()
        })
    }

    fn is_dead(&self, word: u64) -> bool {
        word >> 2 != self.signal.seat() && self.signal.has_died(word >> 2).is_some()
    }

    /// Frees the slot of a dead one; true for the one caller that did.
    fn free(&self, slot: usize, word: u64) -> bool {
        self.phase(slot).compare_exchange(word, 0, Relaxed, Relaxed).is_ok()
    }

    fn free_the_dead(&self) {
        self.pass_on_from_the_dead();
        for slot in 0..WAITERS_MAX {
            let word = self.phase(slot).load(Relaxed);
            if word != 0 && self.is_dead(word) {
                self.free(slot, word);
            }
        }
    }

    fn check_not_forked(&self) -> Result<(), ShmError> {
        self.signal.check_not_forked().map_err(|owner| ShmError::Forked { owner })
    }
}

impl AsFd for ShmCondition {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.signal.as_fd()
    }
}
