//! Threads or processes that want one lock, again and again.

use std::hint::black_box;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write, stdin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::{Lock, System, WithLock, with_existing, with_new};
use crate::child::Child;

/// What is measured: who wants the lock, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// Whether the contenders are processes; else they are threads of one.
    pub processes: bool,
    /// How many there are.
    pub contenders: usize,
    /// Nanoseconds that each holds the lock, and then does without it.
    pub hold_ns: u64,
}

/// Steps of work that take a nanosecond.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Calibration {
    steps_per_ns: f64,
}

impl Calibration {
    /// Measures it.
    pub fn here() -> Self {
        const STEPS: u64 = 1 << 22;
        let began = Instant::now();
        work(STEPS);
        Self { steps_per_ns: STEPS as f64 / began.elapsed().as_nanos() as f64 }
    }

    fn steps(self, ns: u64) -> u64 {
        (self.steps_per_ns * ns as f64) as u64
    }

    /// Works for about that long.
    pub fn work(self, ns: u64) {
        work(self.steps(ns));
    }
}

#[inline]
fn work(steps: u64) {
    let mut state = 1u64;
    for step in 0..steps {
        state = black_box(state.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ step);
    }
}

/// How often each contender had the lock.
#[derive(Debug, Clone, Serialize)]
pub struct Locked {
    /// Times a second, of all together.
    pub per_s: f64,
    /// What the contender that had it least had, as a share of the mean: 1 is fair.
    pub least_share: f64,
}

/// Measures `system` in `cell` for `window`; `role` wraps a child's part for the program that this one is.
///
/// # Errors
/// A lock or a process cannot be made, or a lock has not excluded.
pub fn measure<R: Serialize>(
    system: System,
    cell: Cell,
    calibration: Calibration,
    window: Duration,
    role: impl Fn(Role) -> R,
) -> anyhow::Result<Locked> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let name = format!("bench-lock-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    let plan = Plan { cell, steps: calibration.steps(cell.hold_ns), window };
    let (counts, in_all) = if cell.processes {
        with_new(system, &name, Processes { plan, system, name: &name, role })??
    } else {
        with_new(system, &name, Threads { plan })?
    };
    let sum: u64 = counts.iter().sum();
    ensure!(sum == in_all, "{} has let {sum} in and {in_all} through", system.name());
    let mean = sum as f64 / counts.len() as f64;
    let least = counts.iter().copied().min().context("no contender")? as f64;
    Ok(Locked { per_s: sum as f64 / window.as_secs_f64(), least_share: least / mean.max(1.0) })
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    cell: Cell,
    steps: u64,
    window: Duration,
}

/// Wants the lock until told to stop.
fn contend(lock: &impl Lock, steps: u64, stop: &AtomicBool) -> u64 {
    let mut had = 0;
    while !stop.load(Ordering::Relaxed) {
        lock.hold(|| work(steps));
        had += 1;
        work(steps);
    }
    had
}

struct Threads {
    plan: Plan,
}

impl WithLock for Threads {
    type Output = (Vec<u64>, u64);

    fn with<L: Lock>(self, lock: &L) -> Self::Output {
        let Plan { cell, steps, window } = self.plan;
        let (stop, start) = (AtomicBool::new(false), Barrier::new(cell.contenders + 1));
        let counts = thread::scope(|scope| {
            let contender = || {
                start.wait();
                contend(lock, steps, &stop)
            };
            let contenders: Vec<_> = (0..cell.contenders).map(|_| scope.spawn(contender)).collect();
            start.wait();
            thread::sleep(window);
            stop.store(true, Ordering::Relaxed);
            contenders.into_iter().map(|contender| contender.join().unwrap_or(0)).collect()
        });
        (counts, lock.count())
    }
}

struct Processes<'a, F> {
    plan: Plan,
    system: System,
    name: &'a str,
    role: F,
}

impl<R: Serialize, F: Fn(Role) -> R> WithLock for Processes<'_, F> {
    type Output = anyhow::Result<(Vec<u64>, u64)>;

    fn with<L: Lock>(self, lock: &L) -> Self::Output {
        let Plan { cell, steps, window } = self.plan;
        let contender =
            Role { system: self.system, name: self.name.into(), steps, window_ns: window.as_nanos() as u64 };
        let mut contenders = Vec::new();
        for _ in 0..cell.contenders {
            contenders.push(Contender::start(&(self.role)(contender.clone()))?);
        }
        for contender in &mut contenders {
            ensure!(contender.line()? == "ready", "a contender is not ready");
        }
        for contender in &mut contenders {
            contender.input.write_all(b"go\n").context("starting a contender")?;
        }
        let mut counts = Vec::new();
        for mut contender in contenders {
            counts.push(contender.line()?.parse().context("a contender's count")?);
            contender.child.finish()?;
        }
        Ok((counts, lock.count()))
    }
}

struct Contender {
    child: Child,
    input: PipeWriter,
    output: BufReader<PipeReader>,
}

impl Contender {
    fn start<R: Serialize>(role: &R) -> anyhow::Result<Self> {
        let (stdin, input) = std::io::pipe()?;
        let (output, stdout) = std::io::pipe()?;
        Ok(Self { child: Child::spawn(role, stdin, stdout)?, input, output: BufReader::new(output) })
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).context("hearing from a contender")?;
        Ok(line.trim_end().into())
    }
}

/// What a contender that is a process does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Role {
    system: System,
    name: String,
    steps: u64,
    window_ns: u64,
}

impl Role {
    /// Does it.
    ///
    /// # Errors
    /// The lock is not found, or the process that measures has died.
    pub fn run(self) -> anyhow::Result<()> {
        let Self { system, name, steps, window_ns } = self;
        let count = with_existing(system, &name, Alone { steps, window: Duration::from_nanos(window_ns) })??;
        println!("{count}");
        Ok(())
    }
}

struct Alone {
    steps: u64,
    window: Duration,
}

impl WithLock for Alone {
    type Output = anyhow::Result<u64>;

    fn with<L: Lock>(self, lock: &L) -> Self::Output {
        let stop = AtomicBool::new(false);
        let (start, started) = mpsc::channel();
        thread::scope(|scope| {
            let (stop, steps) = (&stop, self.steps);
            let contender = scope.spawn(move || {
                let _when_the_start_was_heard = started.recv();
                contend(lock, steps, stop)
            });
            println!("ready");
            stdin().lock().read_line(&mut String::new()).context("hearing the start")?;
            start.send(()).context("starting")?;
            thread::sleep(self.window);
            stop.store(true, Ordering::Relaxed);
            Ok(contender.join().unwrap_or(0))
        })
    }
}
