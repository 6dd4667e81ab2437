//! A process that is killed as it reads or writes under a lock; and the others who want it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use tidegate::{LockError, RwLockReadGuard, RwLockWriteGuard, ShmRwLock};

use crate::child::{End, Fate, PATIENCE, Process, say};
use crate::locking::{STRATEGIES, contend, join};
use crate::matrix::Outcome;

/// Times that the child takes the lock in each strategy.
const LOCKS: u64 = 12;

/// Two counts that are equal while nobody writes.
type Value = [u64; 2];

/// Locks to write, and makes whole what the dead have left; whether that was to do.
fn write(lock: &ShmRwLock<Value>) -> Result<(RwLockWriteGuard<'_, Value>, bool), String> {
    match lock.write_timeout(PATIENCE) {
        Ok(value) if value[0] == value[1] => Ok((value, false)),
        Ok(value) => Err(format!("lost: {value:?} is torn, and nobody is told")),
        Err(died) => Ok((heir(died)?, true)),
    }
}

fn read(lock: &ShmRwLock<Value>) -> Result<RwLockReadGuard<'_, Value>, String> {
    match lock.read_timeout(PATIENCE) {
        Ok(value) if value[0] == value[1] => Ok(value),
        Ok(value) => Err(format!("lost: {value:?} is torn, and nobody is told")),
        Err(died) => Ok(heir(died)?.downgrade()),
    }
}

fn heir<'a>(error: LockError<RwLockWriteGuard<'a, Value>>) -> Result<RwLockWriteGuard<'a, Value>, String> {
    let LockError::OwnerDied(mut found) = error else { return Err(format!("hung: {error}")) };
    if found[0] != found[1] && found[0] != found[1] + 1 {
        return Err(format!("damaged: {:?}", *found));
    }
    found[1] = found[0];
    Ok(found.mark_consistent())
}

/// Long enough that others have to wait.
fn linger() {
    thread::sleep(Duration::from_micros(100));
}

/// The child's part: reads and writes in every way.
pub(crate) fn run(name: &str) {
    let lock = ShmRwLock::<Value>::open(name).expect("open");
    for strategy in STRATEGIES {
        lock.set_strategy(strategy);
        for _ in 0..LOCKS {
            let value = read(&lock).expect("read");
            linger();
            drop(value);
            let (mut value, _) = write(&lock).expect("write");
            value[0] += 1;
            std::hint::spin_loop();
            value[1] += 1;
            drop(value);
            // In vain, mostly.
            drop((lock.write_timeout(Duration::from_micros(50)), lock.read_timeout(Duration::from_micros(50))));
        }
    }
    say("done");
}

/// The referee's part.
pub(crate) fn judge(name: &str, fate: &Fate) -> Result<Outcome, String> {
    let lock = ShmRwLock::create(name, [0u64; 2]).map_err(|error| error.to_string())?;
    let stop = Arc::<AtomicBool>::default();
    let contenders = contend(2, &stop, {
        let (lock, turns) = (lock.clone(), Arc::new(std::sync::atomic::AtomicU64::new(0)));
        move || {
            if turns.fetch_add(1, Relaxed) % 2 == 0 {
                let value = read(&lock)?;
                linger();
                if value[0] != value[1] {
                    return Err(format!("lost: {value:?} was written to while it was read"));
                }
            } else {
                let (mut value, _) = write(&lock)?;
                value[0] += 1;
                linger();
                value[1] += 1;
            }
            Ok(())
        }
    });
    let mut child = Process::start("read_and_write", name, fate);
    let end = child.end();
    stop.store(true, Relaxed);
    join(contenders)?;
    // As good as new, in every strategy, and for another process, too.
    for strategy in STRATEGIES {
        lock.set_strategy(strategy);
        drop(write(&lock)?);
        if write(&lock)?.1 {
            return Err("told twice of one death".into());
        }
        drop(read(&lock)?);
    }
    let mut another = Process::start("read_and_write", name, &Fate::Lives);
    match another.end() {
        End::Finished => Ok(Outcome { end, left_bytes: 0 }),
        other => Err(format!("another process: {other:?}")),
    }
}
