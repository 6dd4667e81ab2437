//! What each way to wait would have cost, learned from how long both sides wait.

use crate::WaitStrategy;
use crate::control::plan::{WAIT_ARMS, Weights};
use crate::telemetry::Sample;

/// A wake-up through the kernel, from the write to the sleeper's first instruction, microseconds.
const WAKE_US: f64 = 50.0;
/// CPU time of going to sleep and of being woken, both sides, microseconds.
const SLEEP_CPU_US: f64 = 8.0;
/// Share of the newest tick in a mean.
const GAIN: f64 = 1.0 / 8.0;

/// Means over the last ticks.
#[derive(Debug, Default)]
pub(crate) struct WaitCosts {
    /// Length of a wait of the receiver for messages, microseconds.
    pub(crate) gap_us: f64,
    /// Such waits a second.
    pub(crate) gaps_s: f64,
    /// Of each of [`WAIT_ARMS`], microseconds a second.
    pub(crate) arms_us_s: [f64; WAIT_ARMS.len()],
    /// Of the strategy in force.
    pub(crate) now_us_s: f64,
    in_force: WaitStrategy,
}

/// Waits of one side in a tick.
#[derive(Debug, Clone, Copy)]
struct Waits {
    mean_us: f64,
    a_second: f64,
}

impl Waits {
    fn of(count: u64, total_ns: u64, sample: &Sample) -> Self {
        // A wait that goes on counts as one that has lasted as long as it has.
        let count = count.max(u64::from(total_ns > 0)) as f64;
        let seconds = sample.tick_ns.max(1) as f64 / 1e9;
        Self { mean_us: total_ns as f64 / 1e3 / count.max(1.0), a_second: count / seconds }
    }

    fn cost_us_s(self, wait: WaitStrategy, cpu: f64, spin: f64) -> f64 {
        a_wait(wait, self.mean_us, cpu, spin) * self.a_second
    }
}

impl WaitCosts {
    /// Takes a tick in, or several in one sample. `cpus` are those that the `endpoints` share.
    pub(crate) fn observe(&mut self, sample: &Sample, weights: Weights, endpoints: usize, cpus: usize, ticks: u64) {
        let receiver = Waits::of(sample.idles, sample.idle_ns, sample);
        let senders = Waits::of(sample.stalls, sample.blocked_ns, sample);
        let gain = 1.0 - (1.0 - GAIN).powi(ticks.min(64) as i32);
        // Who spins yields: of more endpoints than CPUs each has its share of these.
        let spin = weights.cpu_us * (cpus as f64 / endpoints.max(1) as f64).min(1.0);
        let cost = |wait| [receiver, senders].map(|waits| waits.cost_us_s(wait, weights.cpu_us, spin)).iter().sum();
        if self.in_force != sample.strategy {
            // Else what another has cost would be held against it.
            self.in_force = sample.strategy;
            let known = WAIT_ARMS.iter().position(|arm| *arm == sample.strategy);
            self.now_us_s = known.map_or_else(|| cost(sample.strategy), |arm| self.arms_us_s[arm]);
        }
        let approach = |mean: &mut f64, newest: f64| *mean += (newest - *mean) * gain;
        self.arms_us_s.iter_mut().zip(WAIT_ARMS).for_each(|(mean, arm)| approach(mean, cost(arm)));
        approach(&mut self.now_us_s, cost(sample.strategy));
        approach(&mut self.gaps_s, receiver.a_second);
        if receiver.a_second > 0.0 {
            approach(&mut self.gap_us, receiver.mean_us);
        }
    }
}

/// Latency of the wake that a wait may need, and CPU time of its spins and its sleep, for exponential waits of `gap_us` in the
/// mean (Karlin et al., "Competitive randomized algorithms for nonuniform problems", 1990). `cpu` is what a microsecond of CPU
/// is worth, `spin` one that is spun.
fn a_wait(wait: WaitStrategy, gap_us: f64, cpu: f64, spin: f64) -> f64 {
    let gap_us = gap_us.max(0.01);
    let (spun_us, sleeps) = match wait {
        WaitStrategy::Park => (0.0, 1.0),
        WaitStrategy::SpinPark { budget_ns } => {
            let sleeps = (-f64::from(budget_ns) / 1000.0 / gap_us).exp();
            (gap_us * (1.0 - sleeps), sleeps)
        }
        WaitStrategy::Spin | WaitStrategy::SpinYield => (gap_us, 0.0),
    };
    sleeps * (WAKE_US + SLEEP_CPU_US * cpu) + spun_us * spin
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TICK_NS;
    use crate::{Channel, telemetry::Sampler};

    fn learned(idles: u64, idle_us: u64, ticks: usize) -> WaitCosts {
        let channel = Channel::options().create_anonymous().unwrap();
        let still = Sampler::new(&channel).sample();
        let sample = Sample { tick_ns: TICK_NS, idles, idle_ns: idle_us * 1000, ..still };
        let mut costs = WaitCosts::default();
        (0..ticks).for_each(|_| costs.observe(&sample, Weights::BALANCED, 2, 2, 1));
        costs
    }

    fn cheapest(costs: &WaitCosts) -> WaitStrategy {
        let arms = WAIT_ARMS.into_iter().zip(costs.arms_us_s);
        arms.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0
    }

    #[test]
    fn long_waits_are_slept_through_and_short_ones_spun_through() {
        assert_eq!(cheapest(&learned(1, 990, 10)), WaitStrategy::Park);
        assert_eq!(cheapest(&learned(60, 600, 10)), WaitStrategy::SpinPark { budget_ns: 200_000 });
        let costs = learned(60, 600, 100);
        assert!((costs.gap_us - 10.0).abs() < 0.1 && (costs.gaps_s - 60_000.0).abs() < 600.0, "{costs:?}");
        assert!(costs.now_us_s > 0.0 && costs.now_us_s < 1e6);
    }

    #[test]
    fn a_sender_that_waits_for_room_is_a_reason_to_spin_too() {
        let channel = Channel::options().create_anonymous().unwrap();
        let still = Sampler::new(&channel).sample();
        let sample = Sample { tick_ns: TICK_NS, stalls: 300, blocked_ns: 900_000, ..still };
        let mut costs = WaitCosts::default();
        costs.observe(&sample, Weights::BALANCED, 2, 2, 1);
        assert_ne!(cheapest(&costs), WaitStrategy::Park);
    }

    #[test]
    fn many_ticks_in_one_sample_weigh_as_many() {
        let (one_by_one, mut at_once) = (learned(1, 990, 8), WaitCosts::default());
        let channel = Channel::options().create_anonymous().unwrap();
        let still = Sampler::new(&channel).sample();
        let sample = Sample { tick_ns: 8 * TICK_NS, idles: 8, idle_ns: 8 * 990_000, ..still };
        at_once.observe(&sample, Weights::BALANCED, 2, 2, 8);
        assert!((at_once.arms_us_s[0] / one_by_one.arms_us_s[0] - 1.0).abs() < 1e-9);
    }
}
