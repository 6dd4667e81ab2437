//! The lock of `src/sync/lock`: every way of waiting, mixed and switched, a death, and giving up.

use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::model;
use crate::prim::Ordering::{Acquire, Relaxed};
use crate::prim::{AtomicU64, fence};
use crate::sync::lock::raw::{Taken, Waiter};
use crate::sync::lock::words::LockWords;

/// How a thread of the model waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arm {
    Spin,
    Queue,
    Park,
    /// In the queue and asleep, as who has slept for long.
    QueueAndPark,
}

pub(crate) struct Shared {
    pub(crate) lock: LockWords,
    value: UnsafeCell<u64>,
}

// SAFETY: the cell is what the lock is to guard: loom reports every pair of accesses that it does not order.
unsafe impl Sync for Shared {}

pub(crate) fn shared() -> Arc<Shared> {
    Arc::new(Shared { lock: LockWords::default(), value: UnsafeCell::new(0) })
}

/// Waits as `arm` says. A wake-up that is lost is a deadlock, and a queue that nobody heads a livelock, which loom reports.
pub(crate) fn lock(shared: &Shared, owner: u64, arm: Arm) -> Taken {
    let mut waiter = Waiter::new(&shared.lock, owner);
    if matches!(arm, Arm::Queue | Arm::QueueAndPark) {
        assert!(waiter.enqueue());
    }
    loop {
        if let Some(taken) = waiter.try_take() {
            return taken;
        }
        match arm {
            Arm::Spin | Arm::Queue => thread::yield_now(),
            Arm::Park | Arm::QueueAndPark => {
                waiter.sleep(Duration::MAX);
            }
        }
    }
}

/// Takes the lock past those who wait; whether it was free.
pub(crate) fn past_the_queue(shared: &Shared, owner: u64) -> bool {
    let mut waiter = Waiter::new(&shared.lock, owner);
    waiter.stop_queueing();
    waiter.try_take().is_some()
}

/// Adds one under the lock.
pub(crate) fn add(shared: &Shared) {
    // SAFETY: loom fails the model if this access is not ordered before or after all others.
    shared.value.with_mut(|value| unsafe { *value += 1 });
}

pub(crate) fn lock_and_add(shared: &Shared, owner: u64, arm: Arm) {
    lock(shared, owner, arm);
    add(shared);
    shared.lock.give_back(owner);
}

/// A thread that does so.
pub(crate) fn adder(shared: &Arc<Shared>, owner: u64, arm: Arm) -> thread::JoinHandle<()> {
    let shared = Arc::clone(shared);
    thread::spawn(move || lock_and_add(&shared, owner, arm))
}

/// What was added, now that all is quiet: nobody has the lock, or a place in the queue.
pub(crate) fn value(shared: &Shared) -> u64 {
    assert_eq!((shared.lock.owner(), shared.lock.nodes_taken()), (0, 0));
    // SAFETY: as in `add`.
    shared.value.with(|value| unsafe { *value })
}

/// Two threads that wait in these ways exclude each other, and both come to an end.
fn two(arms: [Arm; 2], preemptions: usize) {
    model(preemptions, move || {
        let shared = shared();
        let other = adder(&shared, 1, arms[0]);
        lock_and_add(&shared, 2, arms[1]);
        other.join().unwrap();
        assert_eq!(value(&shared), 2);
    });
}

#[test]
fn who_spins_excludes_who_spins() {
    two([Arm::Spin, Arm::Spin], 3);
}

#[test]
fn who_sleeps_is_woken() {
    two([Arm::Park, Arm::Park], 3);
}

#[test]
fn who_stands_in_the_queue_gets_its_turn() {
    two([Arm::Queue, Arm::Queue], 3);
}

#[test]
fn who_sleeps_in_the_queue_is_woken() {
    two([Arm::QueueAndPark, Arm::QueueAndPark], 3);
}

#[test]
fn ways_of_waiting_mix() {
    for arms in
        [[Arm::Spin, Arm::Park], [Arm::Park, Arm::Queue], [Arm::Park, Arm::QueueAndPark], [Arm::Spin, Arm::Queue]]
    {
        two(arms, 2);
    }
}

/// Three threads, of which two wait for the third.
fn three(arms: [Arm; 3], preemptions: usize) {
    model(preemptions, move || {
        let shared = shared();
        let others = [0, 1].map(|i| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || lock_and_add(&shared, 1 + i, arms[i as usize]))
        });
        lock_and_add(&shared, 3, arms[2]);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(value(&shared), 3);
    });
}

#[test]
fn a_wake_is_passed_on_among_sleepers() {
    three([Arm::Park; 3], 2);
}

#[test]
fn who_wakes_nobody_looks_again() {
    // One is to be woken and has not gone to sleep yet; it takes the lock and hands it to another before its waker sees that
    // it woke nobody. Where the yields are, that takes three switches, and not two.
    model(3, || {
        let shared = shared();
        lock(&shared, 3, Arm::Spin);
        let others = [1, 2].map(|owner| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                lock(&shared, owner, Arm::Park);
                add(&shared);
                thread::yield_now();
                shared.lock.give_back(owner);
            })
        });
        thread::yield_now();
        shared.lock.give_back(3);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(value(&shared), 2);
    });
}

#[test]
fn who_leaves_the_queue_leaves_no_place_taken() {
    model(3, || {
        let shared = shared();
        let stays = adder(&shared, 1, Arm::Queue);
        let mut leaves = Waiter::new(&shared.lock, 2);
        assert!(leaves.enqueue());
        match leaves.try_take() {
            Some(_) => shared.lock.give_back(2),
            None => leaves.give_up(),
        }
        stays.join().unwrap();
        assert_eq!(value(&shared), 1);
    });
}

#[test]
fn a_turn_is_passed_on_in_the_queue() {
    three([Arm::QueueAndPark; 3], 2);
}

#[test]
fn sleepers_beside_a_queue_are_woken() {
    three([Arm::Park, Arm::QueueAndPark, Arm::Park], 2);
}

#[test]
fn a_waiter_may_change_its_way() {
    model(2, || {
        let shared = shared();
        let other = adder(&shared, 1, Arm::Park);
        let mut waiter = Waiter::new(&shared.lock, 2);
        if waiter.try_take().is_none() {
            // Asleep, then in the queue, then asleep there.
            waiter.sleep(Duration::MAX);
            if waiter.try_take().is_none() {
                assert!(waiter.enqueue());
                while waiter.try_take().is_none() {
                    waiter.sleep(Duration::MAX);
                }
            }
        }
        add(&shared);
        shared.lock.give_back(2);
        other.join().unwrap();
        assert_eq!(value(&shared), 2);
    });
}

#[test]
fn who_gives_up_passes_its_wake_on() {
    for arm in [Arm::Park, Arm::QueueAndPark] {
        model(2, move || {
            let shared = shared();
            let sleeper = adder(&shared, 1, arm);
            let quitter = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    let mut waiter = Waiter::new(&shared.lock, 2);
                    if arm == Arm::QueueAndPark {
                        assert!(waiter.enqueue());
                    }
                    if waiter.try_take().is_some() {
                        return shared.lock.give_back(2);
                    }
                    waiter.sleep(Duration::MAX);
                    waiter.give_up();
                }
            });
            lock_and_add(&shared, 3, Arm::Spin);
            sleeper.join().unwrap();
            quitter.join().unwrap();
            assert_eq!(value(&shared), 2);
        });
    }
}

#[test]
fn a_dead_owners_lock_is_taken_once() {
    model(2, || {
        let shared = shared();
        // The dead: it holds the lock, and does nothing more.
        lock(&shared, 7, Arm::Spin);
        let heirs = [1, 2].map(|owner| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let mut waiter = Waiter::new(&shared.lock, owner);
                let (taken, is_heir) = match waiter.take_from_dead(7, 70) {
                    Some(taken) => (taken, true),
                    None => loop {
                        if let Some(taken) = waiter.try_take() {
                            break (taken, false);
                        }
                        waiter.sleep(Duration::MAX);
                    },
                };
                assert!(taken.is_inconsistent, "nobody has made it whole");
                add(&shared);
                shared.lock.give_back(owner);
                u32::from(is_heir)
            })
        });
        let taken: u32 = heirs.map(|heir| heir.join().unwrap()).into_iter().sum();
        assert_eq!(taken, 1);
        assert_eq!(value(&shared), 2);
        let taken = lock(&shared, 3, Arm::Spin);
        assert!(taken.is_inconsistent);
        shared.lock.mark_consistent();
        shared.lock.give_back(3);
        assert!(!lock(&shared, 3, Arm::Spin).is_inconsistent);
    });
}

#[test]
fn a_switch_of_strategy_leaves_nobody_asleep() {
    // The sleeper does not look at the strategy again: it must be woken for the lock, whatever the switch has cleared.
    model(2, || {
        let shared = shared();
        lock(&shared, 3, Arm::Spin);
        let sleeper = adder(&shared, 1, Arm::Park);
        let switcher = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.lock.wake_all()
        });
        shared.lock.give_back(3);
        sleeper.join().unwrap();
        switcher.join().unwrap();
        assert_eq!(value(&shared), 1);
    });
}

#[test]
fn who_was_woken_and_goes_to_the_queue_passes_its_wake_on() {
    model(2, || {
        let shared = shared();
        lock(&shared, 3, Arm::Spin);
        let sleeper = adder(&shared, 1, Arm::Park);
        let queuer = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let mut waiter = Waiter::new(&shared.lock, 2);
                waiter.sleep(Duration::MAX);
                assert!(waiter.enqueue());
                while waiter.try_take().is_none() {
                    waiter.sleep(Duration::MAX);
                }
                add(&shared);
                shared.lock.give_back(2);
            }
        });
        shared.lock.give_back(3);
        sleeper.join().unwrap();
        queuer.join().unwrap();
        assert_eq!(value(&shared), 2);
    });
}

#[test]
fn a_dead_owners_heir_wakes_whom_the_dead_have_not() {
    model(2, || {
        let shared = shared();
        lock(&shared, 3, Arm::Spin);
        // It dies as it is woken, if it has slept, and thus on its way.
        let dies = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                Waiter::new(&shared.lock, 2).sleep(Duration::MAX);
            }
        });
        shared.lock.give_back(3);
        dies.join().unwrap();
        // So does who takes the lock then.
        assert!(past_the_queue(&shared, 7));
        let sleeper = adder(&shared, 1, Arm::Park);
        Waiter::new(&shared.lock, 4).take_from_dead(7, 70).unwrap();
        shared.lock.give_back(4);
        sleeper.join().unwrap();
        assert_eq!(value(&shared), 1);
    });
}

#[test]
fn whoever_is_found_with_the_lock_is_found_in_its_seat() {
    model(3, || {
        let shared = shared();
        let seat = Arc::new(AtomicU64::new(0));
        let owner = thread::spawn({
            let (shared, seat) = (Arc::clone(&shared), Arc::clone(&seat));
            move || {
                seat.store(1, Relaxed);
                assert!(shared.lock.try_take_free(1));
            }
        });
        if shared.lock.owner() == 1 {
            // As a sweep begins: edge `seated`.
            fence(Acquire);
            assert_eq!(seat.load(Relaxed), 1, "it would be taken for gone");
        }
        owner.join().unwrap();
    });
}
