//! What a run has cost, in one unit: microseconds that are lost.

use serde::{Deserialize, Serialize};
use tidegate::control::Weights;

/// What was measured in one run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Messages, or round trips, that count.
    pub(crate) messages: u64,
    /// Seconds in which they were sent and received.
    pub(crate) seconds: f64,
    /// Of a workload with a schedule, the seconds of that.
    pub(crate) scheduled_s: f64,
    /// Messages that were sent and not received, or received twice.
    pub(crate) lost: u64,
    /// Quantiles of the time from when a message was due to its receipt, or of a round trip, microseconds.
    pub(crate) p50_us: f64,
    /// See there.
    pub(crate) p99_us: f64,
    /// See there.
    pub(crate) p999_us: f64,
    /// Seconds in which there was a message to receive and the receiver had nothing else to do.
    pub(crate) late_s: f64,
    /// Seconds that senders spent in sends.
    pub(crate) blocked_s: f64,
    /// CPU seconds of all processes, without the work that a real program would do.
    pub(crate) cpu_s: f64,
    /// Mebibytes of rings, mean.
    pub(crate) mebibytes: f64,
    /// Changes of the plan.
    pub(crate) changes: u64,
}

/// The parts of a cost. Of a workload with a schedule: microseconds lost in a second. Of one without: microseconds a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Cost {
    /// Without a schedule, the time itself: throughput falls short of what it could be by as much as that is longer.
    pub(crate) time_us: f64,
    /// Late receipts.
    pub(crate) late_us: f64,
    /// Senders that wait for room.
    pub(crate) blocked_us: f64,
    /// CPU time.
    pub(crate) cpu_us: f64,
    /// Memory.
    pub(crate) memory_us: f64,
}

impl Cost {
    /// The cost of a run, where `is_closed` tells that it had no schedule.
    pub(crate) fn of(measured: &Measured, is_closed: bool, weights: Weights) -> Self {
        let per = if is_closed { measured.messages as f64 } else { measured.scheduled_s };
        let us = |seconds: f64| seconds * 1e6 / per;
        Self {
            time_us: if is_closed { us(measured.seconds) } else { 0.0 },
            late_us: if is_closed { 0.0 } else { us(measured.late_s) },
            blocked_us: if is_closed { 0.0 } else { us(measured.blocked_s) },
            cpu_us: us(measured.cpu_s) * weights.cpu_us,
            memory_us: measured.mebibytes * weights.mebibyte_s * measured.seconds / per,
        }
    }

    pub(crate) fn sum(&self) -> f64 {
        self.time_us + self.late_us + self.blocked_us + self.cpu_us + self.memory_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Measured = Measured {
        messages: 1000,
        seconds: 2.0,
        scheduled_s: 2.0,
        lost: 0,
        p50_us: 1.0,
        p99_us: 2.0,
        p999_us: 3.0,
        late_s: 0.1,
        blocked_s: 0.02,
        cpu_s: 0.5,
        mebibytes: 4.0,
        changes: 0,
    };

    #[test]
    fn a_schedule_is_paid_by_the_second_and_none_by_the_message() {
        let weights = Weights { cpu_us: 0.5, mebibyte_s: 1000.0 };
        let open = Cost::of(&RUN, false, weights);
        assert_eq!((open.time_us, open.late_us, open.blocked_us), (0.0, 50_000.0, 10_000.0));
        assert_eq!((open.cpu_us, open.memory_us), (125_000.0, 4000.0));
        assert_eq!(open.sum(), 189_000.0);
        let closed = Cost::of(&RUN, true, weights);
        assert_eq!((closed.time_us, closed.late_us, closed.cpu_us, closed.memory_us), (2000.0, 0.0, 250.0, 8.0));
    }

    #[test]
    fn what_falls_behind_pays_by_its_schedule() {
        let behind = Measured { seconds: 4.0, scheduled_s: 2.0, cpu_s: 1.0, ..RUN };
        let cost = Cost::of(&behind, false, Weights { cpu_us: 1.0, mebibyte_s: 1000.0 });
        assert_eq!((cost.cpu_us, cost.memory_us), (500_000.0, 8000.0));
    }
}
