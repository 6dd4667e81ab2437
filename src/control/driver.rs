//! The thread that calls all controllers of a process.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::control::controller::ControlAgent;
use crate::shm::own_process::{ProcessToken, own_token};
use crate::sync::per_process::PerProcess;

/// The shortest tick: the thread is to have time for others.
const TICK_MIN: Duration = Duration::from_micros(100);

static DRIVER: PerProcess<ProcessToken, Driver> = PerProcess::new();
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether this is the thread that calls controllers.
    static IS_DRIVER: Cell<bool> = const { Cell::new(false) };
}

/// The controllers of this process, and when each is due.
#[derive(Debug, Default)]
struct Driver {
    entries: Mutex<Entries>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Entries {
    all: Vec<Entry>,
    is_running: bool,
}

/// An agent; `None` once it is not to be called any more. Locked while it is called.
type SharedAgent = Arc<Mutex<Option<ControlAgent>>>;

#[derive(Debug)]
struct Entry {
    id: u64,
    due: Instant,
    tick: Duration,
    agent: SharedAgent,
}

/// A controller in the hands of the thread, until this is dropped: then it does not decide any more.
#[derive(Debug)]
pub(crate) struct Driven {
    driver: &'static Driver,
    process: ProcessToken,
    id: u64,
    agent: SharedAgent,
}

impl Driven {
    /// Has `agent` called every `tick`, or less often where it says so.
    pub(crate) fn start(agent: ControlAgent, tick: Duration) -> Self {
        let (process, tick) = (own_token(), tick.max(TICK_MIN));
        let driver = DRIVER.get(process, Driver::default);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let agent = Arc::new(Mutex::new(Some(agent)));
        let mut entries = driver.entries.lock();
        entries.all.push(Entry { id, due: Instant::now() + tick, tick, agent: Arc::clone(&agent) });
        if !entries.is_running {
            let thread = std::thread::Builder::new().name("tidegate-control".into());
            // Without a thread the channel goes on with its plan; the next controller tries again.
            entries.is_running = thread.spawn(|| driver.run()).is_ok();
        }
        driver.changed.notify_one();
        Self { driver, process, id, agent }
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        if own_token() != self.process {
            return; // A child that `fork` made has no such thread, and perhaps its locks as they were.
        }
        self.driver.entries.lock().all.retain(|entry| entry.id != self.id);
        if !IS_DRIVER.get() {
            // Waits until a call that goes on is over. The channel may be closed with the agent, which takes a while.
            drop(self.agent.lock().take());
        }
    }
}

/// Says that the thread is over, however it ends.
struct Running<'a>(&'a Driver);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.entries.lock().is_running = false;
    }
}

impl Driver {
    /// Goes on while there are controllers.
    fn run(&self) {
        IS_DRIVER.set(true);
        let mut running = Some(Running(self));
        loop {
            let mut entries = self.entries.lock();
            let Some(due) = entries.all.iter().map(|entry| entry.due).min() else {
                // Under the lock, so that who comes now starts another thread.
                entries.is_running = false;
                std::mem::forget(running.take());
                return;
            };
            if due > Instant::now() {
                // Or until another controller comes that may be due sooner.
                self.changed.wait_until(&mut entries, due);
            }
            let now = Instant::now();
            let is_due = |entry: &&Entry| entry.due <= now;
            let due: Vec<(u64, SharedAgent)> =
                entries.all.iter().filter(is_due).map(|entry| (entry.id, Arc::clone(&entry.agent))).collect();
            drop(entries);
            for (id, agent) in due {
                let ticks = call(&agent);
                self.call_again(id, now, ticks);
            }
        }
    }

    /// Has an agent called after so many ticks, or no more.
    fn call_again(&self, id: u64, now: Instant, ticks: Option<u32>) {
        let mut entries = self.entries.lock();
        let Some(at) = entries.all.iter().position(|entry| entry.id == id) else { return };
        match ticks {
            Some(ticks) => {
                let entry = &mut entries.all[at];
                let (period, on_time) = (entry.tick * ticks, entry.due + entry.tick * ticks);
                // A tick missed is not made up for: the next sample covers its time.
                entry.due = if on_time > now { on_time } else { now + period };
            }
            None => drop(entries.all.swap_remove(at)),
        }
    }
}

/// One duty cycle; the ticks to the next. Who panics, which is reported there, decides no more: the channel goes on with its last
/// plan.
fn call(agent: &SharedAgent) -> Option<u32> {
    let mut agent = agent.lock();
    let called = catch_unwind(AssertUnwindSafe(|| {
        let agent = agent.as_mut()?;
        agent.step();
        Some(agent.ticks_to_next())
    }));
    if called.is_err() {
        let spoilt = agent.take();
        let _a_panic_there_was_reported_there = catch_unwind(AssertUnwindSafe(|| drop(spoilt)));
    }
    called.ok().flatten()
}
