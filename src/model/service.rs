//! From samples to demand: how fast the receiver takes bytes out, and how much was offered.

use crate::model::{Demand, TICK_NS};
use crate::telemetry::Sample;

/// Share of the newest tick in the estimate, if the receiver was busy throughout.
const GAIN: f64 = 1.0 / 32.0;
/// Busy time below which a tick says nothing about the rate, as a share of the tick.
const BUSY_MIN: f64 = 0.02;
/// Senders blocked for a larger share of a tick count as blocked for this one: they would have offered, but how much
/// is a guess.
const BLOCKED_MAX: f64 = 0.9;
/// Nominal ticks that one long sample counts as, at most.
const TICKS_MAX: u64 = 64;

/// Estimates the receiver's service rate from samples.
#[derive(Debug, Clone, Default)]
pub struct ServiceRate {
    bytes_ns: Option<f64>,
}

/// A sample seen relative to the service rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Demand of each nominal tick that the sample covers.
    pub demand: Demand,
    /// Nominal ticks that it covers.
    pub ticks: u64,
    /// Bytes that the receiver takes out in a nominal tick when it never waits.
    pub service_bytes: f64,
}

/// Nominal ticks that a sample covers, at least one.
pub(crate) fn nominal_ticks(sample: &Sample) -> u64 {
    (sample.tick_ns.saturating_add(TICK_NS / 2) / TICK_NS).max(1)
}

impl ServiceRate {
    /// Takes a sample in; `None` until a busy receiver was seen.
    ///
    /// The rate is measured only while the receiver was not waiting, so an idle channel does not look slow. What
    /// blocked senders could not offer is made up for, so that back-pressure does not hide demand.
    pub fn observe(&mut self, sample: &Sample) -> Option<Observation> {
        let tick_ns = sample.tick_ns.max(1) as f64;
        let busy_ns = (tick_ns - sample.idle_ns as f64).max(0.0);
        let busy = busy_ns / tick_ns;
        if sample.departed_bytes > 0 && busy >= BUSY_MIN {
            let measured = sample.departed_bytes as f64 / busy_ns;
            let known = self.bytes_ns.get_or_insert(measured);
            *known += (measured - *known) * GAIN * busy;
        }
        let service_bytes = (self.bytes_ns? * TICK_NS as f64).max(1.0);
        let senders = f64::from(sample.senders.max(1));
        let blocked = (sample.blocked_ns as f64 / (senders * tick_ns)).clamp(0.0, BLOCKED_MAX);
        let offered_bytes = sample.arrived_bytes as f64 / (1.0 - blocked);
        let ticks = nominal_ticks(sample).min(TICKS_MAX);
        let arrivals = offered_bytes / service_bytes * (TICK_NS as f64 / tick_ns);
        let backlog = sample.backlog_bytes as f64 / service_bytes;
        Some(Observation { demand: Demand { arrivals, backlog }, ticks, service_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Channel, telemetry::Sampler};

    fn sample(arrived_bytes: u64, departed_bytes: u64, idle_ns: u64, blocked_ns: u64) -> Sample {
        let channel = Channel::options().create_anonymous().unwrap();
        let still = Sampler::new(&channel).sample();
        Sample { tick_ns: TICK_NS, arrived_bytes, departed_bytes, idle_ns, blocked_ns, senders: 1, ..still }
    }

    #[test]
    fn an_idle_receiver_is_not_taken_for_a_slow_one() {
        let mut rate = ServiceRate::default();
        assert_eq!(rate.observe(&sample(0, 0, TICK_NS, 0)), None);
        // 1,000 bytes in the quarter of the tick in which it did not wait.
        let seen = rate.observe(&sample(1000, 1000, TICK_NS / 4 * 3, 0)).unwrap();
        assert!((seen.service_bytes - 4000.0).abs() < 1e-6, "{seen:?}");
        assert!((seen.demand.arrivals - 0.25).abs() < 1e-9);
        for _ in 0..1000 {
            let quiet = rate.observe(&sample(0, 0, TICK_NS, 0)).unwrap();
            assert_eq!(quiet.service_bytes, seen.service_bytes);
        }
    }

    #[test]
    fn back_pressure_does_not_hide_demand() {
        let mut rate = ServiceRate::default();
        let free = rate.observe(&sample(1000, 1000, 0, 0)).unwrap();
        let blocked = rate.observe(&sample(1000, 1000, 0, TICK_NS / 2)).unwrap();
        assert!((blocked.demand.arrivals / free.demand.arrivals - 2.0).abs() < 1e-9);
    }
}
