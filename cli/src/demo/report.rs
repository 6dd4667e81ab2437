//! The demo's results, as a table for people or JSON for programs.

use serde::Serialize;
use tidegate_training::simulate::Latency;

use crate::failure::Failure;
use crate::table::aligned;

/// What one run came to.
#[derive(Debug, Serialize)]
pub(crate) struct RunResult {
    pub(crate) policy: &'static str,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) corrupt: u64,
    /// Waits of producers for room.
    pub(crate) stalls: u64,
    /// From when a message was due by its trace to when it was received.
    pub(crate) latency_ns: Latency,
    /// Of all processes that send or receive.
    pub(crate) cpu_seconds: f64,
    /// Bytes of both producers' rings, mean over time.
    pub(crate) mean_ring_bytes: u64,
    pub(crate) resizes: u64,
    pub(crate) switches: u64,
}

impl RunResult {
    /// Whether every message arrived once and undamaged.
    pub(crate) fn is_sound(&self) -> bool {
        self.sent == self.received && self.lost + self.duplicated + self.corrupt == 0
    }
}

pub(crate) fn print_json(runs: &[&RunResult]) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Report<'a> {
        runs: &'a [&'a RunResult],
    }
    let json = serde_json::to_string(&Report { runs });
    println!("{}", json.map_err(|e| Failure::Environment(e.to_string()))?);
    Ok(())
}

pub(crate) fn print_table(runs: &[&RunResult]) {
    let mut table = aligned(&[
        "policy",
        "sent",
        "received",
        "lost",
        "doubled",
        "corrupt",
        "stalls",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "CPU s",
        "mean ring KiB",
        "resizes",
        "switches",
    ]);
    for run in runs {
        let us = |ns: u64| format!("{:.0}", ns as f64 / 1000.0);
        table.add_row([
            run.policy.to_owned(),
            run.sent.to_string(),
            run.received.to_string(),
            run.lost.to_string(),
            run.duplicated.to_string(),
            run.corrupt.to_string(),
            run.stalls.to_string(),
            us(run.latency_ns.p50),
            us(run.latency_ns.p99),
            us(run.latency_ns.p999),
            format!("{:.1}", run.cpu_seconds),
            (run.mean_ring_bytes / 1024).to_string(),
            run.resizes.to_string(),
            run.switches.to_string(),
        ]);
    }
    println!("{table}");
}
