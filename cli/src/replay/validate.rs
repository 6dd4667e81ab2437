//! The simulator beside real replays of the same arrivals.

use std::sync::atomic::AtomicBool;

use serde::Serialize;
use tidegate::WaitStrategy;
use tidegate_training::simulate::{Outcome, fixed};
use tidegate_training::workload::{ReplayParams, Workload};
use tidegate_training::{ArrivalTrace, Progress};

use super::accuracy::{Accuracy, NEAR};
use super::policy::Policy;
use super::report::{kib, print_json};
use super::{Failure, live};
use crate::progress::Bars;
use crate::table::aligned;

/// Loads that each trace is replayed at.
const LOADS: [f64; 4] = [0.3, 0.6, 0.85, 1.2];
/// What is validated: backlogs in a ring that holds them, with a receiver that is never asleep, as the simulated one, and each
/// side on a CPU of its own.
const POLICY: Policy = Policy::Static { ring_bytes: 1 << 26, wait: WaitStrategy::Spin };
/// Real replays of each, of which the one with the middle peak counts: some are disturbed by what else the machine does.
const ROUNDS: usize = 3;

/// One replay both ways.
#[derive(Debug, Serialize)]
struct Pair {
    trace: String,
    load: f64,
    /// The one with the middle peak.
    real: Outcome,
    /// The smallest and the largest peak backlog of the real replays.
    real_peaks: [u64; 2],
    simulated: Outcome,
    /// Simulated peak backlog over the real one, less 1.
    peak_error: f64,
}

#[derive(Debug, Serialize)]
struct Validation {
    policy: Policy,
    pairs: Vec<Pair>,
    /// Traces whose peak backlog the simulation tells within 10 % at every load.
    traces_near: usize,
    traces: usize,
    /// Replays of which it does.
    pairs_near: usize,
    /// Mean of the absolute errors.
    mean_absolute_error: f64,
}

/// Replays `traces` at several loads both ways, and prints by how much they differ.
pub(super) fn run(
    traces: &[ArrivalTrace],
    params: &ReplayParams,
    interrupted: &AtomicBool,
    json: bool,
) -> Result<(), Failure> {
    let bars = Bars::default();
    bars.begin("replays", traces.len() * LOADS.len());
    let mut pairs = Vec::new();
    for trace in traces {
        for load in LOADS {
            let params = ReplayParams { load: Some(load), ..params.clone() };
            let workload = Workload::new(trace, &params).map_err(Failure::Usage)?;
            let mut rounds = Vec::new();
            for _ in 0..ROUNDS {
                let (real, delivery) = live::run(&workload, (POLICY, None), true, interrupted, |_| {})?;
                if !delivery.is_sound() {
                    return Err(Failure::Corrupt(format!("{}: {delivery:?}", trace.name)));
                }
                rounds.push(real);
            }
            rounds.sort_by_key(|real| real.peak_backlog_bytes);
            let real = rounds[ROUNDS / 2];
            let real_peaks = [rounds[0].peak_backlog_bytes, rounds[ROUNDS - 1].peak_backlog_bytes];
            let simulated = fixed(&workload, POLICY.ring_bytes());
            let peak_error = simulated.peak_backlog_bytes as f64 / real.peak_backlog_bytes.max(1) as f64 - 1.0;
            pairs.push(Pair { trace: trace.name.clone(), load, real, real_peaks, simulated, peak_error });
            bars.step();
        }
    }
    drop(bars);
    let accuracy = Accuracy::of(&pairs.iter().map(|pair| (pair.load, pair.peak_error)).collect::<Vec<_>>());
    let near = |pair: &Pair| pair.peak_error.abs() <= NEAR;
    let of = |trace: &ArrivalTrace| pairs.iter().filter(|pair| pair.trace == trace.name).all(near);
    let validation = Validation {
        policy: POLICY,
        traces_near: traces.iter().filter(|trace| of(trace)).count(),
        traces: traces.len(),
        pairs_near: pairs.iter().filter(|pair| near(pair)).count(),
        mean_absolute_error: pairs.iter().map(|pair| pair.peak_error.abs()).sum::<f64>() / pairs.len().max(1) as f64,
        pairs,
    };
    if json {
        print_json(&validation)?
    } else {
        validation.print()?
    }
    accuracy.keep()
}

impl Validation {
    fn print(&self) -> Result<(), Failure> {
        println!("The simulator against the middle one of three real replays under {}:\n", self.policy);
        let mut table =
            aligned(&["trace", "load", "peak KiB (of 3)", "simulated", "error %", "p99 us", "simulated us"]);
        for Pair { trace, load, real, real_peaks: [least, most], simulated, peak_error } in &self.pairs {
            table.add_row([
                trace.clone(),
                format!("{load:.2}"),
                format!("{} ({}-{})", kib(real.peak_backlog_bytes), kib(*least), kib(*most)),
                kib(simulated.peak_backlog_bytes),
                format!("{:+.1}", peak_error * 100.0),
                format!("{:.1}", real.latency_ns.p99 as f64 / 1e3),
                format!("{:.1}", simulated.latency_ns.p99 as f64 / 1e3),
            ]);
        }
        println!("{table}");
        println!(
            "\nThe peak backlog is within 10 % at every load on {} of {} traces, and in {} of {} replays; mean absolute \
             error {:.1} %.",
            self.traces_near,
            self.traces,
            self.pairs_near,
            self.pairs.len(),
            self.mean_absolute_error * 100.0
        );
        Ok(())
    }
}
