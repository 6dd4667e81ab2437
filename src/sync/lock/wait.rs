//! Waiting for a lock: which step comes when.

use std::time::Duration;

use crate::prim::Ordering::Relaxed;
use crate::prim::step;
use crate::sync::clock::now_ns;
use crate::sync::eventcount::PARK_NS_MAX;
use crate::sync::futex::Slept;
use crate::sync::lock::raw::{Taken, Waiter};
use crate::sync::lock::strategy::LockStrategy;
use crate::sync::lock::word::OWNER;
use crate::sync::lock::words::LockWords;
use crate::sync::wait::{PEER_CHECK_NS, PeerCheck};

/// Who has waited that long goes to the queue, past which nobody takes the lock. Longer than a thread waits for a CPU where some
/// compete for each: what stands in the queue without one holds up the others.
pub(crate) const QUEUE_AFTER_NS: u64 = 50_000_000;
/// Who has stood in the queue that long takes the lock whenever it is free: somebody before it may be dead or stopped.
pub(crate) const QUEUE_NS_MAX: u64 = 20_000_000;

/// Polls before the first look at the clock.
const BURST_POLLS: u32 = 32;
/// First pause before a poll of who spins, in spin-loop hints: an owner that gives the lock back and wants it again is then
/// done with more than one use of it, which costs it less than to lose the line between each two.
const PAUSES_MIN: u32 = 16;
/// Longest pause between two polls of who spins.
const PAUSES_MAX: u32 = 64;
/// Polls between two looks at the clock, of which each is as long as [`PAUSES_MAX`] hints at most.
const SPIN_POLLS: u32 = 16;
/// Who has spun that long gives its CPU to another runnable thread now and then: the owner may need it.
const YIELD_AFTER_NS: u64 = 50_000;
/// Polls between two such times: few, since each takes the lock's line from its owner.
const POLLS_BETWEEN_YIELDS: u32 = 3;

/// How a wait ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waited {
    pub(crate) taken: Taken,
    /// What it cost; `None` where the lock was had at once.
    pub(crate) cost: Option<WaitCost>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WaitCost {
    pub(crate) wait_ns: u64,
    pub(crate) parks: u64,
}

/// How who waits learns of the owner's death.
pub(crate) struct Deaths<'a, F> {
    /// When that was asked last.
    pub(crate) check: &'a PeerCheck,
    /// The process of the participant in a seat, or 0 if that is not known any more, if the participant is proven dead.
    pub(crate) sweep: F,
}

impl<F: FnMut(u64) -> Option<u32>> Deaths<'_, F> {
    /// D1, if the owner is dead and it is time to ask.
    fn inherit_when_due(&mut self, waiter: &mut Waiter<'_>, now: u64) -> Option<Taken> {
        if !self.check.is_due(now) {
            return None;
        }
        let owner = waiter.owner_now();
        let pid = if owner == 0 { None } else { (self.sweep)(owner) };
        waiter.take_from_dead(owner, pid?)
    }
}

impl LockWords {
    /// How the lock is waited for now.
    pub(crate) fn strategy(&self) -> LockStrategy {
        LockStrategy::from_word(self.strategy.load(Relaxed))
    }

    /// Changes how the lock is waited for, also by those who wait now.
    pub(crate) fn set_strategy(&self, strategy: LockStrategy) {
        self.strategy.store(strategy.to_word(), Relaxed);
        step("strategy.stored");
        self.wake_all();
        step("strategy.woken");
    }

    /// Takes the lock for a participant in the seat `owner` if nobody living holds it, also past those who wait for it.
    pub(crate) fn try_take(&self, owner: u64, mut deaths: Deaths<'_, impl FnMut(u64) -> Option<u32>>) -> Option<Taken> {
        let mut waiter = Waiter::new(self, owner);
        waiter.stop_queueing();
        waiter.try_take().or_else(|| deaths.inherit_when_due(&mut waiter, now_ns()))
    }

    /// Takes the lock for a participant in the seat `owner`, waiting for it until `deadline_ns` on [`now_ns`]'s clock;
    /// `None` when that has passed.
    #[cold]
    pub(crate) fn wait(
        &self,
        owner: u64,
        deadline_ns: Option<u64>,
        mut deaths: Deaths<'_, impl FnMut(u64) -> Option<u32>>,
    ) -> Option<Waited> {
        let mut waiter = Waiter::new(self, owner);
        if let Some(taken) = waiter.try_take() {
            return Some(Waited { taken, cost: None });
        }
        let looks_first =
            matches!(self.strategy().on_this_machine(), LockStrategy::Spin | LockStrategy::SpinPark { .. });
        if looks_first && let Some(taken) = spin(&mut waiter, BURST_POLLS) {
            return Some(Waited { taken, cost: Some(WaitCost::default()) });
        }
        let began_ns = now_ns();
        let (mut queued_ns, mut sought_ns, mut parks) = (0, 0, 0);
        let waited = |taken, parks| {
            let cost = Some(WaitCost { wait_ns: now_ns() - began_ns, parks });
            Some(Waited { taken, cost })
        };
        loop {
            if let Some(taken) = waiter.try_take() {
                return waited(taken, parks);
            }
            let now = now_ns();
            if let Some(taken) = deaths.inherit_when_due(&mut waiter, now) {
                return waited(taken, parks);
            }
            if deadline_ns.is_some_and(|deadline| now >= deadline) {
                let taken = waiter.try_take_at_deadline();
                if taken.is_none() {
                    waiter.give_up();
                }
                return taken.and_then(|taken| waited(taken, parks));
            }
            let strategy = self.strategy().on_this_machine();
            let waited_ns = now - began_ns;
            if !waiter.is_queued() {
                if strategy == LockStrategy::Queue || waited_ns >= QUEUE_AFTER_NS {
                    let has_place = waiter.enqueue();
                    if !has_place && now.saturating_sub(sought_ns) >= PEER_CHECK_NS {
                        sought_ns = now;
                        self.free_nodes_of(owner & OWNER, |seat| (deaths.sweep)(seat).is_some());
                    }
                    queued_ns = now;
                }
            } else if now - queued_ns >= QUEUE_NS_MAX {
                waiter.stop_queueing();
            }
            if strategy.sleeps_after(waited_ns) {
                let wakes_ns = wakes_ns(&waiter, began_ns, queued_ns, deadline_ns, now);
                parks += u64::from(waiter.sleep(Duration::from_nanos(wakes_ns)) != Slept::Not);
                continue;
            }
            if let Some(taken) = spin(&mut waiter, polls_after(waited_ns)) {
                return waited(taken, parks);
            }
        }
    }
}

/// Polls before the next look at the clock, of who has waited that long; the CPU was another's before, if that is due.
pub(super) fn polls_after(waited_ns: u64) -> u32 {
    if waited_ns < YIELD_AFTER_NS {
        return SPIN_POLLS;
    }
    std::thread::yield_now();
    POLLS_BETWEEN_YIELDS
}

/// How long a sleep may be: until there is something to do that no wake is for.
fn wakes_ns(waiter: &Waiter<'_>, began_ns: u64, queued_ns: u64, deadline_ns: Option<u64>, now: u64) -> u64 {
    let change_ns = if waiter.is_queued() { queued_ns + QUEUE_NS_MAX } else { began_ns + QUEUE_AFTER_NS };
    let until_change = change_ns.checked_sub(now).filter(|&ns| ns > 0).unwrap_or(PARK_NS_MAX);
    let until_deadline = deadline_ns.map_or(u64::MAX, |deadline| deadline - now);
    until_change.min(PARK_NS_MAX).min(until_deadline)
}

/// Tries `polls` times, at growing intervals.
fn spin(waiter: &mut Waiter<'_>, polls: u32) -> Option<Taken> {
    // Who stands in the queue looks at a word of its own, and alone at the lock's when it is the head.
    let is_queued = waiter.is_queued();
    let mut pauses = if is_queued { 1 } else { PAUSES_MIN };
    for _ in 0..polls {
        for _ in 0..pauses {
            std::hint::spin_loop();
        }
        if is_queued {
            if !waiter.is_head() {
                continue;
            }
        } else {
            pauses = (pauses * 2).min(PAUSES_MAX);
        }
        if let Some(taken) = waiter.try_take() {
            return Some(taken);
        }
    }
    None
}
