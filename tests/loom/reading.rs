//! The readers of `src/sync/lock/readers.rs`: beside a writer, asleep, and dead.

use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::model;
use crate::prim::Ordering::{Acquire, Relaxed};
use crate::prim::{AtomicU64, fence};
use crate::sync::lock::raw::Waiter;
use crate::sync::lock::readers::ReadersWriterWords;
use crate::sync::lock::word::UNTOUCHED;

struct Shared {
    words: ReadersWriterWords,
    value: UnsafeCell<u64>,
}

// SAFETY: the cell is what the lock is to guard: loom reports every pair of accesses that it does not order.
unsafe impl Sync for Shared {}

/// A lock, with participants in the seats 1 and 2.
fn shared() -> Arc<Shared> {
    let shared = Shared { words: ReadersWriterWords::default(), value: UnsafeCell::new(0) };
    [1, 2].into_iter().for_each(|seat| shared.words.readers_of(seat).seat(seat));
    Arc::new(shared)
}

fn lock(shared: &Shared, seat: u64) {
    let mut waiter = Waiter::new(&shared.words.lock, seat | UNTOUCHED);
    while waiter.try_take().is_none() {
        waiter.sleep(Duration::MAX);
    }
}

/// Waits for the readers, asleep or not. A wake-up that is lost is a deadlock, which loom reports.
fn drain(shared: &Shared, sleeps: bool) {
    let have_left = shared.words.drain(|readers| {
        while !readers.have_left() {
            if sleeps {
                readers.sleep(Duration::MAX);
            } else {
                thread::yield_now();
            }
        }
        true
    });
    assert!(have_left);
}

fn read(shared: &Shared) -> u64 {
    // SAFETY: loom fails the model if this access is not ordered before or after each that writes.
    shared.value.with(|value| unsafe { *value })
}

fn add(shared: &Shared) {
    // SAFETY: as in `read`, of all accesses.
    shared.value.with_mut(|value| unsafe { *value += 1 });
}

fn write(shared: &Shared, seat: u64, sleeps: bool) {
    lock(shared, seat);
    drain(shared, sleeps);
    add(shared);
    shared.words.lock.give_back(seat);
}

/// Enters at once if that is possible, else by way of the lock.
fn enter(shared: &Shared, seat: u64) {
    let readers = shared.words.readers_of(seat);
    if !readers.try_enter(&shared.words.lock) {
        lock(shared, seat);
        assert!(shared.words.let_readers_in(seat | UNTOUCHED));
    }
}

fn read_once(shared: &Shared, seat: u64) -> u64 {
    enter(shared, seat);
    let value = read(shared);
    shared.words.readers_of(seat).leave();
    value
}

fn spawn<T: 'static>(shared: &Arc<Shared>, run: impl FnOnce(&Shared) -> T + 'static) -> thread::JoinHandle<T> {
    let shared = Arc::clone(shared);
    thread::spawn(move || run(&shared))
}

#[test]
fn nobody_reads_while_another_writes() {
    model(3, || {
        let shared = shared();
        let reader = spawn(&shared, |shared| read_once(shared, 1));
        write(&shared, 2, false);
        assert!(reader.join().unwrap() <= 1);
        assert_eq!(read_once(&shared, 2), 1);
    });
}

#[test]
fn a_writer_that_sleeps_is_woken_by_the_last_reader() {
    model(2, || {
        let shared = shared();
        // Two threads of one participant: only the last of them wakes.
        let readers = [(); 2].map(|()| spawn(&shared, |shared| read_once(shared, 1)));
        write(&shared, 2, true);
        readers.into_iter().for_each(|reader| assert!(reader.join().unwrap() <= 1));
    });
}

#[test]
fn who_wakes_late_takes_no_later_flag_away_unheard() {
    model(3, || {
        let shared = shared();
        die_reading(&shared, 1);
        let first = spawn(&shared, |shared| shared.words.readers_of(1).leave());
        let second = spawn(&shared, |shared| {
            assert!(shared.words.readers_of(1).try_enter(&shared.words.lock));
            shared.words.readers_of(1).leave();
        });
        // Two writers, one after the other: the second may sleep before the first reader has done with waking the first.
        drain(&shared, true);
        drain(&shared, true);
        first.join().unwrap();
        second.join().unwrap();
        assert!(shared.words.readers_of(1).have_left());
    });
}

#[test]
fn who_read_by_way_of_the_lock_is_counted() {
    model(3, || {
        let shared = shared();
        lock(&shared, 2);
        let reader = spawn(&shared, |shared| read_once(shared, 1));
        drain(&shared, true);
        add(&shared);
        shared.words.lock.give_back(2);
        write(&shared, 2, true);
        assert!((1..=2).contains(&reader.join().unwrap()), "before the first it had no chance");
    });
}

/// The participant in `seat` reads, and is gone.
fn die_reading(shared: &Shared, seat: u64) {
    assert!(shared.words.readers_of(seat).try_enter(&shared.words.lock));
}

/// Writes, with proof that the participant in `dead` is gone.
fn write_past(shared: &Shared, seat: u64, dead: u64) {
    lock(shared, seat);
    let have_left = shared.words.drain(|readers| {
        if readers.owner() == dead {
            readers.forget(dead);
        }
        while !readers.have_left() {
            readers.sleep(Duration::MAX);
        }
        true
    });
    assert!(have_left);
    add(shared);
    shared.words.lock.give_back(seat);
}

#[test]
fn a_dead_reader_holds_no_writer_up() {
    model(3, || {
        let shared = shared();
        die_reading(&shared, 1);
        // Another writer, which has a place in no other's.
        let other = spawn(&shared, |shared| write_past(shared, 4, 1));
        write_past(&shared, 2, 1);
        other.join().unwrap();
        assert_eq!(read_once(&shared, 2), 2);
    });
}

#[test]
fn who_comes_to_the_place_of_the_dead_is_not_taken_for_it() {
    /// The next participant in the place of seat 1.
    const NEXT: u64 = 3;
    model(3, || {
        let shared = shared();
        die_reading(&shared, 1);
        let next = spawn(&shared, |shared| {
            shared.words.readers_of(NEXT).seat(NEXT);
            read_once(shared, NEXT)
        });
        lock(&shared, 2);
        // The proof of the death came before the next took the place, and is used after, perhaps.
        shared.words.readers_of(1).forget(1);
        drain(&shared, true);
        add(&shared);
        shared.words.lock.give_back(2);
        assert!(next.join().unwrap() <= 1);
    });
}

#[test]
fn who_comes_to_the_place_of_the_dead_wakes_who_waits_for_it() {
    const NEXT: u64 = 3;
    model(3, || {
        let shared = shared();
        die_reading(&shared, 1);
        let next = spawn(&shared, |shared| shared.words.readers_of(NEXT).seat(NEXT));
        write(&shared, 2, true);
        next.join().unwrap();
        assert_eq!(read_once(&shared, NEXT), 1);
    });
}

#[test]
fn whoever_is_found_reading_is_found_in_its_seat() {
    const NEXT: u64 = 3;
    model(3, || {
        let shared = shared();
        let seat = Arc::new(AtomicU64::new(0));
        let next = thread::spawn({
            let (shared, seat) = (Arc::clone(&shared), Arc::clone(&seat));
            move || {
                seat.store(NEXT, Relaxed);
                shared.words.readers_of(NEXT).seat(NEXT);
                enter(&shared, NEXT);
            }
        });
        let readers = shared.words.readers_of(NEXT);
        if readers.owner() == NEXT {
            // As a sweep begins: edge `seated`.
            fence(Acquire);
            assert_eq!(seat.load(Relaxed), NEXT, "it would be taken for gone");
        }
        next.join().unwrap();
    });
}

#[test]
fn who_dies_before_it_writes_leaves_the_data_whole() {
    model(3, || {
        let shared = shared();
        // It waits for a reader, and dies of it.
        enter(&shared, 2);
        let mut dead = Waiter::new(&shared.words.lock, 1 | UNTOUCHED);
        assert!(dead.try_take().is_some());
        let reader = spawn(&shared, |shared| {
            let mut waiter = Waiter::new(&shared.words.lock, 4 | UNTOUCHED);
            let taken = waiter.take_from_dead(1, 7).unwrap();
            assert!(!taken.is_inconsistent && taken.from_dead.is_none());
            assert!(shared.words.let_readers_in(4 | UNTOUCHED));
            read(shared)
        });
        read(&shared);
        shared.words.readers_of(2).leave();
        reader.join().unwrap();
        // One that is alone writes, and dies of that.
        shared.words.readers_of(4).leave();
        let mut dead = Waiter::new(&shared.words.lock, 1 | UNTOUCHED);
        assert!(dead.try_take().is_some() && shared.words.drain(|_| false));
        add(&shared);
        let taken = Waiter::new(&shared.words.lock, 2 | UNTOUCHED).take_from_dead(1, 7).unwrap();
        assert!(taken.is_inconsistent && taken.from_dead == Some(7));
    });
}

#[test]
fn nobody_reads_what_nobody_has_made_whole() {
    model(3, || {
        let shared = shared();
        lock(&shared, 1);
        shared.words.lock.touch();
        let reader = spawn(&shared, |shared| shared.words.readers_of(2).try_enter(&shared.words.lock));
        let taken = Waiter::new(&shared.words.lock, 2).take_from_dead(1, 7);
        assert!(taken.is_some_and(|taken| taken.is_inconsistent));
        add(&shared);
        shared.words.lock.give_back(2);
        assert!(!reader.join().unwrap());
    });
}
