//! Reader-writer locks whose readers and writers are killed, stopped and forked.

use std::time::Duration;

use rustix::process::Signal;
use tidegate::{LockError, LockStrategy, RwLockReadGuard, RwLockWriteGuard, ShmRwLock};

use crate::child::{Process, say, wait_for_stop};

const STRATEGIES: [LockStrategy; 4] =
    [LockStrategy::Spin, LockStrategy::Queue, LockStrategy::DEFAULT, LockStrategy::Park];
const SHORT: Duration = Duration::from_millis(30);

/// Two counts that are equal while nobody writes, and how often a heir has made them so.
type Value = [u64; 3];

/// What a child does, by role; `name` is that of the lock.
pub(crate) fn run(role: &str, name: &str) {
    let lock = ShmRwLock::<Value>::open(name).expect("open");
    match role {
        "read_and_hold" => {
            let value = lock.read().expect("read");
            say("ready");
            wait_for_stop();
            drop(value);
            say(0);
        }
        "write_and_hold" => {
            let mut value = lock.write().expect("write");
            value[0] += 1;
            say("ready");
            wait_for_stop();
            value[1] += 1;
            drop(value);
            say(0);
        }
        "read_and_write" => {
            say("ready");
            for turn in 0u64.. {
                if turn % 4 == 0 { write_whole(&lock) } else { read_whole(&lock) }
            }
        }
        "read_in_a_fork" => read_in_a_fork(&lock),
        other => panic!("unknown role {other}"),
    }
}

fn make_whole(value: &mut Value) {
    assert!(value[0] == value[1] || value[0] == value[1] + 1, "{value:?}");
    value[1] = value[0];
    value[2] += 1;
}

fn write_whole(lock: &ShmRwLock<Value>) {
    let mut value = match lock.write() {
        Ok(value) => value,
        Err(LockError::OwnerDied(mut found)) => {
            make_whole(&mut found);
            found.mark_consistent()
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(value[0], value[1], "torn, and nobody has said so");
    value[0] += 1;
    std::hint::spin_loop();
    value[1] += 1;
}

fn read_whole(lock: &ShmRwLock<Value>) {
    let value = match lock.read() {
        Ok(value) => value,
        Err(LockError::OwnerDied(mut found)) => {
            make_whole(&mut found);
            found.mark_consistent().downgrade()
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(value[0], value[1], "torn, and nobody has said so");
}

/// Reads, forks, and has the child try what it must not; and once more as it writes.
fn read_in_a_fork(lock: &ShmRwLock<Value>) {
    fork_with(lock, None, Some(lock.write().expect("write")));
    fork_with(lock, Some(lock.read().expect("read")), None);
}

fn fork_with(
    lock: &ShmRwLock<Value>,
    value: Option<RwLockReadGuard<'_, Value>>,
    written: Option<RwLockWriteGuard<'_, Value>>,
) {
    let own = std::process::id();
    // SAFETY: this process has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = matches!(lock.read(), Err(LockError::Forked { owner }) if owner == own)
            && matches!(lock.write(), Err(LockError::Forked { owner }) if owner == own);
        drop(value);
        if let Some(written) = written {
            drop(written.downgrade());
        }
        // SAFETY: ends the child, and nothing else.
        unsafe { libc::_exit(if refused { 0 } else { 1 }) };
    }
    let mut status = 1;
    // SAFETY: `status` is writable, and the child is ours.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child was not refused");
    if written.is_some() {
        return;
    }
    say("ready");
    wait_for_stop();
    drop(value);
    say(0);
}

pub(crate) fn a_killed_reader_holds_no_writer_up() {
    let lock = ShmRwLock::create("rwlock-reader", [0u64; 3]).expect("create");
    for strategy in STRATEGIES {
        lock.set_strategy(strategy);
        let mut readers = [(); 2].map(|()| Process::start("read_and_hold", "rwlock-reader", 0));
        readers.iter_mut().for_each(Process::wait_ready);
        assert!(matches!(lock.write_timeout(SHORT), Err(LockError::Stalled)), "{strategy}: they live");
        readers.iter_mut().for_each(Process::kill);
        assert!(lock.write().is_ok(), "{strategy}: a reader leaves the value whole");
    }
}

pub(crate) fn a_killed_writers_lock_comes_with_what_it_left() {
    let lock = ShmRwLock::create("rwlock-writer", [0u64; 3]).expect("create");
    for (strategy, reads) in STRATEGIES.into_iter().zip([true, false].into_iter().cycle()) {
        lock.set_strategy(strategy);
        let mut writer = Process::start("write_and_hold", "rwlock-writer", 0);
        writer.wait_ready();
        assert!(matches!(lock.read_timeout(SHORT), Err(LockError::Stalled)), "{strategy}: it lives");
        let pid = writer.pid();
        writer.kill();
        let died = if reads { lock.read().err() } else { lock.write().err() };
        let Some(LockError::OwnerDied(mut found)) = died else { panic!("{strategy}: it was in the middle") };
        assert_eq!((found.pid(), found[0]), (Some(pid), found[1] + 1));
        make_whole(&mut found);
        drop(found.mark_consistent());
        assert!(lock.read().is_ok());
    }
}

pub(crate) fn a_writer_killed_as_it_waits_leaves_nothing() {
    let lock = ShmRwLock::create("rwlock-waiting", [0u64; 3]).expect("create");
    for strategy in STRATEGIES {
        lock.set_strategy(strategy);
        let reader = lock.read().expect("read");
        let mut writer = Process::start("write_and_hold", "rwlock-waiting", 0);
        // Until it has the lock, and waits for the reader.
        while lock.try_read().is_ok() {
            std::thread::yield_now();
        }
        writer.kill();
        // Who reads on keeps nobody out, and nobody is told of what was not done.
        assert!(lock.read().is_ok(), "{strategy}");
        drop(reader);
        assert!(lock.write().is_ok(), "{strategy}");
    }
}

pub(crate) fn a_stopped_reader_keeps_writers_out() {
    let lock = ShmRwLock::create("rwlock-stopped", [0u64; 3]).expect("create");
    for strategy in STRATEGIES {
        lock.set_strategy(strategy);
        let mut reader = Process::start("read_and_hold", "rwlock-stopped", 0);
        reader.wait_ready();
        reader.signal(Signal::STOP);
        for _ in 0..4 {
            assert!(matches!(lock.write_timeout(SHORT), Err(LockError::Stalled)), "{strategy}");
        }
        assert!(lock.read().is_ok(), "others read on");
        reader.signal(Signal::CONT);
        assert_eq!(reader.finish(), 0);
        assert!(lock.write().is_ok());
    }
}

pub(crate) fn a_forked_child_takes_no_reader_away() {
    let lock = ShmRwLock::create("rwlock-forked", [0u64; 3]).expect("create");
    let mut parent = Process::start("read_in_a_fork", "rwlock-forked", 0);
    parent.wait_ready();
    assert!(matches!(lock.write_timeout(SHORT), Err(LockError::Stalled)), "the parent reads");
    assert_eq!(parent.finish(), 0);
    assert!(lock.write().is_ok());
}

pub(crate) fn killed_readers_and_writers_hold_nobody_up() {
    const KILLS: usize = 40;
    let lock = ShmRwLock::create("rwlock-contended", [0u64; 3]).expect("create");
    let start = || Process::start("read_and_write", "rwlock-contended", 0);
    let mut others: Vec<_> = (0..3).map(|_| start()).collect();
    others.iter_mut().for_each(Process::wait_ready);
    let mut own_writes = 0;
    for kill in 0..KILLS {
        lock.set_strategy(STRATEGIES[kill % STRATEGIES.len()]);
        for turn in 0..crate::message::mix(kill as u64) % 50 {
            if turn % 2 == 0 {
                write_whole(&lock);
                own_writes += 1;
            } else {
                read_whole(&lock);
            }
        }
        let victim = kill % others.len();
        others[victim].kill();
        others[victim] = start();
        others[victim].wait_ready();
    }
    // Those that live write, too, however late they are to run.
    while lock.read().is_ok_and(|value| value[0] <= own_writes) {
        std::thread::yield_now();
    }
    drop(others);
    read_whole(&lock);
    let value = lock.read().expect("whole");
    assert!(value[2] <= KILLS as u64 + 3, "{value:?}: more deaths than kills");
}
