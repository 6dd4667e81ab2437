//! Waiting for a lock: which step comes when.

use std::time::Duration;

use crate::prim::Ordering::Relaxed;
use crate::prim::step;
use crate::sync::clock::now_ns;
use crate::sync::eventcount::PARK_NS_MAX;
use crate::sync::lock::raw::{Taken, Waiter};
use crate::sync::lock::strategy::LockStrategy;
use crate::sync::lock::words::LockWords;
use crate::sync::wait::PEER_CHECK_NS;

/// Who has waited that long goes to the queue, past which nobody takes the lock.
pub(crate) const QUEUE_AFTER_NS: u64 = 10_000_000;
/// Who has stood in the queue that long takes the lock whenever it is free: somebody before it may be dead or stopped.
pub(crate) const QUEUE_NS_MAX: u64 = 20_000_000;

/// Polls before the first look at the clock.
const BURST_POLLS: u32 = 32;
/// Longest pause between two polls of who spins, in spin-loop hints.
const PAUSES_MAX: u32 = 64;
/// Polls between two looks at the clock, of which each is as long as [`PAUSES_MAX`] hints at most.
const SPIN_POLLS: u32 = 16;
/// Who has spun that long gives its CPU to another runnable thread now and then: the owner may need it.
const YIELD_AFTER_NS: u64 = 50_000;

/// How a wait ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waited {
    pub(crate) taken: Taken,
    pub(crate) wait_ns: u64,
    pub(crate) parks: u64,
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

    /// Takes the lock for a participant in the seat `owner`, waiting for it until `deadline_ns` on [`now_ns`]'s clock;
    /// `None` when that has passed. `is_dead` says whether the participant in a seat is proven dead.
    #[cold]
    pub(crate) fn wait(
        &self,
        owner: u64,
        deadline_ns: Option<u64>,
        mut is_dead: impl FnMut(u64) -> bool,
    ) -> Option<Waited> {
        let mut waiter = Waiter::new(self, owner);
        let looks_first =
            matches!(self.strategy().on_this_machine(), LockStrategy::Spin | LockStrategy::SpinPark { .. });
        if looks_first && let Some(taken) = spin(&mut waiter, BURST_POLLS) {
            return Some(Waited { taken, wait_ns: 0, parks: 0 });
        }
        let began_ns = now_ns();
        let (mut checked_ns, mut queued_ns, mut parks, mut finds_no_place) = (0, 0, 0, false);
        let waited = |taken, parks| Some(Waited { taken, wait_ns: now_ns() - began_ns, parks });
        loop {
            if let Some(taken) = waiter.try_take() {
                return waited(taken, parks);
            }
            let now = now_ns();
            if deadline_ns.is_some_and(|deadline| now >= deadline) {
                // One last look, past a queue of those who may be dead.
                waiter.stop_queueing();
                let taken = waiter.try_take();
                if taken.is_none() {
                    waiter.give_up();
                }
                return taken.and_then(|taken| waited(taken, parks));
            }
            if now.saturating_sub(checked_ns) >= PEER_CHECK_NS {
                checked_ns = now;
                let holder = self.owner();
                if holder != 0 && is_dead(holder) {
                    if let Some(taken) = waiter.take_from_dead(holder) {
                        return waited(taken, parks);
                    }
                    continue;
                }
                if finds_no_place {
                    self.free_nodes_of(&mut is_dead);
                }
            }
            let strategy = self.strategy().on_this_machine();
            let waited_ns = now - began_ns;
            if !waiter.is_queued() {
                if strategy == LockStrategy::Queue || waited_ns >= QUEUE_AFTER_NS {
                    finds_no_place = !waiter.enqueue();
                    queued_ns = now;
                }
            } else if now - queued_ns >= QUEUE_NS_MAX {
                waiter.stop_queueing();
            }
            let sleeps = match strategy {
                LockStrategy::Spin | LockStrategy::Queue => false,
                LockStrategy::SpinPark { budget_ns } => waited_ns >= u64::from(budget_ns),
                LockStrategy::Park => true,
            };
            if sleeps {
                parks += 1;
                let wakes_ns = wakes_ns(&waiter, began_ns, queued_ns, deadline_ns, now);
                let _look_again = waiter.sleep(Duration::from_nanos(wakes_ns));
                continue;
            }
            if waited_ns >= YIELD_AFTER_NS {
                std::thread::yield_now();
            }
            if let Some(taken) = spin(&mut waiter, SPIN_POLLS) {
                return waited(taken, parks);
            }
        }
    }
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
    let mut pauses = 1;
    for _ in 0..polls {
        for _ in 0..pauses {
            std::hint::spin_loop();
        }
        // Who stands in the queue looks at a word of its own, and alone at the lock's when it is the head.
        pauses = if waiter.is_queued() { 1 } else { (pauses * 2).min(PAUSES_MAX) };
        if waiter.is_queued() && !waiter.is_head() {
            continue;
        }
        if let Some(taken) = waiter.try_take() {
            return Some(taken);
        }
    }
    None
}
