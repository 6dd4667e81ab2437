//! One thread a process that sleeps for all its tasks (`futex_waitv(2)`, Linux 5.16).
//!
//! A task that finds nothing to do announces its sleep as a thread does (W1 to W4 of `PROTOCOL.md`) and leaves the last
//! step, W5, to this thread, together with its waker. Wakers of channels need not know the difference.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::thread::futex;
use rustix::time::{ClockId, Timespec};

use crate::prim::AtomicU32;
use crate::prim::Ordering::Relaxed;
use crate::shm::own_process::{ProcessToken, own_token};
use crate::shm::window::Shared;
use crate::sync::clock::now_ns;
use crate::sync::eventcount::{Prepared, futex_entry};
use crate::sync::owed;
use crate::sync::per_process::PerProcess;
use crate::sync::wait::WaitPoint;

/// Every task is woken so often, to see whether its peers still live; it heals what a dead waker left undone, too.
#[cfg(not(test))]
const TICK: Duration = Duration::from_millis(20);
/// In unit tests nothing makes up for a lost wake-up.
#[cfg(test)]
const TICK: Duration = Duration::from_secs(3600);
/// The tick where not every event can be waited for: too many at once, no `futex_waitv`, or no fence.
const TICK_POLLING: Duration = Duration::from_millis(1);
/// Events that one call waits for: the kernel takes 128, one of them is the bell.
const SLEEPERS_MAX: usize = 127;

/// A task that sleeps at a wait point.
#[derive(Debug)]
struct Sleeper {
    /// The endpoint's own, where its waits are booked.
    own: Shared<WaitPoint>,
    /// The one whose event rings for it.
    point: Shared<WaitPoint>,
    sleep: Prepared,
    task: std::task::Waker,
}

/// The sleeping tasks of this process, and the thread that sleeps for them.
#[derive(Debug, Default)]
struct Reactor {
    sleepers: Mutex<Sleepers>,
    /// Counts changes of the list, so that the thread does not sleep on an old one.
    bell: AtomicU32,
}

#[derive(Debug, Default)]
struct Sleepers {
    all: Vec<Sleeper>,
    has_thread: bool,
}

static REACTOR: PerProcess<ProcessToken, Reactor> = PerProcess::new();

/// Has `task`, of the endpoint whose waits are booked at `own`, woken when the event of `point` rings, or within [`TICK`],
/// unless `ready` yields something first.
///
/// # Panics
/// Panics if the process cannot start a thread.
pub(crate) fn sleep<T>(
    (own, point): (&Shared<WaitPoint>, &Shared<WaitPoint>),
    task: &std::task::Waker,
    ready: impl FnOnce() -> Option<T>,
) -> Option<T> {
    owed::settle();
    let sleep = point.event.prepare();
    if let Some(value) = ready() {
        return Some(value); // W4
    }
    let reactor = REACTOR.get(own_token(), Reactor::default);
    // What belongs to a task may run anything when it is cloned or dropped, so neither is done under the lock.
    let sleeper = Sleeper { own: own.clone(), point: point.clone(), sleep, task: task.clone() };
    let _over = reactor.add(sleeper);
    let _fails_only_on_a_bad_address = futex::wake(&reactor.bell, futex::Flags::empty(), 1);
    None
}

/// Whether the kernel has `futex_waitv(2)`, and lets this process use it.
pub(crate) fn has_futex_waitv() -> bool {
    let word = crate::prim::AtomicU32::new(1);
    // Not what the word is, so that the call returns at once.
    let entry = futex_entry(&word, 0);
    let answer = futex::waitv(&[entry], futex::WaitvFlags::empty(), None, ClockId::Monotonic);
    answer == Err(Errno::AGAIN)
}

impl Reactor {
    /// Adds a sleeper, and takes out those of the same endpoint: it has one task, so what that waited for earlier is over.
    fn add(&'static self, sleeper: Sleeper) -> Vec<Sleeper> {
        let mut sleepers = self.sleepers.lock();
        let over = sleepers.all.extract_if(.., |other| std::ptr::eq(&*other.own, &*sleeper.own)).collect();
        sleepers.all.push(sleeper);
        // Under the lock, as the thread reads it: it sleeps on no list that is older than the bell it waits at.
        self.bell.fetch_add(1, Relaxed);
        if !sleepers.has_thread {
            let thread = std::thread::Builder::new().name("tidegate-reactor".into());
            let _runs_on = thread.spawn(|| self.run()).expect("a thread for the tasks of this process");
            sleepers.has_thread = true;
        }
        over
    }

    fn run(&self) -> ! {
        let mut tick_due_ns = now_ns();
        loop {
            let (entries, points, polling) = self.entries();
            let tick = if polling { TICK_POLLING } else { TICK };
            tick_due_ns = tick_due_ns.min(now_ns() + tick.as_nanos() as u64);
            // Without sleepers only the bell ends the sleep.
            let limit = (!points.is_empty()).then_some(Timespec {
                tv_sec: (tick_due_ns / 1_000_000_000) as i64,
                tv_nsec: (tick_due_ns % 1_000_000_000) as i64,
            });
            match futex::waitv(&entries, futex::WaitvFlags::empty(), limit.as_ref(), ClockId::Monotonic) {
                Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => {}
                Err(_) => std::thread::sleep(TICK_POLLING),
            }
            // Mapped until here: the kernel has looked at the words.
            drop(points);
            let ticked = now_ns() >= tick_due_ns;
            if ticked {
                tick_due_ns = u64::MAX;
            }
            for task in self.rung(ticked) {
                // An executor's panic is its own matter, and has been told on stderr. The other tasks sleep here, too.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| task.wake())) {
                    // Dropping it might panic, too.
                    std::mem::forget(panic);
                }
            }
        }
    }

    /// What to wait for, the points that keep it mapped, and whether that is not everything.
    fn entries(&self) -> (Vec<futex::Wait>, Vec<Shared<WaitPoint>>, bool) {
        let sleepers = self.sleepers.lock();
        let waited_for = sleepers.all.iter().take(SLEEPERS_MAX);
        let bell = futex_entry(&self.bell, self.bell.load(Relaxed));
        let entries = std::iter::once(bell).chain(waited_for.map(|s| s.point.event.futex_entry(s.sleep))).collect();
        let polling = sleepers.all.len() > SLEEPERS_MAX || sleepers.all.iter().any(|s| !s.sleep.fenced);
        (entries, sleepers.all.iter().map(|s| s.point.clone()).collect(), polling)
    }

    /// Takes out the tasks whose event has rung, or all.
    fn rung(&self, all: bool) -> Vec<std::task::Waker> {
        let mut sleepers = self.sleepers.lock();
        sleepers.all.extract_if(.., |s| all || s.point.event.has_rung_since(s.sleep)).map(|s| s.task).collect()
    }
}
