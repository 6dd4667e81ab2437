//! What a ring of a given size, or a controller, would have made of recorded arrivals, without sending them: Lindley's
//! recursion ("The theory of queues with a single server", 1952) message by message, with a ring of finite size before the
//! server. Waiting strategies cost no time here.

mod outcome;
mod plant;

pub use outcome::{Latency, Outcome};

use std::collections::VecDeque;

use tidegate::WaitStrategy;
use tidegate::channel::ring_bytes_of;
use tidegate::control::{Action, ControlAgent, ControllerOptions};
use tidegate::model::TICK_NS;

use crate::workload::{Server, Workload};
use plant::SimulatedPlant;

/// A ring is never filled to its last word.
const SPARE_BYTES: u64 = 8;

/// A channel with one sender and one receiver, at one moment.
#[derive(Debug)]
pub(crate) struct Simulation<'a> {
    workload: &'a Workload,
    server: Server,
    /// The next message to send, and since when its sender waits for room.
    next: usize,
    blocked_since_ns: Option<u64>,
    /// When the sender was done with the message before.
    sender_free_ns: u64,
    /// When the receiver is done with what it has.
    server_free_ns: u64,
    /// What is in the ring: bytes of it, and when they are released.
    ring: VecDeque<(u64, u64)>,
    used_bytes: u64,
    ring_bytes: u64,
    counts: Counts,
    latencies_ns: Vec<u64>,
    peak_bytes: u64,
}

/// What has happened so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) arrived_messages: u64,
    pub(crate) arrived_bytes: u64,
    pub(crate) departed_messages: u64,
    pub(crate) departed_bytes: u64,
    pub(crate) stalls: u64,
    pub(crate) blocked_ns: u64,
    pub(crate) idles: u64,
    /// Up to the last message that the receiver has begun.
    pub(crate) idle_ns: u64,
}

impl<'a> Simulation<'a> {
    pub(crate) fn new(workload: &'a Workload, ring_bytes: u64) -> Self {
        Self {
            server: Server::new(workload.service.clone()),
            workload,
            next: 0,
            blocked_since_ns: None,
            sender_free_ns: 0,
            server_free_ns: 0,
            ring: VecDeque::new(),
            used_bytes: 0,
            ring_bytes,
            counts: Counts::default(),
            latencies_ns: Vec::with_capacity(workload.dues.len()),
            peak_bytes: 0,
        }
    }

    /// Everything that happens until `until_ns`. Whether anything is left to happen.
    pub(crate) fn run(&mut self, until_ns: u64) -> bool {
        while let Some(due) = self.workload.dues.get(self.next) {
            let ready_ns = due.after_ns.max(self.sender_free_ns);
            if ready_ns > until_ns {
                break;
            }
            let bytes = ring_bytes_of(due.bytes);
            self.release_until(ready_ns);
            if !self.has_room(bytes) {
                let since_ns = *self.blocked_since_ns.get_or_insert_with(|| {
                    self.counts.stalls += 1;
                    ready_ns
                });
                let Some(&(_, released_ns)) = self.ring.front() else { break };
                let resumed_ns = released_ns.min(until_ns);
                self.counts.blocked_ns += resumed_ns.saturating_sub(ready_ns.max(since_ns));
                self.sender_free_ns = ready_ns.max(resumed_ns);
                if released_ns > until_ns {
                    break;
                }
                continue;
            }
            self.blocked_since_ns = None;
            let began_ns = ready_ns.max(self.server_free_ns);
            if ready_ns > self.server_free_ns {
                self.counts.idles += 1;
                self.counts.idle_ns += ready_ns - self.server_free_ns;
            }
            self.server_free_ns = self.server.done_ns(began_ns, due.bytes);
            self.ring.push_back((bytes, self.server_free_ns));
            self.used_bytes += bytes;
            self.peak_bytes = self.peak_bytes.max(self.used_bytes);
            self.sender_free_ns = ready_ns;
            self.counts.arrived_messages += 1;
            self.counts.arrived_bytes += bytes;
            self.latencies_ns.push(began_ns - due.after_ns);
            self.next += 1;
        }
        self.release_until(until_ns);
        self.next < self.workload.dues.len() || !self.ring.is_empty()
    }

    /// Whether a message of `bytes` fits. A ring shrinks for what comes, not for what is in it.
    fn has_room(&self, bytes: u64) -> bool {
        self.ring.is_empty() || self.used_bytes + bytes + SPARE_BYTES <= self.ring_bytes
    }

    fn release_until(&mut self, at_ns: u64) {
        while let Some((bytes, _)) = self.ring.pop_front_if(|(_, released_ns)| *released_ns <= at_ns) {
            self.used_bytes -= bytes;
            self.counts.departed_messages += 1;
            self.counts.departed_bytes += bytes;
        }
    }
}

/// What a ring of `ring_bytes` would have made of it.
pub fn fixed(workload: &Workload, ring_bytes: u64) -> Outcome {
    let mut simulation = Simulation::new(workload, ring_bytes);
    simulation.run(u64::MAX);
    Outcome::of(simulation, ring_bytes, [0, 0])
}

/// What a controller would have made of it, that begins with a ring of `ring_bytes` and chooses within `bounds`, bytes.
/// The journal knows the channel as `name`.
pub fn controlled(
    workload: &Workload,
    (ring_bytes, bounds): (u64, (u64, u64)),
    name: &str,
    options: ControllerOptions,
) -> Outcome {
    let plant = SimulatedPlant::new(Simulation::new(workload, ring_bytes), bounds, WaitStrategy::DEFAULT);
    let mut agent = ControlAgent::of(plant, name, options);
    let (mut ticks, mut ring_byte_ticks) = (0u64, 0.0);
    loop {
        agent.step();
        ticks += 1;
        ring_byte_ticks += agent.plant().simulation.ring_bytes as f64;
        if !agent.plant().goes_on && ticks * TICK_NS > agent.plant().simulation.server_free_ns {
            break;
        }
    }
    let state = agent.state();
    let count = |action| state.journal.lock().count(action);
    let changes = [count(Action::Grow) + count(Action::Shrink), count(Action::SwitchWait)];
    let mean_ring_bytes = (ring_byte_ticks / ticks as f64) as u64;
    Outcome::of(agent.into_plant().simulation, mean_ring_bytes, changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::lindley;
    use crate::workload::{Due, Service};

    /// `count` messages of 24 bytes, 32 of the ring, with gaps that vary, and a receiver that takes 100 ns for each.
    fn workload(count: u64) -> Workload {
        let mut at_ns = 0;
        let dues = (0..count).map(|i| {
            at_ns += if (i / 50).is_multiple_of(2) { 60 } else { 150 };
            Due { after_ns: at_ns, bytes: 24 }
        });
        Workload { dues: dues.collect(), service: Service::PerMessage(100.0), speed: 1.0, size_scale: 1.0, load: 0.95 }
    }

    #[test]
    fn without_limits_waits_are_those_of_the_recursion() {
        let workload = workload(1000);
        let outcome = fixed(&workload, 1 << 30);
        let mut wait = 0.0f64;
        let gaps = workload.dues.windows(2).map(|pair| (pair[1].after_ns - pair[0].after_ns) as f64);
        let mut waits: Vec<u64> = std::iter::once(0)
            .chain(gaps.map(|gap| {
                wait = (wait + 100.0 - gap).max(0.0);
                wait as u64
            }))
            .collect();
        waits.sort_unstable();
        assert_eq!(outcome.latency_ns.p99, waits[989]);
        assert_eq!((outcome.messages, outcome.stalls, outcome.blocked_ns), (1000, 0, 0));
        // In ticks of one service the peak is that of the backlog.
        let most = waits[999] as f64 / 100.0;
        assert!((outcome.peak_backlog_bytes as f64 / 32.0 - most).abs() <= 1.5, "{outcome:?}");
        assert_eq!(lindley(&[3.0, 0.0], 0.0), [2.0, 1.0]);
    }

    #[test]
    fn a_small_ring_holds_its_sender_back_and_loses_nothing() {
        let workload = workload(1000);
        let outcome = fixed(&workload, 32 * 4 + 8);
        assert_eq!((outcome.messages, outcome.peak_backlog_bytes), (1000, 128));
        assert!(outcome.stalls > 100 && outcome.blocked_ns > 0);
        assert!(outcome.latency_ns.p99 >= fixed(&workload, 1 << 20).latency_ns.p99, "the sender's wait counts");
    }

    #[test]
    fn a_run_in_pieces_is_the_run_in_one() {
        let workload = workload(2000);
        let mut pieces = Simulation::new(&workload, 32 * 5);
        let mut until_ns = 0;
        while pieces.run(until_ns) {
            until_ns += 37;
        }
        let mut one = Simulation::new(&workload, 32 * 5);
        one.run(u64::MAX);
        assert_eq!(pieces.latencies_ns, one.latencies_ns);
        assert_eq!((pieces.counts.blocked_ns, pieces.counts.stalls), (one.counts.blocked_ns, one.counts.stalls));
        assert_eq!(pieces.peak_bytes, one.peak_bytes);
    }

    #[test]
    fn a_controller_grows_the_ring_that_is_too_small() {
        let dues = (0..200_000u64).map(|i| {
            let burst = i / 2000 * 20_000_000;
            Due { after_ns: burst + i % 2000 * 1000, bytes: 120 }
        });
        let service = Service::PerMessage(4000.0);
        let workload = Workload { dues: dues.collect(), service, speed: 1.0, size_scale: 1.0, load: 0.4 };
        let small = fixed(&workload, 1 << 14);
        let outcome = controlled(&workload, (1 << 14, (1 << 12, 1 << 24)), "simulated", ControllerOptions::default());
        assert_eq!(outcome.messages, 200_000);
        assert!(outcome.resizes > 0 && outcome.stalls * 4 < small.stalls, "{outcome:?}, static {small:?}");
        assert!((1 << 14..1 << 24).contains(&outcome.mean_ring_bytes), "{outcome:?}");
    }
}
