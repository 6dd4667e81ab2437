//! Many channels that share one memory budget, beside an equal split of it: how long messages wait for room, what the controllers
//! take of a core, and whether the budget holds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use tidegate::control::{Budget, Controller, ControllerOptions};
use tidegate::{Channel, Receiver, Sender};
use tidegate_benches::machine::{Machine, allow_channels};

/// Bytes of a message.
const MESSAGE: usize = 1000;
/// Messages that a receiver takes in a tick.
const TAKEN_IN_A_TICK: usize = 40;
const TICK: Duration = Duration::from_millis(1);

/// Compares a shared budget with an equal split
#[derive(Debug, Parser)]
#[command(name = "budget")]
struct Options {
    /// Channels
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    channels: u32,
    /// Mebibytes that they have together
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    mebibytes: u32,
    /// Seconds of traffic, of 1,000 ticks each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// What a channel carries.
#[derive(Debug, Clone, Copy)]
struct Traffic {
    /// Ticks between two bursts.
    period: u64,
    /// Messages of a burst.
    burst: usize,
}

impl Traffic {
    /// Most channels have little to do, one in ten comes in bursts that need megabytes.
    fn of(number: u32) -> Self {
        match number % 10 {
            0 => Self { period: 100, burst: 2000 },
            1..=3 => Self { period: 10, burst: 20 },
            _ => Self { period: 50, burst: 1 },
        }
    }
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Outcome {
    sent: u64,
    /// Ticks that messages waited for room, added up.
    waited_ticks: u64,
    received: u64,
    /// Share of one core that everything but the traffic took.
    controller_core: f64,
    /// Most bytes of the budget in use.
    used_bytes_max: u64,
    budget_bytes: u64,
}

#[derive(Debug, Serialize)]
struct BudgetReport {
    machine: Machine,
    channels: u32,
    equal_split: Outcome,
    shared: Outcome,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    allow_channels(options.channels)?;
    let budget_bytes = u64::from(options.mebibytes) << 20;
    // The largest power of two that is no more than an equal share.
    let equal = 1 << (budget_bytes / u64::from(options.channels)).max(4096).ilog2();
    let report = BudgetReport {
        machine: Machine::here(),
        channels: options.channels,
        equal_split: run(&options, Some(equal), budget_bytes)?,
        shared: run(&options, None, budget_bytes)?,
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    let Machine { cpu_model, cpus, kernel, commit } = &report.machine;
    println!("{cpu_model}, {cpus} CPUs, Linux {kernel}, commit {commit}; {} channels", report.channels);
    for (name, outcome) in [("equal split", &report.equal_split), ("shared", &report.shared)] {
        println!(
            "{name:>12}: {} sent, which waited {} ticks for room in all, {} received; {:.1} % of a core beside the traffic; at most {} of {} MiB",
            outcome.sent,
            outcome.waited_ticks,
            outcome.received,
            outcome.controller_core * 100.0,
            outcome.used_bytes_max >> 20,
            outcome.budget_bytes >> 20,
        );
    }
    Ok(())
}

/// With rings of `ring_bytes` for ever, or as controllers choose.
fn run(options: &Options, ring_bytes: Option<u64>, budget_bytes: u64) -> anyhow::Result<Outcome> {
    let budget = Arc::new(Budget::new(budget_bytes));
    let create = |_| {
        let channel = Channel::options().senders_max(1).ring_bytes(ring_bytes.unwrap_or(1 << 16));
        channel.create_anonymous().context("a channel cannot be made")
    };
    let channels = (0..options.channels).map(create).collect::<anyhow::Result<Vec<Channel>>>()?;
    let ends = channels.iter().map(|channel| Ok((channel.sender()?, channel.receiver()?)));
    let mut ends = ends.collect::<anyhow::Result<Vec<(Sender, Receiver)>>>()?;
    let control = |channel| {
        let options = ControllerOptions { budget: Some(Arc::clone(&budget)), ..ControllerOptions::default() };
        Controller::start(channel, "one of many", options)
    };
    let controllers: Vec<Controller> = channels.iter().filter(|_| ring_bytes.is_none()).map(control).collect();
    let mut outcome = Outcome {
        sent: 0,
        waited_ticks: 0,
        received: 0,
        controller_core: 0.0,
        used_bytes_max: ring_bytes.map_or(0, |bytes| bytes * u64::from(options.channels)),
        budget_bytes,
    };
    let mut waiting = vec![0usize; ends.len()];
    let (began, before) = (Instant::now(), cpu());
    let mut due = began;
    for tick in 0..options.seconds * 1000 {
        for (number, ((sender, receiver), waiting)) in (0u32..).zip(ends.iter_mut().zip(&mut waiting)) {
            let traffic = Traffic::of(number);
            if (tick + u64::from(number)) % traffic.period == 0 {
                *waiting += traffic.burst;
            }
            let wanted = *waiting;
            while *waiting > 0 && sender.try_send(&[0; MESSAGE]).is_ok() {
                *waiting -= 1;
            }
            outcome.sent += (wanted - *waiting) as u64;
            outcome.waited_ticks += *waiting as u64;
            outcome.received += (0..TAKEN_IN_A_TICK).take_while(|_| receiver.try_recv().is_ok()).count() as u64;
        }
        if tick % 100 == 0 {
            // What there is, not what is said to be.
            let rings: u64 = channels.iter().map(|channel| channel.view().ring_bytes()).sum();
            outcome.used_bytes_max = outcome.used_bytes_max.max(rings).max(budget.used());
        }
        due += TICK;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let (process_s, thread_s) = cpu();
    outcome.controller_core = (process_s - before.0 - (thread_s - before.1)).max(0.0) / began.elapsed().as_secs_f64();
    drop(controllers);
    Ok(outcome)
}

/// CPU seconds of this process, and of this thread.
fn cpu() -> (f64, f64) {
    let seconds = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    (seconds(ClockId::ProcessCPUTime), seconds(ClockId::ThreadCPUTime))
}
