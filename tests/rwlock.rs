//! The reader-writer lock between threads, each with handles of its own.

use std::fmt::Debug;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tidegate::{
    LockError, LockStrategy, RwLockReadGuard, RwLockWriteGuard, ShmError, ShmMutex, ShmRwLock, TryLockError,
};

const STRATEGIES: [LockStrategy; 4] =
    [LockStrategy::Spin, LockStrategy::Queue, LockStrategy::SpinPark { budget_ns: 5_000 }, LockStrategy::Park];
const SHORT: Duration = Duration::from_millis(5);

/// A name that no other test of this process has, nor any other process.
fn name(of: &str) -> String {
    format!("test-rwlock-{of}-{}", std::process::id())
}

fn read<T: Debug>(lock: &ShmRwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().expect("nobody dies")
}

fn write<T: Debug>(lock: &ShmRwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().expect("nobody dies")
}

#[test]
fn many_read_and_one_writes_in_every_strategy_and_while_it_changes() {
    const WRITES: u64 = 1_000;
    let name = name("exclusion");
    let lock = ShmRwLock::create(&name, [0u64; 2]).unwrap();
    for plan in STRATEGIES.map(Some).into_iter().chain([None]) {
        *write(&lock) = [0; 2];
        if let Some(strategy) = plan {
            lock.set_strategy(strategy);
        }
        let done = AtomicBool::new(false);
        let all_there = Barrier::new(4);
        thread::scope(|scope| {
            let (done, all_there) = (&done, &all_there);
            let writers: Vec<_> = (0..2)
                .map(|_| {
                    let lock = ShmRwLock::<[u64; 2]>::open(&name).unwrap();
                    scope.spawn(move || {
                        all_there.wait();
                        for _ in 0..WRITES {
                            let mut value = write(&lock);
                            assert_eq!(value[0], value[1], "another writes");
                            value[0] += 1;
                            std::hint::spin_loop();
                            value[1] += 1;
                        }
                    })
                })
                .collect();
            for _ in 0..2 {
                let lock = ShmRwLock::<[u64; 2]>::open(&name).unwrap();
                scope.spawn(move || {
                    // Before anybody writes, and after all have, at least.
                    let mut last = read(&lock)[0];
                    all_there.wait();
                    while !done.load(Ordering::Relaxed) {
                        let value = read(&lock);
                        assert_eq!(value[0], value[1], "somebody writes");
                        assert!(value[0] >= last, "what was read is taken back");
                        last = value[0];
                    }
                });
            }
            if plan.is_none() {
                let lock = &lock;
                scope.spawn(move || {
                    for &strategy in STRATEGIES.iter().cycle() {
                        lock.set_strategy(strategy);
                        thread::yield_now();
                        if done.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                });
            }
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(*read(&lock), [2 * WRITES; 2], "{plan:?}");
    }
}

#[test]
fn readers_read_together() {
    const READERS: usize = 3;
    let lock = ShmRwLock::create_anonymous(7u32).unwrap();
    let all_in = Barrier::new(READERS);
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let value = read(&lock);
                // Nobody comes past this who does not share the lock with the others.
                all_in.wait();
                assert_eq!(*value, 7);
            });
        }
    });
    assert_eq!(lock.waits().waits, 0);
}

#[test]
fn who_comes_to_read_after_a_writer_waits_for_it() {
    let lock = ShmRwLock::create_anonymous(0u64).unwrap();
    for strategy in STRATEGIES {
        lock.set_strategy(strategy);
        let before = read(&lock);
        thread::scope(|scope| {
            let writer = scope.spawn(|| *write(&lock) += 1);
            // Until it has the lock, and waits for the reader.
            while lock.try_read().is_ok() {
                thread::yield_now();
            }
            assert!(matches!(lock.read_timeout(SHORT), Err(LockError::Stalled)), "{strategy}: past the writer");
            assert_eq!(
                *before,
                lock.waits().waits,
                "{strategy}: nobody has had it after a wait but the writers before"
            );
            drop(before);
            writer.join().unwrap();
        });
    }
    assert_eq!(*read(&lock), STRATEGIES.len() as u64);
    assert_eq!(lock.waits().waits, STRATEGIES.len() as u64, "one wait of each writer");
}

#[test]
fn who_does_not_get_the_lock_is_told_so_and_leaves_nothing() {
    let lock = ShmRwLock::create_anonymous(7u32).unwrap();
    for strategy in STRATEGIES {
        lock.set_strategy(strategy);
        let reader = read(&lock);
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
                assert!(matches!(lock.write_timeout(SHORT), Err(LockError::Stalled)), "{strategy}");
                drop(lock.try_read().expect("readers share"));
            });
        });
        drop(reader);
        let writer = lock.try_write().expect("nobody reads");
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)));
                assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
                assert!(matches!(lock.read_timeout(SHORT), Err(LockError::Stalled)), "{strategy}");
                assert!(matches!(lock.write_timeout(SHORT), Err(LockError::Stalled)), "{strategy}");
            });
        });
        drop(writer);
        assert_eq!(*lock.try_read().unwrap(), 7);
    }
}

#[test]
fn who_has_written_reads_on_and_nobody_writes_in_between() {
    let lock = ShmRwLock::create_anonymous(0u32).unwrap();
    let mut writer = write(&lock);
    *writer = 5;
    let reader = writer.downgrade();
    assert_eq!((*reader, *read(&lock)), (5, 5));
    thread::scope(|scope| {
        scope.spawn(|| assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock))));
    });
    drop(reader);
    assert!(lock.try_write().is_ok());
}

#[test]
fn what_a_lost_writer_held_comes_with_a_warning_to_readers_and_writers() {
    let name = name("lost-writer");
    let lock = ShmRwLock::create(&name, [1u64; 2]).unwrap();
    let lost = ShmRwLock::<[u64; 2]>::open(&name).unwrap();
    let mut held = write(&lost);
    held[0] = 2;
    std::mem::forget(held);
    assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)), "its handle is still there");
    drop(lost);
    {
        let Err(LockError::OwnerDied(found)) = lock.read() else { panic!("it is not whole") };
        assert_eq!((*found, found.pid()), ([2, 1], None), "its process lives");
        assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)), "held to write");
    }
    assert!(matches!(lock.write(), Err(LockError::OwnerDied(_))));
    let Err(TryLockError::OwnerDied(mut found)) = lock.try_read() else { panic!("it is not whole") };
    found[1] = 2;
    let value = found.mark_consistent().downgrade();
    assert_eq!((*value, *read(&lock)), ([2, 2], [2, 2]));
}

#[test]
fn a_lost_reader_holds_no_writer_up() {
    let name = name("lost-reader");
    let lock = ShmRwLock::create(&name, 1u64).unwrap();
    for strategy in STRATEGIES {
        lock.set_strategy(strategy);
        let lost = ShmRwLock::<u64>::open(&name).unwrap();
        std::mem::forget(read(&lost));
        std::mem::forget(read(&lost));
        assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)), "its handle is still there");
        drop(lost);
        *write(&lock) += 1;
    }
    // Nor one who only tries: it asks now and then.
    let lost = ShmRwLock::<u64>::open(&name).unwrap();
    std::mem::forget(read(&lost));
    drop(lost);
    while lock.try_write().is_err() {
        thread::yield_now();
    }
    assert_eq!(*read(&lock), 1 + STRATEGIES.len() as u64);
}

#[test]
fn many_lost_readers_hold_a_writer_up_no_longer_than_one() {
    let name = name("lost-readers");
    let lock = ShmRwLock::create(&name, 0u64).unwrap();
    let lost: Vec<_> = (0..100).map(|_| ShmRwLock::<u64>::open(&name).unwrap()).collect();
    lost.iter().for_each(|lost| std::mem::forget(read(lost)));
    drop(lost);
    // The looks of one wait find all of them: it sleeps once or twice, and not a hundred times.
    lock.set_strategy(LockStrategy::Park);
    *write(&lock) += 1;
    let waits = lock.waits();
    assert!(waits.waits <= 1 && waits.parks < 50, "{waits:?}");
}

#[test]
fn a_panic_gives_the_lock_back() {
    let lock = ShmRwLock::create_anonymous(1u8).unwrap();
    let panics = thread::scope(|scope| {
        let panics = [scope.spawn(|| {
            let _held = read(&lock);
            std::panic::resume_unwind(Box::new("on purpose"));
        })];
        panics.map(|panics| panics.join().is_err())
    });
    assert_eq!(panics, [true]);
    assert_eq!(*lock.try_write().unwrap(), 1);
}

#[test]
fn a_value_that_no_stack_has_room_for_is_made_in_place() {
    const BYTES: usize = 64 << 20;
    let name = name("large");
    let lock = ShmRwLock::<[u8; BYTES]>::create_zeroed(&name).unwrap();
    write(&lock)[BYTES - 1] = 7;
    let there = ShmRwLock::<[u8; BYTES]>::open(&name).unwrap();
    assert_eq!((there.read().unwrap_or_else(|_| unreachable!())[BYTES - 1], read(&lock)[0]), (7, 0));
    let mutex = ShmMutex::<[u8; BYTES]>::create_zeroed(&format!("{name}-mutex")).unwrap();
    assert!(mutex.lock().is_ok_and(|value| value.iter().all(|&byte| byte == 0)));
}

#[test]
fn an_error_without_its_guard_goes_past_the_lock() {
    fn stalled() -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
        let lock = ShmRwLock::create_anonymous(7u64)?;
        let _reader = lock.read().map_err(LockError::without_guard)?;
        assert_eq!(*lock.try_read().map_err(TryLockError::without_guard)?, 7);
        Ok(*lock.write_timeout(SHORT).map_err(LockError::without_guard)?)
    }
    assert!(stalled().unwrap_err().downcast::<LockError<()>>().is_ok_and(|error| matches!(*error, LockError::Stalled)));
}

#[test]
fn a_name_of_another_kind_or_size_is_refused() {
    let name = name("kind");
    let lock = ShmRwLock::create(&name, 0u64).unwrap();
    assert!(matches!(ShmRwLock::<u32>::open(&name).unwrap_err(), ShmError::WrongSize { found: 8, expected: 4, .. }));
    assert_eq!(ShmMutex::<u64>::open(&name).unwrap_err().to_string(), format!("`{name}` is a rwlock, not a mutex"));
    drop(lock);
    assert!(matches!(ShmRwLock::<u64>::open(&name).unwrap_err(), ShmError::NotFound { .. }));
}
