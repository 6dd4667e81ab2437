//! A process that is killed over a lock or a permit; and the others who want it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tidegate::{LockError, LockStrategy, MutexGuard, ShmMutex, ShmSemaphore, WaitStrategy};

use crate::child::{Fate, PATIENCE, Process, say};
use crate::matrix::Outcome;

pub(crate) const STRATEGIES: [LockStrategy; 4] =
    [LockStrategy::Spin, LockStrategy::Queue, LockStrategy::SpinPark { budget_ns: 1_000 }, LockStrategy::Park];
/// Times that the child takes the lock in each strategy.
const LOCKS: u64 = 12;

/// Two counts that are equal while nobody has the lock.
type Value = [u64; 2];

/// Locks, and makes whole what the dead have left; whether that was to do.
fn lock_it(mutex: &ShmMutex<Value>) -> Result<(MutexGuard<'_, Value>, bool), String> {
    match mutex.lock_timeout(PATIENCE) {
        Ok(value) if value[0] == value[1] => Ok((value, false)),
        Ok(value) => Err(format!("lost: {value:?} is torn, and nobody is told")),
        Err(LockError::OwnerDied(mut found)) => {
            if found[0] != found[1] && found[0] != found[1] + 1 {
                return Err(format!("damaged: {:?}", *found));
            }
            found[1] = found[0];
            Ok((found.mark_consistent(), true))
        }
        Err(error) => Err(format!("hung: {error}")),
    }
}

/// The child's part: takes the lock in every way, and gives up on it.
pub(crate) fn lock(name: &str) {
    let mutex = ShmMutex::<Value>::open(name).expect("open");
    for strategy in STRATEGIES {
        mutex.set_strategy(strategy);
        for _ in 0..LOCKS {
            let (mut value, _) = lock_it(&mutex).expect("lock");
            value[0] += 1;
            std::hint::spin_loop();
            value[1] += 1;
            drop(value);
            // In vain, mostly: gives up, or takes it at its deadline.
            drop(mutex.lock_timeout(Duration::from_micros(50)));
        }
        // A dead owner: a handle that is gone without having given the lock back.
        let lost = ShmMutex::<Value>::open(name).expect("open");
        let (value, _) = lock_it(&lost).expect("lock");
        std::mem::forget(value);
        drop(lost);
        drop(lock_it(&mutex).expect("lock"));
    }
    say("done");
}

/// The child's part: dies, if at all, between the two counts, over another lock.
pub(crate) fn tear(name: &str) {
    let mutex = ShmMutex::<Value>::open(name).expect("open");
    let other = ShmMutex::<Value>::open(&other(name)).expect("open");
    // So that of the other lock's every third use, one is under the first.
    drop(lock_it(&other).expect("lock"));
    for _ in 0..LOCKS {
        let (mut value, _) = lock_it(&mutex).expect("lock");
        value[0] += 1;
        drop(lock_it(&other).expect("lock"));
        value[1] += 1;
    }
    say("done");
}

fn other(name: &str) -> String {
    format!("{name}-other")
}

/// The child's part: takes permits and gives them back.
pub(crate) fn acquire(name: &str) {
    let semaphore = ShmSemaphore::open(name).expect("open");
    for strategy in [WaitStrategy::SpinYield, WaitStrategy::Park] {
        semaphore.set_wait_strategy(strategy);
        for _ in 0..LOCKS {
            let first = semaphore.acquire().expect("permit");
            let second = semaphore.acquire_timeout(Duration::from_micros(200));
            drop((first, second));
        }
    }
    say("done");
}

/// Contends in threads of the referee until told to stop.
pub(crate) fn contend(
    threads: usize,
    stop: &Arc<AtomicBool>,
    once: impl Fn() -> Result<(), String> + Send + Clone + 'static,
) -> Vec<thread::JoinHandle<Result<(), String>>> {
    let contender = |_| {
        let (stop, once) = (Arc::clone(stop), once.clone());
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                once()?;
            }
            Ok(())
        })
    };
    (0..threads).map(contender).collect()
}

pub(crate) fn join(contenders: Vec<thread::JoinHandle<Result<(), String>>>) -> Result<(), String> {
    contenders.into_iter().try_for_each(|contender| contender.join().map_err(|_| "a contender panicked")?)
}

/// The referee's part, of a mutex.
pub(crate) fn judge_mutex(name: &str, fate: &Fate) -> Result<Outcome, String> {
    let mutex = ShmMutex::create(name, [0u64; 2]).map_err(|error| error.to_string())?;
    let stop = Arc::<AtomicBool>::default();
    let contenders = contend(2, &stop, {
        let mutex = mutex.clone();
        move || {
            let (mut value, _) = lock_it(&mutex)?;
            value[0] += 1;
            // Long enough that others have to wait.
            thread::sleep(Duration::from_micros(100));
            value[1] += 1;
            Ok(())
        }
    });
    let mut child = Process::start("lock", name, fate);
    let end = child.end();
    stop.store(true, Ordering::Relaxed);
    join(contenders)?;
    // As good as new, in every strategy, and for another process, too.
    for strategy in STRATEGIES {
        mutex.set_strategy(strategy);
        drop(lock_it(&mutex)?);
        if lock_it(&mutex)?.1 {
            return Err("told twice of one death".into());
        }
    }
    let mut another = Process::start("lock", name, &Fate::Lives);
    match another.end() {
        crate::child::End::Finished => Ok(Outcome { end, left_bytes: 0 }),
        other => Err(format!("another process: {other:?}")),
    }
}

/// The referee's part, of a value that is torn as its owner dies: who finds it so is told.
pub(crate) fn judge_torn(name: &str, fate: &Fate) -> Result<Outcome, String> {
    let create = |name: &str| ShmMutex::create(name, [0u64; 2]).map_err(|error| error.to_string());
    let (mutex, other) = (create(name)?, create(&other(name))?);
    let mut child = Process::start("tear", name, fate);
    let end = child.end();
    let told = [lock_it(&mutex)?.1, lock_it(&other)?.1];
    let again = [lock_it(&mutex)?.1, lock_it(&other)?.1];
    if again.contains(&true) {
        return Err("told twice of one death".into());
    }
    match fate {
        // The third time that it has a lock in hand, it has both.
        Fate::Dies("lock.taken", 3) if told != [true, true] => Err(format!("lost: a death in hand, told {told:?}")),
        Fate::Dies("lock.taken", 1) if told != [false, true] => Err(format!("lost: a death in hand, told {told:?}")),
        _ => Ok(Outcome { end, left_bytes: 0 }),
    }
}

/// The referee's part, of a semaphore.
pub(crate) fn judge_semaphore(name: &str, fate: &Fate) -> Result<Outcome, String> {
    let semaphore = ShmSemaphore::create(name, 2).map_err(|error| error.to_string())?;
    let stop = Arc::<AtomicBool>::default();
    let contenders = contend(2, &stop, {
        let semaphore = semaphore.clone();
        move || {
            let permit = semaphore.acquire_timeout(PATIENCE).map_err(|error| format!("hung: {error}"))?;
            thread::sleep(Duration::from_micros(100));
            drop(permit);
            Ok(())
        }
    });
    let mut child = Process::start("acquire", name, fate);
    let end = child.end();
    stop.store(true, Ordering::Relaxed);
    join(contenders)?;
    let take =
        |which| semaphore.acquire_timeout(PATIENCE).map_err(|error| format!("leaked: the {which} permit: {error}"));
    let both = [take("first")?, take("second")?];
    if semaphore.try_acquire().is_ok() {
        return Err("duplicated: a third permit of two".into());
    }
    drop(both);
    Ok(Outcome { end, left_bytes: 0 })
}
