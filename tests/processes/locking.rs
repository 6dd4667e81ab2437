//! Locks whose owners and waiters are killed, stopped and forked.

use std::time::Duration;

use rustix::process::Signal;
use tidegate::{AcquireError, LockError, LockStrategy, MutexGuard, ShmMutex, ShmSemaphore};

use crate::child::{Process, say, wait_for_stop};

const STRATEGIES: [LockStrategy; 4] =
    [LockStrategy::Spin, LockStrategy::Queue, LockStrategy::DEFAULT, LockStrategy::Park];
/// Longer than any of these tests waits in good order.
const LONG: Duration = Duration::from_secs(120);
const SHORT: Duration = Duration::from_millis(30);

/// Two counts that are equal whenever nobody has the lock, and how often a heir has made them so.
type Value = [u64; 3];

/// What a child does, by role; `channel` names the lock.
pub(crate) fn run(role: &str, name: &str) {
    match role {
        "lock_and_hold" => lock_and_hold(name),
        "lock_again_and_again" => lock_again_and_again(name),
        "lock_in_a_fork" => lock_in_a_fork(name),
        "hold_permits" => hold_permits(name),
        other => crate::reading::run(other, name),
    }
}

fn lock(mutex: &ShmMutex<Value>) -> MutexGuard<'_, Value> {
    match mutex.lock_timeout(LONG) {
        Ok(value) => {
            assert_eq!(value[0], value[1], "torn, and nobody has said so");
            value
        }
        Err(LockError::OwnerDied(mut found)) => {
            assert!(found[0] == found[1] || found[0] == found[1] + 1, "{:?}", *found);
            found[1] = found[0];
            found[2] += 1;
            found.mark_consistent()
        }
        Err(error) => panic!("{error}"),
    }
}

/// Locks, changes half of the value, and sleeps; at the end of its input makes the rest and unlocks.
fn lock_and_hold(name: &str) {
    let mutex = ShmMutex::<Value>::open(name).expect("open");
    let mut value = lock(&mutex);
    value[0] += 1;
    say("ready");
    wait_for_stop();
    value[1] += 1;
    drop(value);
    say(0);
}

/// Locks and unlocks until killed, telling each time that it does.
fn lock_again_and_again(name: &str) {
    let mutex = ShmMutex::<Value>::open(name).expect("open");
    say("ready");
    loop {
        let mut value = lock(&mutex);
        value[0] += 1;
        std::hint::spin_loop();
        value[1] += 1;
    }
}

/// Locks, forks, and has the child try what it must not.
fn lock_in_a_fork(name: &str) {
    let mutex = ShmMutex::<Value>::open(name).expect("open");
    let semaphore = ShmSemaphore::open(&format!("{name}-permits")).expect("open");
    let (value, permit) = (lock(&mutex), semaphore.acquire().expect("permit"));
    let own = std::process::id();
    // SAFETY: this process has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = matches!(mutex.lock(), Err(LockError::Forked { owner }) if owner == own)
            && semaphore.acquire().is_err_and(|error| error == AcquireError::Forked { owner: own });
        // What the parent holds stays with it.
        drop((value, permit));
        // SAFETY: ends the child, and nothing else.
        unsafe { libc::_exit(if refused { 0 } else { 1 }) };
    }
    let mut status = 1;
    // SAFETY: `status` is writable, and the child is ours.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child was not refused");
    say("ready");
    wait_for_stop();
    drop((value, permit));
    say(0);
}

fn hold_permits(name: &str) {
    let semaphore = ShmSemaphore::open(name).expect("open");
    let _permits = [semaphore.acquire().expect("permit"), semaphore.acquire().expect("permit")];
    say("ready");
    wait_for_stop();
}

pub(crate) fn a_killed_owners_lock_comes_with_what_it_left() {
    let mutex = ShmMutex::create("lock-killed", [0u64; 3]).expect("create");
    for strategy in STRATEGIES {
        mutex.set_strategy(strategy);
        let mut owner = Process::start("lock_and_hold", "lock-killed", 0);
        owner.wait_ready();
        assert!(matches!(mutex.lock_timeout(SHORT), Err(LockError::Stalled)), "{strategy}: it lives");
        let pid = owner.pid();
        owner.kill();
        let Err(LockError::OwnerDied(mut found)) = mutex.lock() else { panic!("{strategy}: it was in the middle") };
        assert_eq!(found.pid(), Some(pid));
        assert_eq!(found[0], found[1] + 1);
        found[1] = found[0];
        drop(found.mark_consistent());
        assert!(mutex.lock().is_ok());
    }
}

pub(crate) fn a_stopped_owner_keeps_the_lock() {
    let mutex = ShmMutex::create("lock-stopped", [0u64; 3]).expect("create");
    for strategy in STRATEGIES {
        mutex.set_strategy(strategy);
        let mut owner = Process::start("lock_and_hold", "lock-stopped", 0);
        owner.wait_ready();
        owner.signal(Signal::STOP);
        // Past every time that the lock knows.
        for _ in 0..4 {
            assert!(matches!(mutex.lock_timeout(SHORT), Err(LockError::Stalled)), "{strategy}");
        }
        owner.signal(Signal::CONT);
        assert_eq!(owner.finish(), 0);
        let value = lock(&mutex);
        assert_eq!(value[0], value[1]);
        assert_eq!(value[2], 0, "nobody died");
    }
}

pub(crate) fn killed_and_stopped_contenders_hold_nobody_up() {
    const KILLS: usize = 40;
    let mutex = ShmMutex::create("lock-contended", [0u64; 3]).expect("create");
    let start = || Process::start("lock_again_and_again", "lock-contended", 0);
    let mut others: Vec<_> = (0..3).map(|_| start()).collect();
    others.iter_mut().for_each(Process::wait_ready);
    for kill in 0..KILLS {
        mutex.set_strategy(STRATEGIES[kill % STRATEGIES.len()]);
        for _ in 0..crate::message::mix(kill as u64) % 50 {
            drop(lock(&mutex));
        }
        let victim = kill % others.len();
        if kill % 8 == 7 {
            // It may be the owner, whose lock nobody takes from it; or in the queue, which nobody waits for.
            others[victim].signal(Signal::STOP);
            if let Err(error) = mutex.lock_timeout(SHORT) {
                assert!(matches!(error, LockError::Stalled), "a stopped owner is taken for dead");
                others[victim].signal(Signal::CONT);
                drop(lock(&mutex));
            }
        }
        others[victim].kill();
        others[victim] = start();
        others[victim].wait_ready();
    }
    drop(others);
    let value = lock(&mutex);
    assert!(value[0] > KILLS as u64, "{value:?}: they hardly ran");
    assert!(value[2] <= KILLS as u64 + 3, "{value:?}: more deaths than kills");
}

pub(crate) fn a_forked_child_is_refused_and_frees_nothing() {
    let mutex = ShmMutex::create("lock-forked", [0u64; 3]).expect("create");
    let semaphore = ShmSemaphore::create("lock-forked-permits", 1).expect("create");
    let mut parent = Process::start("lock_in_a_fork", "lock-forked", 0);
    parent.wait_ready();
    assert!(matches!(mutex.lock_timeout(SHORT), Err(LockError::Stalled)), "the parent holds it");
    assert_eq!(semaphore.available(), 0);
    assert_eq!(parent.finish(), 0);
    drop(lock(&mutex));
    assert_eq!((semaphore.available(), semaphore.returned()), (1, 0));
}

pub(crate) fn permits_of_the_killed_come_back() {
    let semaphore = ShmSemaphore::create("permits-killed", 2).expect("create");
    for killed in 1..=3 {
        let mut owner = Process::start("hold_permits", "permits-killed", 0);
        owner.wait_ready();
        assert_eq!(semaphore.acquire_timeout(SHORT).expect_err("it lives"), AcquireError::Stalled);
        owner.kill();
        let both = [semaphore.acquire().expect("permit"), semaphore.acquire().expect("permit")];
        assert_eq!(semaphore.returned(), 2 * killed);
        drop(both);
    }
}
