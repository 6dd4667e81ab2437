//! Locks between threads, each with handles of its own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tidegate::{
    AcquireError, Channel, LockError, LockStrategy, MutexGuard, ShmError, ShmMutex, ShmSemaphore, TryAcquireError,
    TryLockError, WaitStrategy,
};

const STRATEGIES: [LockStrategy; 4] =
    [LockStrategy::Spin, LockStrategy::Queue, LockStrategy::SpinPark { budget_ns: 5_000 }, LockStrategy::Park];

/// A name that no other test of this process has, nor any other process.
fn name(of: &str) -> String {
    format!("test-{of}-{}", std::process::id())
}

fn lock<T: std::fmt::Debug>(mutex: &ShmMutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody dies")
}

#[test]
fn threads_exclude_each_other_in_every_strategy_and_while_it_changes() {
    const THREADS: u64 = 4;
    const LOCKS: u64 = 3_000;
    let name = name("exclusion");
    let mutex = ShmMutex::create(&name, [0u64; 2]).unwrap();
    for plan in STRATEGIES.map(Some).into_iter().chain([None]) {
        *lock(&mutex) = [0; 2];
        if let Some(strategy) = plan {
            mutex.set_strategy(strategy);
        }
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..THREADS)
                .map(|_| {
                    let mutex = ShmMutex::<[u64; 2]>::open(&name).unwrap();
                    scope.spawn(move || {
                        for _ in 0..LOCKS {
                            let mut value = lock(&mutex);
                            assert_eq!(value[0], value[1], "somebody is between the two");
                            value[0] += 1;
                            std::hint::spin_loop();
                            value[1] += 1;
                        }
                    })
                })
                .collect();
            if plan.is_none() {
                let (mutex, done) = (&mutex, &done);
                scope.spawn(move || {
                    for &strategy in STRATEGIES.iter().cycle() {
                        mutex.set_strategy(strategy);
                        thread::yield_now();
                        if done.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                });
            }
            workers.into_iter().for_each(|worker| worker.join().unwrap());
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(*lock(&mutex), [THREADS * LOCKS; 2], "{plan:?}");
    }
}

#[test]
fn who_takes_the_lock_again_at_once_keeps_nobody_out() {
    let mutex = ShmMutex::create_anonymous(0u64).unwrap();
    for strategy in STRATEGIES {
        mutex.set_strategy(strategy);
        let had = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                while had.load(Ordering::Relaxed) < 3 {
                    let _held = lock(&mutex);
                    (0..200).for_each(|_| std::hint::spin_loop());
                }
            });
            for _ in 0..3 {
                scope.spawn(|| {
                    let _held = lock(&mutex);
                    had.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(had.load(Ordering::Relaxed), 3, "{strategy}");
    }
}

#[test]
fn who_does_not_get_the_lock_is_told_so() {
    let mutex = ShmMutex::create_anonymous(7u32).unwrap();
    let held = lock(&mutex);
    for strategy in STRATEGIES {
        mutex.set_strategy(strategy);
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
                // Longer than it takes to go to the queue, and to lose patience there.
                for patience_ms in [0, 1, 60, 90] {
                    let stalled = mutex.lock_timeout(Duration::from_millis(patience_ms));
                    assert!(matches!(stalled, Err(LockError::Stalled)), "{strategy}");
                }
            });
        });
    }
    drop(held);
    assert_eq!(*mutex.try_lock().unwrap(), 7);
    assert!(mutex.waits().parks == 0 && mutex.waits().waits == 0, "nobody had it after a wait");
}

#[test]
fn what_a_lost_handle_held_comes_with_a_warning_until_it_is_made_whole() {
    let name = name("lost");
    let mutex = ShmMutex::create(&name, [1u64; 2]).unwrap();
    let lost = ShmMutex::<[u64; 2]>::open(&name).unwrap();
    let mut held = lock(&lost);
    held[0] = 2;
    std::mem::forget(held);
    assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)), "its handle is still there");
    drop(lost);
    for _ in 0..2 {
        let Err(LockError::OwnerDied(found)) = mutex.lock() else { panic!("it is not whole") };
        assert_eq!(*found, [2, 1]);
        assert_eq!(found.pid(), None, "its process lives");
    }
    let Err(TryLockError::OwnerDied(mut found)) = mutex.try_lock() else { panic!("it is not whole") };
    found[1] = 2;
    drop(found.mark_consistent());
    assert_eq!(*lock(&mutex), [2, 2]);
}

#[test]
fn a_panic_gives_the_lock_back() {
    let mutex = ShmMutex::create_anonymous(1u8).unwrap();
    let panics = thread::scope(|scope| {
        let panics = scope.spawn(|| {
            let _held = lock(&mutex);
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        panics.join()
    });
    assert!(panics.is_err());
    assert_eq!(*lock(&mutex), 1);
}

#[test]
fn a_name_of_another_kind_or_size_is_refused() {
    let name = name("kind");
    let mutex = ShmMutex::create(&name, 0u64).unwrap();
    assert!(matches!(ShmMutex::<u32>::open(&name).unwrap_err(), ShmError::WrongSize { found: 8, expected: 4, .. }));
    let refused = ShmSemaphore::open(&name).unwrap_err();
    assert_eq!(refused.to_string(), format!("`{name}` is a mutex, not a semaphore"));
    assert!(Channel::open(&name).unwrap_err().to_string().ends_with("is a mutex, not a channel"));
    assert!(matches!(ShmMutex::create(&name, 0u64).unwrap_err(), ShmError::NameInUse { .. }));
    drop(mutex);
    assert!(matches!(ShmMutex::<u64>::open(&name).unwrap_err(), ShmError::NotFound { .. }));
    let channel = Channel::options().create(&name).unwrap();
    assert!(matches!(ShmMutex::<u64>::open(&name).unwrap_err(), ShmError::WrongKind { found: "channel", .. }));
    drop(channel);
}

#[test]
fn permits_are_as_many_as_were_made() {
    const THREADS: u64 = 6;
    let name = name("permits");
    let semaphore = ShmSemaphore::create(&name, 3).unwrap();
    for strategy in [WaitStrategy::DEFAULT, WaitStrategy::SpinYield, WaitStrategy::Park] {
        semaphore.set_wait_strategy(strategy);
        let inside = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                let semaphore = ShmSemaphore::open(&name).unwrap();
                let inside = &inside;
                scope.spawn(move || {
                    for _ in 0..500 {
                        let _permit = semaphore.acquire().unwrap();
                        assert!(inside.fetch_add(1, Ordering::Relaxed) < 3);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(semaphore.available(), 3);
    }
    let all: Vec<_> = (0..3).map(|_| semaphore.try_acquire().unwrap()).collect();
    assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::WouldBlock);
    assert_eq!(semaphore.acquire_timeout(Duration::from_millis(1)).unwrap_err(), AcquireError::Stalled);
    drop(all);
    assert_eq!((semaphore.available(), semaphore.returned()), (3, 0));
}

#[test]
fn permits_of_a_lost_handle_come_back() {
    let name = name("lost-permits");
    let semaphore = ShmSemaphore::create(&name, 2).unwrap();
    let lost = ShmSemaphore::open(&name).unwrap();
    std::mem::forget((lost.acquire().unwrap(), lost.acquire().unwrap()));
    assert_eq!(semaphore.available(), 0);
    drop(lost);
    let all = [semaphore.acquire().unwrap(), semaphore.acquire().unwrap()];
    assert_eq!(semaphore.returned(), 2);
    drop(all);
    for permits in [0, 4097] {
        assert!(matches!(ShmSemaphore::create_anonymous(permits).unwrap_err(), ShmError::BadPermits { max: 4096, .. }));
    }
}

#[test]
fn whose_waits_are_all_short_hears_of_a_death_too() {
    let (mutex_name, permits_name) = (name("short"), name("short-permits"));
    let mutex = ShmMutex::create(&mutex_name, 0u64).unwrap();
    let semaphore = ShmSemaphore::create(&permits_name, 1).unwrap();
    let lost = (ShmMutex::<u64>::open(&mutex_name).unwrap(), ShmSemaphore::open(&permits_name).unwrap());
    std::mem::forget((lost.0.lock().unwrap(), lost.1.acquire().unwrap()));
    drop(lost);
    assert!(matches!(mutex.lock_timeout(Duration::ZERO), Err(LockError::OwnerDied(_))));
    drop(semaphore.acquire_timeout(Duration::ZERO).unwrap());
    assert_eq!(semaphore.returned(), 1);
}
