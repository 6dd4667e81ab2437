//! What a run came to.

use serde::{Deserialize, Serialize};

use super::Simulation;

/// What a replay, simulated or real, came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Outcome {
    /// Messages received.
    pub messages: u64,
    /// Most bytes committed and not yet released at a time, headers included.
    pub peak_backlog_bytes: u64,
    /// From when a message was due to when the receiver began it.
    pub latency_ns: Latency,
    /// Times that the sender had to wait for room.
    pub stalls: u64,
    /// Nanoseconds that it waited.
    pub blocked_ns: u64,
    /// Bytes of the ring, mean over time.
    pub mean_ring_bytes: u64,
    /// Decisions to resize it.
    pub resizes: u64,
    /// Decisions to wait otherwise.
    pub switches: u64,
    /// Nanoseconds from the start to the last release.
    pub span_ns: u64,
}

/// Quantiles of a latency, nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50: u64,
    /// Exceeded by one of a hundred.
    pub p99: u64,
    /// Exceeded by one of a thousand.
    pub p999: u64,
}

impl Latency {
    /// Quantiles of `latencies_ns`, which are sorted by this: the smallest that so many do not exceed; 0 of none.
    pub fn of(latencies_ns: &mut [u64]) -> Self {
        latencies_ns.sort_unstable();
        let at = |share: f64| {
            let rank = (share * latencies_ns.len() as f64).ceil() as usize;
            latencies_ns.get(rank.saturating_sub(1)).copied().unwrap_or(0)
        };
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999) }
    }
}

impl Outcome {
    pub(super) fn of(mut simulation: Simulation<'_>, mean_ring_bytes: u64, [resizes, switches]: [u64; 2]) -> Self {
        Self {
            messages: simulation.counts.departed_messages,
            peak_backlog_bytes: simulation.peak_bytes,
            latency_ns: Latency::of(&mut simulation.latencies_ns),
            stalls: simulation.counts.stalls,
            blocked_ns: simulation.counts.blocked_ns,
            mean_ring_bytes,
            resizes,
            switches,
            span_ns: simulation.server_free_ns,
        }
    }
}
