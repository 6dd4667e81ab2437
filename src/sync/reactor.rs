//! One thread a process that sleeps for all its tasks (`futex_waitv(2)`, Linux 5.16).
//!
//! A task that finds nothing to do announces its sleep as a thread does (W1 to W4 of `PROTOCOL.md`) and leaves the last
//! step, W5, to this thread, together with its waker. Wakers of channels need not know the difference.

use std::time::Duration;

use parking_lot::Mutex;
use rustix::thread::futex;
use rustix::time::{ClockId, Timespec};

use crate::prim::AtomicU32;
use crate::prim::Ordering::{Acquire, Release};
use crate::shm::window::Shared;
use crate::sync::clock::now_ns;
use crate::sync::eventcount::{Prepared, futex_entry};
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
    point: Shared<WaitPoint>,
    sleep: Prepared,
    task: std::task::Waker,
}

#[derive(Debug, Default)]
struct Sleepers {
    all: Vec<Sleeper>,
    /// Process whose thread sleeps for them: a child made by `fork` has none.
    thread_of: u32,
}

static SLEEPERS: Mutex<Sleepers> = Mutex::new(Sleepers { all: Vec::new(), thread_of: 0 });
/// Counts changes of the list, so that the thread does not sleep on an old one.
static BELL: AtomicU32 = AtomicU32::new(0);

/// Has `task` woken when the event of `point` rings, or within [`TICK`], unless `ready` yields something first.
///
/// # Panics
/// Panics if the process cannot start a thread.
pub(crate) fn sleep<T>(
    point: &Shared<WaitPoint>,
    task: &std::task::Waker,
    ready: impl FnOnce() -> Option<T>,
) -> Option<T> {
    let sleep = point.event.prepare();
    if let Some(value) = ready() {
        return Some(value); // W4
    }
    let mut sleepers = SLEEPERS.lock();
    // An endpoint has one task: what an earlier one of it waited for is over. Dropped without the lock, since dropping a
    // task may run anything.
    let _over: Vec<Sleeper> = sleepers.all.extract_if(.., |other| std::ptr::eq(&*other.point, &**point)).collect();
    sleepers.all.push(Sleeper { point: point.clone(), sleep, task: task.clone() });
    BELL.fetch_add(1, Release);
    let process = std::process::id();
    if sleepers.thread_of != process {
        let thread = std::thread::Builder::new().name("tidegate-reactor".into());
        let _runs_on = thread.spawn(run).expect("a thread for the tasks of this process");
        sleepers.thread_of = process;
    }
    drop(sleepers);
    let _fails_only_on_a_bad_address = futex::wake(&BELL, futex::Flags::empty(), 1);
    None
}

fn run() -> ! {
    let mut tick_due_ns = now_ns();
    loop {
        let (entries, points, polling) = entries();
        let tick = if polling { TICK_POLLING } else { TICK };
        tick_due_ns = tick_due_ns.min(now_ns() + tick.as_nanos() as u64);
        // Without sleepers only the bell ends the sleep.
        let limit = (!points.is_empty()).then_some(Timespec {
            tv_sec: (tick_due_ns / 1_000_000_000) as i64,
            tv_nsec: (tick_due_ns % 1_000_000_000) as i64,
        });
        match futex::waitv(&entries, futex::WaitvFlags::empty(), limit.as_ref(), ClockId::Monotonic) {
            Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR | rustix::io::Errno::TIMEDOUT) => {}
            Err(_) => std::thread::sleep(TICK_POLLING),
        }
        // Mapped until here: the kernel has looked at the words.
        drop(points);
        let ticked = now_ns() >= tick_due_ns;
        if ticked {
            tick_due_ns = u64::MAX;
        }
        for task in rung(ticked) {
            task.wake();
        }
    }
}

/// What to wait for, the points that keep it mapped, and whether that is not everything.
fn entries() -> (Vec<futex::Wait>, Vec<Shared<WaitPoint>>, bool) {
    let sleepers = SLEEPERS.lock();
    let waited_for = sleepers.all.iter().take(SLEEPERS_MAX);
    let bell = futex_entry(&BELL, BELL.load(Acquire));
    let entries = std::iter::once(bell).chain(waited_for.map(|s| s.point.event.futex_entry(s.sleep))).collect();
    let polling = sleepers.all.len() > SLEEPERS_MAX || sleepers.all.iter().any(|s| !s.sleep.fenced);
    (entries, sleepers.all.iter().map(|s| s.point.clone()).collect(), polling)
}

/// Takes out the tasks whose event has rung, or all.
fn rung(all: bool) -> Vec<std::task::Waker> {
    let mut sleepers = SLEEPERS.lock();
    sleepers.all.extract_if(.., |s| all || s.point.event.has_rung_since(s.sleep)).map(|s| s.task).collect()
}
