//! The thread that calls all controllers of a process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::control::controller::ControlAgent;
use crate::shm::own_process::{ProcessToken, own_token};
use crate::sync::per_process::PerProcess;

static DRIVER: PerProcess<ProcessToken, Driver> = PerProcess::new();
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

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

#[derive(Debug)]
struct Entry {
    id: u64,
    due: Instant,
    tick: Duration,
    agent: ControlAgent,
}

/// A controller in the hands of the thread, until this is dropped: then it does not decide any more.
#[derive(Debug)]
pub(crate) struct Driven {
    driver: &'static Driver,
    id: u64,
}

impl Driven {
    /// Has `agent` called every `tick`, or less often where it says so.
    pub(crate) fn start(agent: ControlAgent, tick: Duration) -> Self {
        let driver = DRIVER.get(own_token(), Driver::default);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let mut entries = driver.entries.lock();
        entries.all.push(Entry { id, due: Instant::now() + tick, tick, agent });
        if !entries.is_running {
            let thread = std::thread::Builder::new().name("tidegate-control".into());
            // Without a thread the channel goes on with its plan; the next controller tries again.
            entries.is_running = thread.spawn(|| driver.run()).is_ok();
        }
        driver.changed.notify_one();
        Self { driver, id }
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        let gone = {
            let mut entries = self.driver.entries.lock();
            entries.all.iter().position(|entry| entry.id == self.id).map(|at| entries.all.swap_remove(at))
        };
        // Its channel may be closed with it, which takes a while.
        drop(gone);
    }
}

impl Driver {
    /// Goes on while there are controllers.
    fn run(&self) {
        let mut entries = self.entries.lock();
        while let Some(due) = entries.all.iter().map(|entry| entry.due).min() {
            if due > Instant::now() {
                // Or until another controller comes that may be due sooner.
                self.changed.wait_until(&mut entries, due);
            }
            let now = Instant::now();
            // Who panics, which is reported there, decides no more; the channel goes on with its last plan.
            entries
                .all
                .retain_mut(|entry| entry.due > now || catch_unwind(AssertUnwindSafe(|| entry.step(now))).is_ok());
        }
        entries.is_running = false;
    }
}

impl Entry {
    fn step(&mut self, now: Instant) {
        self.agent.step();
        // A tick missed is not made up for: the next sample covers its time.
        self.due = (self.due + self.tick * self.agent.ticks_to_next()).max(now);
    }
}
