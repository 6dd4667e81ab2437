//! Memory that several channels share.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// How long it is known that somebody was refused, nanoseconds.
const TIGHT_NS: u64 = 100_000_000;

/// Bytes of rings that several controlled channels may have together. What is free goes to whoever asks for it first; while
/// somebody is refused, rings that are larger than they need to be are given back sooner, and nobody else grows whose stalls have
/// cost less.
///
/// When a controller ends, its channel keeps its rings, and they are counted no more. It bounds what controllers add: the rings
/// that channels begin with, and those that others ask for, are counted, and may exceed it.
#[derive(Debug)]
pub struct Budget {
    bytes: u64,
    used: AtomicU64,
    /// When somebody was refused last, on the clock of samples, and what its stalls have cost, microseconds.
    refused_ns: AtomicU64,
    refused_us: AtomicU64,
    /// Who that was.
    refused: AtomicU64,
    shares: AtomicU64,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: u64) -> Self {
        let zero = || AtomicU64::new(0);
        Self { bytes, used: zero(), refused_ns: zero(), refused_us: zero(), refused: zero(), shares: zero() }
    }

    /// All of it.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What its channels have, or have asked for.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// What is free.
    pub fn free(&self) -> u64 {
        self.bytes.saturating_sub(self.used())
    }

    /// Takes in that a channel has other rings than before.
    fn change(&self, before: u64, now: u64) {
        self.used.fetch_add(now.wrapping_sub(before), Relaxed);
    }

    /// Takes so many bytes, if they are free.
    fn try_take(&self, bytes: u64) -> bool {
        let taken = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.bytes);
        self.used.fetch_update(Relaxed, Relaxed, taken).is_ok()
    }

    /// Takes in that a share was refused for want of room, which no other outbids.
    fn refuse(&self, share: u64, at_ns: u64, credit_us: f64) {
        self.refused_us.store(credit_us as u64, Relaxed);
        self.refused.store(share, Relaxed);
        self.refused_ns.store(at_ns, Relaxed);
    }

    fn is_tight(&self, at_ns: u64) -> bool {
        let refused_ns = self.refused_ns.load(Relaxed);
        refused_ns != 0 && at_ns.saturating_sub(refused_ns) < TIGHT_NS
    }

    /// Whether another share was refused lately whose need was greater.
    fn outbids(&self, share: u64, at_ns: u64, credit_us: f64) -> bool {
        let is_other = self.refused.load(Relaxed) != share;
        is_other && self.is_tight(at_ns) && credit_us < self.refused_us.load(Relaxed) as f64
    }

    /// Forgets that a share was refused, since it asks no more.
    fn forget(&self, share: u64) {
        if self.refused.load(Relaxed) == share {
            self.refused_ns.store(0, Relaxed);
        }
    }
}

/// What a channel has of a budget; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Option<std::sync::Arc<Budget>>,
    number: u64,
    held: u64,
    /// What was taken for rings that are not all there yet, until that tick.
    pending_until: u64,
}

impl Share {
    pub(crate) fn of(budget: Option<std::sync::Arc<Budget>>) -> Self {
        let number = budget.as_ref().map_or(0, |budget| budget.shares.fetch_add(1, Relaxed) + 1);
        Self { budget, number, held: 0, pending_until: 0 }
    }

    /// Takes in what the channel has at a tick.
    pub(crate) fn observe(&mut self, ring_bytes: u64, tick: u64) {
        let Some(budget) = &self.budget else { return };
        let held = if tick < self.pending_until { self.held.max(ring_bytes) } else { ring_bytes };
        budget.change(self.held, held);
        self.held = held;
    }

    /// What a channel may get at most, bytes.
    pub(crate) fn free(&self) -> u64 {
        self.budget.as_ref().map_or(u64::MAX, |budget| budget.free())
    }

    /// Whether somebody was refused lately.
    pub(crate) fn is_tight(&self, at_ns: u64) -> bool {
        self.budget.as_ref().is_some_and(|budget| budget.is_tight(at_ns))
    }

    /// Takes `bytes` for rings that will all be there in `ticks`; false if they are not free, or for others.
    pub(crate) fn try_take(&mut self, bytes: u64, (tick, ticks): (u64, u64), at_ns: u64, credit_us: f64) -> bool {
        let Some(budget) = &self.budget else { return true };
        if budget.outbids(self.number, at_ns, credit_us) {
            return false;
        }
        if !budget.try_take(bytes) {
            budget.refuse(self.number, at_ns, credit_us);
            return false;
        }
        budget.forget(self.number);
        self.held += bytes;
        self.pending_until = tick + ticks;
        true
    }

    /// Gives back what was taken last: nothing came of it.
    pub(crate) fn give_back(&mut self, bytes: u64) {
        let Some(budget) = &self.budget else { return };
        let held = self.held.saturating_sub(bytes);
        budget.change(self.held, held);
        self.held = held;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.forget(self.number);
            budget.change(self.held, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_is_taken_is_never_more_than_there_is_and_comes_back() {
        let budget = Arc::new(Budget::new(1000));
        let [mut one, mut other] = [(); 2].map(|()| Share::of(Some(Arc::clone(&budget))));
        one.observe(300, 1);
        assert!(one.try_take(500, (1, 10), 1, 0.0));
        assert!(!other.try_take(300, (1, 10), 1, 0.0));
        one.observe(300, 5);
        assert_eq!(budget.used(), 800, "what it asked for comes yet");
        one.observe(600, 11);
        assert_eq!((budget.used(), budget.free()), (600, 400));
        assert!(one.try_take(100, (11, 10), 1, 0.0));
        one.give_back(100);
        assert_eq!(budget.used(), 600);
        drop(one);
        assert_eq!(budget.used(), 0);
        assert!(Share::of(None).try_take(u64::MAX, (0, 0), 0, 0.0));
    }

    #[test]
    fn who_was_refused_for_want_of_room_is_not_overtaken_by_who_needs_it_less() {
        let budget = Arc::new(Budget::new(1000));
        let [mut needy, mut other] = [(); 2].map(|()| Share::of(Some(Arc::clone(&budget))));
        assert!(!needy.try_take(2000, (1, 1), 5, 70.0));
        assert!(other.is_tight(6));
        assert!(!other.try_take(10, (1, 1), 6, 60.0));
        assert!(!other.try_take(10, (1, 1), 4 + TIGHT_NS, 60.0));
        assert!(other.try_take(10, (1, 1), 6 + TIGHT_NS, 60.0), "asking does not renew the refusal");
        assert!(!needy.try_take(2000, (1, 1), 300, 70.0));
        assert!(needy.try_take(10, (1, 1), 301, 60.0), "nobody outbids itself");
        assert!(other.try_take(10, (1, 1), 302, 0.0), "who was refused has got something");
        assert!(!needy.try_take(2000, (1, 1), 400, 70.0));
        assert!(other.try_take(10, (1, 1), 401, 80.0));
        drop(needy);
        assert!(other.try_take(10, (1, 1), 402, 0.0), "who was refused asks no more");
    }
}
