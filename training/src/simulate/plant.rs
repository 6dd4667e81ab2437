//! A simulation that a controller controls as if it were a channel.

use tidegate::WaitStrategy;
use tidegate::channel::{Resize, ResizeError};
use tidegate::control::Plant;
use tidegate::model::TICK_NS;
use tidegate::telemetry::{Sample, WaitTimes};

use super::{Counts, Simulation};

#[derive(Debug)]
pub(crate) struct SimulatedPlant<'a> {
    pub(crate) simulation: Simulation<'a>,
    bounds: (u64, u64),
    strategy: WaitStrategy,
    at_ns: u64,
    before: Counts,
    /// Idle time at the last tick's end, the idleness that went on then included.
    idle_before_ns: u64,
    epochs: u64,
    epochs_before: u64,
    wait_times: WaitTimes,
    /// Whether anything is left to happen.
    pub(crate) goes_on: bool,
}

impl<'a> SimulatedPlant<'a> {
    pub(crate) fn new(simulation: Simulation<'a>, bounds: (u64, u64), strategy: WaitStrategy) -> Self {
        let before = Counts::default();
        Self {
            simulation,
            bounds,
            strategy,
            at_ns: 0,
            before,
            idle_before_ns: 0,
            epochs: 1,
            epochs_before: 1,
            wait_times: WaitTimes::default(),
            goes_on: true,
        }
    }
}

impl Plant for SimulatedPlant<'_> {
    fn ring_bytes_bounds(&self) -> (u64, u64) {
        self.bounds
    }

    fn ring_bytes(&self) -> u64 {
        self.simulation.ring_bytes
    }

    fn held_bytes(&self) -> u64 {
        self.simulation.ring_bytes
    }

    fn wait_strategy(&self) -> WaitStrategy {
        self.strategy
    }

    fn sample(&mut self) -> Sample {
        self.at_ns += TICK_NS;
        self.goes_on = self.simulation.run(self.at_ns);
        let (now, before) = (self.simulation.counts, self.before);
        self.before = now;
        let idle_ns = now.idle_ns + self.at_ns.saturating_sub(self.simulation.server_free_ns);
        let idle_before_ns = std::mem::replace(&mut self.idle_before_ns, idle_ns);
        let epochs_before = std::mem::replace(&mut self.epochs_before, self.epochs);
        let backlog = self.simulation.used_bytes;
        self.wait_times = WaitTimes::default();
        self.wait_times.add_receivers(now.idles - before.idles, now.idle_ns - before.idle_ns);
        self.wait_times.add_senders(now.stalls - before.stalls, now.blocked_ns - before.blocked_ns);
        Sample {
            at_ns: self.at_ns,
            tick_ns: TICK_NS,
            arrived_messages: now.arrived_messages - before.arrived_messages,
            arrived_bytes: now.arrived_bytes - before.arrived_bytes,
            departed_messages: now.departed_messages - before.departed_messages,
            departed_bytes: now.departed_bytes - before.departed_bytes,
            backlog_bytes: backlog,
            backlog_bytes_max: backlog,
            ring_bytes: self.simulation.ring_bytes,
            senders: 1,
            epochs: self.epochs - epochs_before,
            stalls: now.stalls - before.stalls,
            blocked_ns: now.blocked_ns - before.blocked_ns,
            idles: now.idles - before.idles,
            idle_ns: idle_ns.saturating_sub(idle_before_ns).min(TICK_NS),
            backlog_bytes_least: backlog,
            backlog_bytes_most: backlog,
            strategy: self.strategy,
            ..Sample::default()
        }
    }

    fn wait_times(&self) -> WaitTimes {
        self.wait_times
    }

    fn epochs(&self) -> u64 {
        self.epochs
    }

    fn resize(&mut self, ring_bytes: u64) -> Result<Resize, ResizeError> {
        self.simulation.ring_bytes = ring_bytes;
        self.epochs += 1;
        Ok(Resize { offered: 1, unchanged: 0, busy: 0 })
    }

    fn set_wait_strategy(&mut self, strategy: WaitStrategy) {
        self.strategy = strategy;
    }

    fn reclaim(&mut self) -> Result<(), ResizeError> {
        Ok(())
    }
}
