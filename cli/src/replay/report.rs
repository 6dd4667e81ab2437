//! Results of replays, as a table for people or JSON for programs.

use serde::Serialize;
use tidegate::control::Weights;
use tidegate_training::simulate::Outcome;
use tidegate_training::workload::Workload;

use super::accuracy::AtLoad;
use super::policy::Policy;
use crate::failure::Failure;
use crate::table::aligned;

/// Of a replay between processes: whether every message came.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Delivery {
    pub(super) sent: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) corrupt: u64,
    /// CPU time of sender, receiver and controller.
    pub(super) cpu_seconds: f64,
}

/// What a run has cost, by the weights of the profile: microseconds a second.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Cost {
    /// All of it.
    pub(super) sum_us_s: f64,
    /// Of the sender's waits for room.
    pub(super) blocked_us_s: f64,
    /// Of CPU time; nothing where it was simulated.
    pub(super) cpu_us_s: f64,
    /// Of the ring's memory.
    pub(super) memory_us_s: f64,
}

impl Cost {
    fn of(run: &Run, weights: Weights) -> Self {
        let seconds = run.outcome.span_ns.max(1) as f64 / 1e9;
        let cpu_seconds = run.delivery.map_or(0.0, |delivery| delivery.cpu_seconds);
        let blocked_us_s = run.outcome.blocked_ns as f64 / 1e3 / seconds;
        let cpu_us_s = cpu_seconds * 1e6 / seconds * weights.cpu_us;
        let memory_us_s = run.outcome.mean_ring_bytes as f64 / f64::from(1 << 20) * weights.mebibyte_s;
        Self { sum_us_s: blocked_us_s + cpu_us_s + memory_us_s, blocked_us_s, cpu_us_s, memory_us_s }
    }
}

/// One run.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    pub(super) policy: Policy,
    pub(super) simulated: bool,
    pub(super) cost: Cost,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
    #[serde(flatten)]
    pub(super) delivery: Option<Delivery>,
    /// Arrivals that the simulation took in a second.
    pub(super) simulated_arrivals_a_second: Option<f64>,
    /// How far simulations were from real replays on this machine, at the load next to this one.
    pub(super) simulator: Option<AtLoad>,
}

/// All runs of one recording.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    trace: String,
    messages: usize,
    /// Times the recorded speed.
    speed: f64,
    /// Mean share of time that the receiver is busy.
    load: f64,
    /// What the recorded sizes were multiplied with.
    size_scale: f64,
    weights: Weights,
    runs: Vec<Run>,
}

impl Delivery {
    pub(super) fn is_sound(&self) -> bool {
        self.lost + self.duplicated + self.corrupt == 0
    }
}

impl Report {
    pub(super) fn new(trace: &str, workload: &Workload, weights: Weights) -> Self {
        Self {
            trace: trace.into(),
            messages: workload.dues.len(),
            speed: workload.speed,
            load: workload.load,
            size_scale: workload.size_scale,
            weights,
            runs: Vec::new(),
        }
    }

    /// Adds a run, whose cost is set here.
    pub(super) fn add(&mut self, run: Run) {
        let cost = Cost::of(&run, self.weights);
        self.runs.push(Run { cost, ..run });
    }

    /// Whether every message came, of those that were sent.
    pub(super) fn is_sound(&self) -> bool {
        self.runs.iter().filter_map(|run| run.delivery).all(|delivery| delivery.is_sound())
    }

    /// Prints it.
    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return print_json(self);
        }
        println!(
            "{}: {} messages at {:.4} times the recorded speed, load {:.2}{}\n",
            self.trace,
            self.messages,
            self.speed,
            self.load,
            if self.size_scale < 1.0 { format!(", sizes times {:.3}", self.size_scale) } else { String::new() }
        );
        let heads = [
            "policy",
            "received",
            "lost",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "stalls",
            "blocked ms",
            "peak KiB",
            "ring KiB",
            "resizes",
            "switches",
            "CPU s",
            "cost us/s",
        ];
        let mut table = aligned(&heads);
        for run in &self.runs {
            let Outcome { latency_ns: latency, .. } = run.outcome;
            let us = |ns: u64| format!("{:.1}", ns as f64 / 1e3);
            let simulated = if run.simulated { " (simulated)" } else { "" };
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
            table.add_row([
                format!("{}{simulated}", run.policy),
                run.outcome.messages.to_string(),
                or_dash(run.delivery.map(|delivery| delivery.lost.to_string())),
                us(latency.p50),
                us(latency.p99),
                us(latency.p999),
                run.outcome.stalls.to_string(),
                format!("{:.2}", run.outcome.blocked_ns as f64 / 1e6),
                kib(run.outcome.peak_backlog_bytes),
                kib(run.outcome.mean_ring_bytes),
                run.outcome.resizes.to_string(),
                run.outcome.switches.to_string(),
                or_dash(run.delivery.map(|delivery| format!("{:.2}", delivery.cpu_seconds))),
                format!("{:.0}", run.cost.sum_us_s),
            ]);
        }
        println!("{table}");
        // What was validated is a ring that never filled.
        let fixed =
            |run: &&Run| run.simulated && run.outcome.stalls == 0 && matches!(run.policy, Policy::Static { .. });
        match self.runs.iter().find(fixed).map(|run| run.simulator) {
            None => {}
            Some(None) => println!(
                "\nHow far simulations are from real replays at such a load on this machine is not known: `tidegate replay --validate` \
                 measures it."
            ),
            Some(Some(AtLoad { load, replays, mean_absolute_error, share_near })) => println!(
                "\nIn rings that never fill, simulated peak backlogs were off by {:.1} % on average at load {load:.2} on this machine, \
                 and within 10 % in {:.0} % of {replays} replays.",
                mean_absolute_error * 100.0,
                share_near * 100.0
            ),
        }
        Ok(())
    }
}

pub(super) fn kib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1024.0)
}

pub(super) fn print_json(report: &impl Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(report).map_err(|e| Failure::Environment(e.to_string()))?);
    Ok(())
}
