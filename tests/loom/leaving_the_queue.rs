//! The queue of `src/sync/lock` when some of those in it give up, lose patience, time out or die.

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use crate::locking::{Arm, add, adder, lock, lock_and_add, past_the_queue, shared, value};
use crate::model;
use crate::sync::lock::raw::Waiter;

#[test]
fn who_comes_again_does_not_overtake_the_queue() {
    model(2, || {
        let shared = shared();
        lock(&shared, 1, Arm::Spin);
        let mut waits = Waiter::new(&shared.lock, 2);
        assert!(waits.enqueue() && waits.try_take().is_none());
        shared.lock.give_back(1);
        assert!(!shared.lock.try_take_free(1) && Waiter::new(&shared.lock, 1).try_take().is_none());
        assert!(waits.try_take().is_some());
        shared.lock.give_back(2);
        assert!(shared.lock.try_take_free(1), "the queue is gone");
    });
}

#[test]
fn who_comes_after_one_gave_up_is_woken() {
    // It comes before or after the one that is left has put itself at the queue's end again.
    model(3, || {
        let shared = shared();
        lock(&shared, 3, Arm::Spin);
        let stays = adder(&shared, 1, Arm::QueueAndPark);
        let comes = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let mut leaves = Waiter::new(&shared.lock, 2);
                assert!(leaves.enqueue());
                leaves.give_up();
                lock_and_add(&shared, 4, Arm::QueueAndPark);
            }
        });
        shared.lock.give_back(3);
        stays.join().unwrap();
        comes.join().unwrap();
        assert_eq!(value(&shared), 2);
    });
}

#[test]
fn only_the_last_that_is_left_mends_the_queue() {
    model(1, || {
        let shared = shared();
        lock(&shared, 3, Arm::Spin);
        let stay = [1, 2].map(|owner| adder(&shared, owner, Arm::QueueAndPark));
        let mut leaves = Waiter::new(&shared.lock, 4);
        if leaves.enqueue() {
            leaves.give_up();
        }
        shared.lock.give_back(3);
        lock_and_add(&shared, 4, Arm::Park);
        for stays in stay {
            stays.join().unwrap();
        }
        assert_eq!(value(&shared), 3);
    });
}

#[test]
fn the_last_that_is_left_stands_at_the_end_again() {
    model(2, || {
        let shared = shared();
        lock(&shared, 3, Arm::Spin);
        let mut stay = [1, 2].map(|owner| Waiter::new(&shared.lock, owner));
        assert!(stay.iter_mut().all(Waiter::enqueue));
        let mut leaves = Waiter::new(&shared.lock, 4);
        assert!(leaves.enqueue());
        leaves.give_up();
        // Not the first, behind whom the second stands.
        assert!(stay.iter_mut().all(|waiter| waiter.try_take().is_none()));
        let mut comes = Waiter::new(&shared.lock, 4);
        assert!(comes.enqueue());
        let [mut first, mut second] = stay;
        for (owner, waiter) in [(3, &mut first), (1, &mut second), (2, &mut comes)] {
            shared.lock.give_back(owner);
            assert!(waiter.try_take().is_some(), "each in its turn");
        }
        shared.lock.give_back(4);
        assert_eq!(value(&shared), 0);
    });
}

#[test]
fn who_loses_patience_leaves_the_queue_whole() {
    model(2, || {
        let shared = shared();
        lock(&shared, 3, Arm::Spin);
        let waits = adder(&shared, 1, Arm::QueueAndPark);
        let hurries = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let mut waiter = Waiter::new(&shared.lock, 2);
                assert!(waiter.enqueue());
                waiter.stop_queueing();
                while waiter.try_take().is_none() {
                    thread::yield_now();
                }
                add(&shared);
                shared.lock.give_back(2);
            }
        });
        shared.lock.give_back(3);
        waits.join().unwrap();
        hurries.join().unwrap();
        assert_eq!(value(&shared), 2);
    });
}

#[test]
fn a_sleep_that_is_over_by_itself_loses_no_wake() {
    for arm in [Arm::Park, Arm::QueueAndPark] {
        model(2, move || {
            let shared = shared();
            lock(&shared, 3, Arm::Spin);
            let sleeper = adder(&shared, 1, Arm::Park);
            let times_out = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    let mut waiter = Waiter::new(&shared.lock, 2);
                    waiter.sleep(Duration::ZERO);
                    if arm == Arm::QueueAndPark {
                        assert!(waiter.enqueue());
                        waiter.sleep(Duration::ZERO);
                    }
                    while waiter.try_take().is_none() {
                        waiter.sleep(Duration::MAX);
                    }
                    add(&shared);
                    shared.lock.give_back(2);
                }
            });
            shared.lock.give_back(3);
            sleeper.join().unwrap();
            times_out.join().unwrap();
            assert_eq!(value(&shared), 2);
        });
    }
}

/// Stands in the queue, for good.
fn die_in_the_queue(shared: &super::locking::Shared, owner: u64) {
    assert!(Waiter::new(&shared.lock, owner).enqueue());
}

#[test]
fn who_sleeps_behind_the_dead_is_let_on() {
    model(3, || {
        let shared = shared();
        lock(&shared, 3, Arm::Spin);
        die_in_the_queue(&shared, 7);
        let behind = adder(&shared, 1, Arm::QueueAndPark);
        let sweeper = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.lock.free_nodes_of(9, |seat| seat == 7)
        });
        shared.lock.give_back(3);
        behind.join().unwrap();
        sweeper.join().unwrap();
        assert_eq!(value(&shared), 1);
    });
}

#[test]
fn a_node_that_is_taken_again_is_not_taken_for_one_left_behind() {
    model(3, || {
        let shared = shared();
        // Two have passed through the queue, and the second has freed the first one's node, which still says `PASSED`.
        let (mut first, mut second) = (Waiter::new(&shared.lock, 1), Waiter::new(&shared.lock, 2));
        assert!(first.enqueue() && second.enqueue());
        for (waiter, owner) in [(&mut first, 1), (&mut second, 2)] {
            assert!(waiter.try_take().is_some());
            shared.lock.give_back(owner);
        }
        assert_eq!(shared.lock.nodes_taken(), 0);
        let sweeper = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.lock.free_nodes_of(9, |_| false)
        });
        die_in_the_queue(&shared, 1);
        sweeper.join().unwrap();
        assert_eq!(shared.lock.nodes_taken(), 1, "it is alive");
    });
}

#[test]
fn a_node_whose_heir_died_is_freed() {
    model(2, || {
        let shared = shared();
        let mut waits = Waiter::new(&shared.lock, 1);
        assert!(waits.enqueue());
        die_in_the_queue(&shared, 7);
        assert!(waits.try_take().is_some());
        shared.lock.give_back(1);
        assert_eq!(shared.lock.nodes_taken(), 2, "who died was to free the other's");
        shared.lock.free_nodes_of(9, |seat| seat == 7);
        assert_eq!(shared.lock.nodes_taken(), 0);
    });
}

#[test]
fn a_queue_of_the_dead_alone_goes_at_a_deadline() {
    model(2, || {
        let shared = shared();
        die_in_the_queue(&shared, 7);
        assert!(Waiter::new(&shared.lock, 1).try_take().is_none(), "it may live");
        assert!(Waiter::new(&shared.lock, 1).try_take_at_deadline().is_some());
        shared.lock.give_back(1);
        assert!(shared.lock.try_take_free(2), "nobody is in the way any more");
        shared.lock.give_back(2);
        assert_eq!(shared.lock.nodes_taken(), 1);
    });
}

#[test]
fn who_takes_the_lock_at_its_deadline_leaves_the_queue_whole() {
    for arm in [Arm::Queue, Arm::QueueAndPark] {
        model(3, move || {
            let shared = shared();
            let waits = adder(&shared, 1, arm);
            let mut hurries = Waiter::new(&shared.lock, 2);
            match hurries.try_take_at_deadline() {
                Some(_) => shared.lock.give_back(2),
                None => hurries.give_up(),
            }
            if past_the_queue(&shared, 2) {
                shared.lock.give_back(2);
            }
            waits.join().unwrap();
            assert_eq!(value(&shared), 1);
        });
    }
}
