//! What each rule of thumb watches, tick by tick.

use std::collections::VecDeque;

/// Ticks that a recent peak is remembered.
const PEAK_TICKS: usize = 64;
/// Ticks of slack after which a buffer is halved.
const SLACK_TICKS: u32 = 256;
/// Share of the newest tick in an exponentially weighted mean over about 16 ticks.
const GAIN: f64 = 1.0 / 16.0;
/// Holt's gain of the trend.
const TREND_GAIN: f64 = 1.0 / 64.0;
/// Share of the newest tick in Flink's mean of the throughput: 2 / (samples + 1), of its default of 20 samples.
const DEBLOAT_GAIN: f64 = 2.0 / 21.0;
/// Flink's default: a buffer keeps its size until the wanted one is off by this share.
const DEBLOAT_THRESHOLD: f64 = 0.25;

/// What the rules of thumb see at a tick, all in ticks of service.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Signals {
    /// Backlog at the tick's end.
    pub backlog: f64,
    /// Largest backlog of the last 64 ticks.
    pub last_peak: f64,
    /// Largest arrivals of one of the last 64 ticks.
    pub burst: f64,
    /// Backlog and mean arrivals, exponentially weighted over about 16 ticks.
    pub ewma: f64,
    /// Holt's forecast of the backlog at the horizon: level and trend.
    pub holt: f64,
    /// Size of a buffer that is doubled when full and halved after 256 ticks at less than a quarter.
    pub doubled: f64,
    /// Size of a buffer debloated as by Flink: mean throughput times the horizon, with its threshold.
    pub debloated: f64,
}

/// Follows the signals through a series.
#[derive(Debug)]
pub struct SignalTracker {
    horizon: f64,
    /// Recent backlogs and arrivals, oldest first.
    recent: VecDeque<(f64, f64)>,
    mean_arrivals: f64,
    level: f64,
    trend: f64,
    doubled: f64,
    slack: u32,
    throughput: f64,
    debloated: f64,
}

impl SignalTracker {
    /// A tracker that forecasts `horizon_ticks` ahead.
    pub fn new(horizon_ticks: u32) -> Self {
        Self {
            horizon: f64::from(horizon_ticks),
            recent: VecDeque::with_capacity(PEAK_TICKS),
            mean_arrivals: 0.0,
            level: 0.0,
            trend: 0.0,
            doubled: 1.0,
            slack: 0,
            throughput: 0.0,
            debloated: 0.0,
        }
    }

    /// Takes in one more tick.
    pub fn push(&mut self, arrivals: f64, backlog: f64) -> Signals {
        if self.recent.len() == PEAK_TICKS {
            self.recent.pop_front();
        }
        self.recent.push_back((backlog, arrivals));
        self.mean_arrivals += (arrivals - self.mean_arrivals) * GAIN;
        // Holt, "Forecasting seasonals and trends by exponentially weighted moving averages", 1957.
        let before = self.level;
        self.level = GAIN * backlog + (1.0 - GAIN) * (self.level + self.trend);
        self.trend += (self.level - before - self.trend) * TREND_GAIN;
        self.double_or_halve(backlog);
        self.throughput += (arrivals - self.throughput) * DEBLOAT_GAIN;
        let wanted = self.throughput * self.horizon;
        if (wanted - self.debloated).abs() > DEBLOAT_THRESHOLD * self.debloated {
            self.debloated = wanted;
        }
        let largest = |of: fn(&(f64, f64)) -> f64| self.recent.iter().map(of).fold(0.0, f64::max);
        Signals {
            backlog,
            last_peak: largest(|tick| tick.0),
            burst: largest(|tick| tick.1),
            ewma: backlog + self.mean_arrivals,
            holt: (self.level + self.trend * self.horizon).max(0.0),
            doubled: self.doubled,
            debloated: self.debloated,
        }
    }

    fn double_or_halve(&mut self, backlog: f64) {
        if backlog >= self.doubled {
            while backlog >= self.doubled {
                self.doubled *= 2.0;
            }
            self.slack = 0;
        } else if backlog < self.doubled / 4.0 {
            self.slack += 1;
            if self.slack >= SLACK_TICKS {
                self.doubled = (self.doubled / 2.0).max(1.0);
                self.slack = 0;
            }
        } else {
            self.slack = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_doubles_at_once_and_halves_only_after_proven_slack() {
        let mut tracker = SignalTracker::new(32);
        assert_eq!(tracker.push(5.0, 5.0).doubled, 8.0);
        for _ in 1..SLACK_TICKS {
            assert_eq!(tracker.push(0.0, 0.0).doubled, 8.0);
        }
        assert_eq!(tracker.push(0.0, 0.0).doubled, 4.0);
    }

    #[test]
    fn a_debloated_buffer_follows_the_throughput_in_steps() {
        let mut tracker = SignalTracker::new(10);
        let settled = (0..1000).map(|_| tracker.push(2.0, 0.0)).last().unwrap();
        assert!((settled.debloated - 20.0).abs() <= 0.25 * 20.0, "{settled:?}");
        assert_eq!(tracker.push(2.5, 0.0).debloated, settled.debloated);
    }

    #[test]
    fn holt_carries_a_rise_on() {
        let mut tracker = SignalTracker::new(32);
        let seen = (0..2000).map(|tick| tracker.push(1.5, f64::from(tick) * 0.5)).last().unwrap();
        assert!((seen.holt - (seen.backlog + 16.0)).abs() < 10.0, "{seen:?}");
    }

    #[test]
    fn peaks_are_forgotten_after_their_window() {
        let mut tracker = SignalTracker::new(32);
        tracker.push(7.0, 6.0);
        let within = (1..PEAK_TICKS).map(|_| tracker.push(0.0, 0.0)).last().unwrap();
        assert_eq!((within.burst, within.last_peak), (7.0, 6.0));
        let after = tracker.push(0.0, 0.0);
        assert_eq!((after.burst, after.last_peak), (0.0, 0.0));
    }
}
