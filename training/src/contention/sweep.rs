//! Measures what a lock costs under each way of waiting, over how many want it, for how long they hold it, and for how long
//! they do without it.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tidegate::ShmMutex;
use tidegate::model::{Contention, LOCK_ARMS};

use super::CalibrateError;
use crate::progress::Progress;

/// Nanoseconds that the lock is held.
const HOLDS_NS: [u32; 5] = [0, 100, 1_000, 10_000, 50_000];
/// Nanoseconds that a contender does without it.
const THINKS_NS: [u32; 4] = [0, 1_000, 10_000, 100_000];
/// Waits beyond this are counted as this.
const WAIT_NS_MAX: u64 = 10_000_000_000;
const SEED: u64 = 20_260_101;
/// Work of that long is timed as it is done: a CPU that is a percent slower than it was would else pass for a wait.
const TIMED_FROM_NS: u32 = 10_000;

/// How the sweep is run.
#[derive(Debug, Clone, Copy)]
pub struct SweepParams {
    /// Times that each cell is measured under each way of waiting, 1 to 100.
    pub rounds: u32,
    /// How long each time.
    pub window: Duration,
}

impl Default for SweepParams {
    fn default() -> Self {
        Self { rounds: 8, window: Duration::from_millis(55) }
    }
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Which round.
    pub round: u32,
    /// The situation.
    #[serde(flatten)]
    pub contention: Contention,
    /// Number of the way of waiting in [`LOCK_ARMS`].
    pub arm: usize,
    /// Times that the lock was had.
    pub locks: u64,
    /// Time from one lock to the same contender's next beyond holding it and doing without it, mean, nanoseconds: waits for the
    /// lock, and for a CPU where there are more contenders than CPUs.
    pub beyond_work_ns: f64,
    /// The 99th percentile.
    pub wait_p99_ns: f64,
    /// CPU time that a lock took beside holding it and doing without it, nanoseconds.
    pub cpu_ns: f64,
}

/// Steps of work that take a nanosecond of CPU, and what looking at the clock twice takes.
#[derive(Debug, Clone, Copy)]
struct Pace {
    steps_a_ns: f64,
    clock_ns: f64,
}

/// Work that a contender does again and again.
#[derive(Debug)]
struct Work {
    steps: u64,
    ns: f64,
    /// How long each time, where that is told.
    times: Option<Histogram<u64>>,
}

impl Work {
    fn of(ns: u32, pace: Pace) -> Result<Self, CalibrateError> {
        let times = (ns >= TIMED_FROM_NS).then(histogram).transpose()?;
        Ok(Self { steps: pace.steps(ns), ns: f64::from(ns), times })
    }

    fn run(&mut self) {
        let Some(times) = &mut self.times else { return work(self.steps) };
        let began = Instant::now();
        work(self.steps);
        times.saturating_record(began.elapsed().as_nanos() as u64);
    }

    fn add(&mut self, other: Self) -> Result<(), CalibrateError> {
        if let (Some(times), Some(others)) = (&mut self.times, other.times) {
            times.add(others).map_err(|_| CalibrateError::NoHistogram)?;
        }
        Ok(())
    }

    /// Nanoseconds that it takes where nothing comes between: half of the times nothing did. With what looking at the clock takes.
    fn undisturbed_ns(&self, pace: Pace) -> f64 {
        self.times.as_ref().map_or(self.ns, |times| times.value_at_quantile(0.5) as f64 + pace.clock_ns / 2.0)
    }
}

fn histogram() -> Result<Histogram<u64>, CalibrateError> {
    Histogram::new_with_max(WAIT_NS_MAX, 3).map_err(|_| CalibrateError::NoHistogram)
}

/// Every situation of the sweep on a machine of so many CPUs.
pub fn situations(cpus: u32) -> Vec<Contention> {
    let mut contenders = vec![1, 2, cpus, 2 * cpus, 4 * cpus];
    contenders.sort_unstable();
    contenders.dedup();
    let mut all = Vec::new();
    for (contenders, hold_ns) in contenders.into_iter().flat_map(|n| HOLDS_NS.map(|hold_ns| (n, hold_ns))) {
        // Who is alone never waits, however long it does without.
        let thinks = if contenders == 1 { &THINKS_NS[..1] } else { &THINKS_NS };
        all.extend(thinks.iter().map(|&think_ns| Contention { contenders, cpus, hold_ns, think_ns }));
    }
    all
}

/// Measures every situation under every way of waiting, in an order drawn anew for each round, so that what else the
/// machine does is nobody's in particular.
///
/// # Errors
/// No lock can be made.
pub fn sweep(params: SweepParams, progress: &dyn Progress) -> Result<Vec<Measured>, CalibrateError> {
    let pace = Pace::here();
    let cpus = tidegate::cpus() as u32;
    let mut drawn = fastrand::Rng::with_seed(SEED);
    let cells = situations(cpus).into_iter().flat_map(|of| (0..LOCK_ARMS.len()).map(move |arm| (of, arm)));
    let mut cells: Vec<(Contention, usize)> = cells.collect();
    progress.begin("locks measured", cells.len() * params.rounds as usize);
    let mut measured = Vec::new();
    for round in 0..params.rounds {
        drawn.shuffle(&mut cells);
        for &(contention, arm) in &cells {
            measured.push(measure(round, contention, arm, params.window, pace)?);
            progress.step();
        }
    }
    Ok(measured)
}

fn measure(
    round: u32,
    contention: Contention,
    arm: usize,
    window: Duration,
    pace: Pace,
) -> Result<Measured, CalibrateError> {
    let mutex = ShmMutex::create_anonymous(0u64)?;
    mutex.set_strategy(LOCK_ARMS[arm]);
    let contenders = contention.contenders as usize;
    let (start, stop) = (Barrier::new(contenders + 1), AtomicBool::new(false));
    let works = || Ok::<_, CalibrateError>((Work::of(contention.hold_ns, pace)?, Work::of(contention.think_ns, pace)?));
    let contend = || {
        let (mut waits, (mut hold, mut think)) = (histogram()?, works()?);
        start.wait();
        let (cpu_before_ns, began) = (thread_cpu_ns(), Instant::now());
        while !stop.load(Ordering::Relaxed) {
            let wanted = Instant::now();
            let Ok(guard) = mutex.lock() else { return Err(CalibrateError::LockFailed) };
            waits.saturating_record(wanted.elapsed().as_nanos() as u64);
            hold.run();
            drop(guard);
            think.run();
        }
        Ok((waits, (hold, think), thread_cpu_ns() - cpu_before_ns, began.elapsed().as_nanos() as u64))
    };
    let per_thread: Vec<Result<_, _>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..contenders).map(|_| scope.spawn(contend)).collect();
        start.wait();
        thread::sleep(window);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap_or(Err(CalibrateError::LockFailed))).collect()
    });
    let (mut waits, (mut hold, mut think)) = (histogram()?, works()?);
    let (mut cpu_ns, mut elapsed_ns) = (0, 0);
    for of_thread in per_thread {
        let (its_waits, (its_hold, its_think), its_cpu_ns, its_elapsed_ns) = of_thread?;
        waits.add(its_waits).map_err(|_| CalibrateError::NoHistogram)?;
        hold.add(its_hold)?;
        think.add(its_think)?;
        cpu_ns += its_cpu_ns;
        elapsed_ns += its_elapsed_ns;
    }
    let locks = waits.len();
    let worked_ns = hold.undisturbed_ns(pace) + think.undisturbed_ns(pace) + pace.clock_ns;
    let beyond_work = |ns: u64| (ns as f64 / locks.max(1) as f64 - worked_ns).max(0.0);
    Ok(Measured {
        round,
        contention,
        arm,
        locks,
        beyond_work_ns: beyond_work(elapsed_ns),
        wait_p99_ns: (waits.value_at_quantile(0.99) as f64 - pace.clock_ns).max(0.0),
        cpu_ns: beyond_work(cpu_ns),
    })
}

impl Pace {
    fn here() -> Self {
        const STEPS: u64 = 1 << 22;
        const LOOKS: u32 = 1 << 14;
        let began = Instant::now();
        work(STEPS);
        let steps_a_ns = STEPS as f64 / began.elapsed().as_nanos() as f64;
        let began = Instant::now();
        (0..LOOKS).for_each(|_| {
            black_box(Instant::now().elapsed());
        });
        Self { steps_a_ns, clock_ns: began.elapsed().as_nanos() as f64 / f64::from(LOOKS) }
    }

    fn steps(self, ns: u32) -> u64 {
        (self.steps_a_ns * f64::from(ns)) as u64
    }
}

#[inline]
fn work(steps: u64) {
    let mut state = 1u64;
    for step in 0..steps {
        state = black_box(state.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ step);
    }
}

fn thread_cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
