//! What each way to wait would have cost, learned from how long both sides wait.

use crate::WaitStrategy;
use crate::control::plan::{WAIT_ARMS, Weights};
use crate::model::TICK_NS;
use crate::telemetry::{Sample, WaitTimes};

/// A wake-up through the kernel, from the write to the sleeper's first instruction, microseconds.
const WAKE_US: f64 = 50.0;
/// Part of it, at least, that a sleeper's wait has on top.
const WAKE_LEAST_US: f64 = 25.0;
/// By how much later than the spinning's end something comes, at least, that was slept for, microseconds.
const LATER_US: f64 = 0.1;
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

impl WaitCosts {
    /// Takes a sample in, of however many ticks, with the waits that ended in it. `cpus` are those that the `endpoints` share.
    pub(crate) fn observe(
        &mut self,
        (sample, times): (&Sample, &WaitTimes),
        weights: Weights,
        (endpoints, cpus): (usize, usize),
    ) {
        let seconds = sample.tick_ns.max(1) as f64 / 1e9;
        let prices = Prices {
            // Who spins yields: of more endpoints than CPUs each has its share of these.
            spin: weights.cpu_us * (cpus as f64 / endpoints.max(1) as f64).min(1.0),
            sleep: WAKE_US + SLEEP_CPU_US * weights.cpu_us,
        };
        let in_force = sample.strategy;
        let cost = |wait| prices.all(wait, sample, times) / seconds;
        // A look that came early weighs less, too.
        let ticks = (sample.tick_ns as f64 / TICK_NS as f64).min(64.0);
        let gain = 1.0 - (1.0 - GAIN).powf(ticks);
        if self.in_force != in_force {
            // Else what another has cost would be held against it.
            self.in_force = in_force;
            let known = WAIT_ARMS.iter().position(|arm| *arm == in_force);
            self.now_us_s = known.map_or_else(|| cost(in_force), |arm| self.arms_us_s[arm]);
        }
        let approach = |mean: &mut f64, newest: f64| *mean += (newest - *mean) * gain;
        self.arms_us_s.iter_mut().zip(WAIT_ARMS).for_each(|(mean, arm)| approach(mean, cost(arm)));
        approach(&mut self.now_us_s, cost(in_force));
        let gaps = times.receivers.iter().sum::<u64>();
        approach(&mut self.gaps_s, gaps as f64 / seconds);
        if gaps > 0 {
            let total_us: f64 = durations(&times.receivers, in_force).map(|(us, count)| us * count).sum();
            approach(&mut self.gap_us, total_us / gaps as f64);
        }
    }
}

/// What a microsecond that is spun costs, and a sleep.
#[derive(Debug, Clone, Copy)]
struct Prices {
    spin: f64,
    sleep: f64,
}

impl Prices {
    /// What all waits of a tick would have cost, had they been waited for like that.
    fn all(self, wait: WaitStrategy, sample: &Sample, times: &WaitTimes) -> f64 {
        match wait {
            WaitStrategy::Spin | WaitStrategy::SpinYield => {
                (sample.idle_ns + sample.blocked_ns) as f64 / 1e3 * self.spin
            }
            WaitStrategy::Park => self.waits(0.0, sample.strategy, times),
            WaitStrategy::SpinPark { budget_ns } => self.waits(f64::from(budget_ns) / 1e3, sample.strategy, times),
        }
    }

    /// Spins of up to `budget_us`, and a sleep for what takes longer: at most twice what is best for each wait, if a sleep costs
    /// as much as the budget (Karlin et al., "Competitive randomized algorithms for nonuniform problems", 1990).
    fn waits(self, budget_us: f64, in_force: WaitStrategy, times: &WaitTimes) -> f64 {
        let a_wait = |us: f64| if us <= budget_us { us * self.spin } else { budget_us * self.spin + self.sleep };
        let both = durations(&times.receivers, in_force).chain(durations(&times.senders, in_force));
        both.map(|(us, count)| a_wait(us) * count).sum()
    }
}

/// The middle of the waits that a bucket counts, microseconds.
pub(crate) fn middle_us(bucket: usize) -> f64 {
    0.75 * (1u64 << bucket) as f64 / 1e3
}

/// How long what was waited for took to come, microseconds, and how often. What was slept for came before its sleeper woke up.
fn durations(buckets: &[u64], in_force: WaitStrategy) -> impl Iterator<Item = (f64, f64)> {
    let slept_from_us = match in_force {
        WaitStrategy::Park => 0.0,
        WaitStrategy::SpinPark { budget_ns } => f64::from(budget_ns) / 1e3,
        WaitStrategy::Spin | WaitStrategy::SpinYield => f64::INFINITY,
    };
    buckets.iter().enumerate().filter(|(_, count)| **count > 0).map(move |(bucket, &count)| {
        let us = middle_us(bucket);
        // It was not there yet when the spinning was over.
        let came_us = if us > slept_from_us { (us - WAKE_LEAST_US).max(slept_from_us + LATER_US) } else { us };
        (came_us, count as f64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of ticks in which a receiver, or a sender, waits so often for so long.
    fn learned(receiver: (u64, u64), sender: (u64, u64), ticks: u64) -> WaitCosts {
        let ns = |(count, us): (u64, u64)| (count, count * us * 1000);
        let ((idles, idle_ns), (stalls, blocked_ns)) = (ns(receiver), ns(sender));
        let mut times = WaitTimes::default();
        times.add_receivers(idles, idle_ns);
        times.add_senders(stalls, blocked_ns);
        let sample = Sample { tick_ns: TICK_NS, idles, idle_ns, stalls, blocked_ns, ..Sample::default() };
        let mut costs = WaitCosts::default();
        (0..ticks).for_each(|_| costs.observe((&sample, &times), Weights::BALANCED, (2, 2)));
        costs
    }

    fn cheapest(costs: &WaitCosts) -> WaitStrategy {
        let arms = WAIT_ARMS.into_iter().zip(costs.arms_us_s);
        arms.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0
    }

    #[test]
    fn long_waits_are_slept_through_and_short_ones_spun_through() {
        assert_eq!(cheapest(&learned((1, 990), (0, 0), 10)), WaitStrategy::Park);
        assert_ne!(cheapest(&learned((20, 20), (0, 0), 10)), WaitStrategy::Park);
        let costs = learned((20, 20), (0, 0), 100);
        assert!((costs.gap_us - 24.0).abs() < 1.0 && (costs.gaps_s - 20_000.0).abs() < 1.0, "{costs:?}");
    }

    #[test]
    fn a_sender_that_waits_for_room_is_a_reason_to_spin_too() {
        assert_ne!(cheapest(&learned((0, 0), (300, 3), 1)), WaitStrategy::Park);
    }

    #[test]
    fn few_long_waits_outweigh_many_short_ones() {
        let mut times = WaitTimes::default();
        times.add_receivers(100, 100 * 1_000);
        times.add_receivers(2, 800_000);
        let sample = Sample { tick_ns: TICK_NS, idles: 102, idle_ns: 900_000, ..Sample::default() };
        let mut costs = WaitCosts::default();
        costs.observe((&sample, &times), Weights::BALANCED, (2, 2));
        assert_eq!(cheapest(&costs), WAIT_ARMS[1], "{costs:?}");
    }

    #[test]
    fn a_sleep_costs_something_however_soon_it_is_over() {
        let mut times = WaitTimes::default();
        times.add_receivers(50, 50 * 15_000);
        let strategy = WaitStrategy::Park;
        let sample = Sample { tick_ns: TICK_NS, idles: 50, idle_ns: 750_000, strategy, ..Sample::default() };
        let mut costs = WaitCosts::default();
        (0..10).for_each(|_| costs.observe((&sample, &times), Weights::BALANCED, (2, 2)));
        assert!(costs.now_us_s > 1e6, "{costs:?}");
        assert_ne!(cheapest(&costs), WaitStrategy::Park);
    }

    #[test]
    fn many_ticks_in_one_sample_weigh_as_many() {
        let (one_by_one, mut at_once) = (learned((1, 990), (0, 0), 8), WaitCosts::default());
        let mut times = WaitTimes::default();
        times.add_receivers(8, 8 * 990_000);
        let sample = Sample { tick_ns: 8 * TICK_NS, idles: 8, idle_ns: 8 * 990_000, ..Sample::default() };
        at_once.observe((&sample, &times), Weights::BALANCED, (2, 2));
        assert!((at_once.arms_us_s[0] / one_by_one.arms_us_s[0] - 1.0).abs() < 1e-9);
    }
}
