//! Sleeping and waking: steps W1-W5 against K1-K5.

use std::time::Duration;

use loom::sync::Arc;
use loom::sync::atomic::AtomicU64;
use loom::sync::atomic::Ordering::Relaxed;
use loom::thread;

use crate::model;
use crate::sync::eventcount::EventCount;

/// Sleeps until `ready`; a wake-up that is lost is a deadlock, which loom reports.
fn wait_until(event: &EventCount, ready: impl Fn() -> bool) {
    let look = || ready().then_some(());
    while event.park(Duration::MAX, look).or_else(look).is_none() {}
}

#[test]
fn a_parked_waiter_is_always_woken() {
    model(3, || {
        let shared = Arc::new((EventCount::default(), AtomicU64::new(0)));
        let waiter = thread::spawn({
            let shared = Arc::clone(&shared);
            move || wait_until(&shared.0, || shared.1.load(Relaxed) == 2)
        });
        for value in 1..=2 {
            shared.1.store(value, Relaxed);
            shared.0.notify();
        }
        waiter.join().unwrap();
    });
}

#[test]
fn two_waiters_are_both_woken() {
    model(2, || {
        let shared = Arc::new((EventCount::default(), AtomicU64::new(0)));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || wait_until(&shared.0, || shared.1.load(Relaxed) == 1))
            })
            .collect();
        shared.1.store(1, Relaxed);
        shared.0.notify();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

#[test]
fn a_wait_returns_when_the_strategy_is_switched() {
    model(3, || {
        let shared = Arc::new((EventCount::default(), AtomicU64::new(0)));
        let waiter = thread::spawn({
            let shared = Arc::clone(&shared);
            // A sleeper that leaves to spin as soon as the strategy word says so.
            move || wait_until(&shared.0, || shared.1.load(Relaxed) != 0)
        });
        shared.1.store(1, Relaxed);
        shared.0.wake_all();
        waiter.join().unwrap();
    });
}

#[test]
fn a_waiter_hears_each_of_two_wakers() {
    model(2, || {
        let shared = Arc::new((EventCount::default(), [AtomicU64::new(0), AtomicU64::new(0)]));
        let waker = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                shared.1[0].store(1, Relaxed);
                shared.0.notify();
            }
        });
        let waiter = thread::spawn({
            let shared = Arc::clone(&shared);
            move || wait_until(&shared.0, || shared.1.iter().all(|word| word.load(Relaxed) == 1))
        });
        shared.1[1].store(1, Relaxed);
        shared.0.notify();
        waker.join().unwrap();
        waiter.join().unwrap();
    });
}
