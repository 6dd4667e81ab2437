//! From arrivals to ticks: speed, load, features and labels.

use tidegate::model::{Demand, FeatureWindow, Features, WARM_TICKS};

use crate::baselines::{SignalTracker, Signals};
use crate::dataset::ArrivalTrace;
use crate::params::ValidParams;

/// Mean loads, as a share of the service, that each trace is replayed at.
pub const LOADS: [f64; 4] = [0.3, 0.6, 0.85, 1.1];
/// Messages a tick, mean, that traces are sped up to.
const MESSAGES_A_TICK: f64 = 8.0;
/// Ticks a trace is stretched over at least, so that short ones fill the windows too.
const TICKS_MIN: f64 = 8_192.0;

/// One trace at one load: rows and labels.
#[derive(Debug, Clone)]
pub struct Series {
    /// Trace it is made from.
    pub trace: String,
    /// Family of the trace.
    pub family: String,
    /// Mean arrivals a tick, in multiples of the service.
    pub load: f64,
    /// Features at the kept ticks, in time order.
    pub rows: Vec<Features>,
    /// Label of each row: log1p of how far the backlog rises within the horizon over what it is, in ticks of service.
    pub labels: Vec<f64>,
    /// The same within a quarter and within half of the horizon.
    pub nearer: Vec<[f64; 2]>,
    /// The peak backlog within the horizon that each label stands for, ticks of service.
    pub peaks: Vec<f64>,
    /// What the baselines look at, for each row.
    pub signals: Vec<Signals>,
    /// Ticks between two kept rows.
    pub stride: usize,
    /// Ticks ahead that labels look.
    pub horizon_ticks: u32,
    /// Arrivals of every tick from the first kept row on, ticks of service.
    pub arrivals: Vec<f64>,
}

impl Series {
    /// Its first `rows` rows.
    pub fn first_rows(&self, rows: usize) -> Self {
        let kept = (0..rows.min(self.rows.len())).collect::<Vec<_>>();
        self.kept(&kept, self.stride)
    }

    /// At most `rows_max` rows of it, evenly spaced.
    pub fn thinned(&self, rows_max: usize) -> Self {
        let step = self.rows.len().div_ceil(rows_max).max(1);
        self.kept(&(0..self.rows.len()).step_by(step).collect::<Vec<_>>(), self.stride * step)
    }

    fn kept(&self, rows: &[usize], stride: usize) -> Self {
        Self {
            trace: self.trace.clone(),
            family: self.family.clone(),
            load: self.load,
            rows: rows.iter().map(|&i| self.rows[i]).collect(),
            labels: rows.iter().map(|&i| self.labels[i]).collect(),
            nearer: rows.iter().map(|&i| self.nearer[i]).collect(),
            peaks: rows.iter().map(|&i| self.peaks[i]).collect(),
            signals: rows.iter().map(|&i| self.signals[i]).collect(),
            stride,
            horizon_ticks: self.horizon_ticks,
            arrivals: self.arrivals.clone(),
        }
    }
}

/// Every trace at every load.
pub fn all(traces: &[ArrivalTrace], params: &ValidParams) -> Vec<Series> {
    traces.iter().flat_map(|trace| LOADS.map(|load| series(trace, load, params))).collect()
}

/// One trace at one load.
pub fn series(trace: &ArrivalTrace, load: f64, params: &ValidParams) -> Series {
    let arrivals = arrivals_a_tick(&trace.events, load);
    let backlogs = lindley(&arrivals, 0.0);
    let horizon = params.horizon_ticks as usize;
    let peaks = peaks_ahead(&backlogs, horizon);
    let nearer = [4, 2].map(|part| peaks_ahead(&backlogs, (horizon / part).max(1)));
    let usable = arrivals.len().saturating_sub(WARM_TICKS + params.horizon_ticks as usize);
    let stride = usable.div_ceil(params.rows_max).max(1);
    let mut window = FeatureWindow::default();
    let mut tracker = SignalTracker::new(params.horizon_ticks);
    let mut out = Series {
        trace: trace.name.clone(),
        family: trace.family.clone(),
        load,
        rows: Vec::new(),
        labels: Vec::new(),
        nearer: Vec::new(),
        peaks: Vec::new(),
        signals: Vec::new(),
        stride,
        horizon_ticks: params.horizon_ticks,
        arrivals: arrivals.get(WARM_TICKS - 1..).unwrap_or_default().to_vec(),
    };
    for (tick, (&arrivals, &backlog)) in arrivals.iter().zip(&backlogs).enumerate() {
        window.push(Demand { arrivals, backlog });
        let signals = tracker.push(arrivals, backlog);
        let kept = window.is_warm() && (tick + 1 - WARM_TICKS).is_multiple_of(stride);
        if let (true, Some(&peak)) = (kept, peaks.get(tick)) {
            out.signals.push(signals);
            out.rows.push(window.features());
            let rise = |peak: f64| (peak - backlog).max(0.0).ln_1p();
            out.labels.push(rise(peak));
            out.nearer.push([rise(nearer[0][tick]), rise(nearer[1][tick])]);
            out.peaks.push(peak);
        }
    }
    out
}

/// Arrivals of each tick in multiples of the service, with mean `load`. The trace is sped up, or slowed down, to eight
/// messages a tick on average, or to 8,192 ticks if that is longer.
pub fn arrivals_a_tick(events: &[(u64, u32)], load: f64) -> Vec<f64> {
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return Vec::new() };
    let span = (last.0 - first.0).max(1) as f64;
    let ticks = (events.len() as f64 / MESSAGES_A_TICK).max(TICKS_MIN);
    let mut arrivals = vec![0.0; ticks as usize + 1];
    for &(t_ns, bytes) in events {
        let tick = ((t_ns - first.0) as f64 / span * ticks) as usize;
        arrivals[tick.min(ticks as usize)] += f64::from(bytes);
    }
    let mean = arrivals.iter().sum::<f64>() / arrivals.len() as f64;
    arrivals.iter_mut().for_each(|bytes| *bytes *= load / mean.max(f64::MIN_POSITIVE));
    arrivals
}

/// Index of dispersion for counts: variance over mean of the arrivals in windows of 100 mean gaps. 1 for a Poisson
/// process, more for bursts, less for what is regular (Cox and Lewis, "The Statistical Analysis of Series of Events",
/// 1966).
pub fn dispersion(trace: &ArrivalTrace) -> f64 {
    let (Some(first), Some(last)) = (trace.events.first(), trace.events.last()) else { return 0.0 };
    let windows = (trace.events.len() / 100).max(1);
    let width = ((last.0 - first.0) as f64 / windows as f64).max(1.0);
    let mut counts = vec![0.0; windows];
    for (t_ns, _) in &trace.events {
        counts[(((t_ns - first.0) as f64 / width) as usize).min(windows - 1)] += 1.0;
    }
    let mean = counts.iter().sum::<f64>() / windows as f64;
    counts.iter().map(|count| (count - mean) * (count - mean)).sum::<f64>() / windows as f64 / mean
}

/// Backlog after each tick, in ticks of service, in a buffer without end: W' = max(0, W + A - 1) (Lindley, "The theory
/// of queues with a single server", 1952).
pub fn lindley(arrivals: &[f64], seed: f64) -> Vec<f64> {
    let step = |backlog: &mut f64, &arrived: &f64| {
        *backlog = (*backlog + arrived - 1.0).max(0.0);
        Some(*backlog)
    };
    arrivals.iter().scan(seed, step).collect()
}

/// The largest of the `horizon` values after each one; shorter by `horizon`. Amortised constant time a value (monotone
/// deque).
pub fn peaks_ahead(values: &[f64], horizon: usize) -> Vec<f64> {
    let mut candidates = std::collections::VecDeque::new();
    let mut peaks = Vec::with_capacity(values.len().saturating_sub(horizon));
    for (i, &value) in values.iter().enumerate() {
        while candidates.back().is_some_and(|&j: &usize| values[j] <= value) {
            candidates.pop_back();
        }
        candidates.push_back(i);
        if i >= horizon {
            // The window (i - horizon, i] belongs to the value at i - horizon.
            while candidates.front().is_some_and(|&j| j <= i - horizon) {
                candidates.pop_front();
            }
            peaks.extend(candidates.front().map(|&j| values[j]));
        }
    }
    peaks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::TrainParams;

    #[test]
    fn peaks_ahead_are_the_largest_of_the_next_values() {
        let values = [5.0, 1.0, 3.0, 2.0, 0.0, 4.0];
        assert_eq!(peaks_ahead(&values, 2), [3.0, 3.0, 2.0, 4.0]);
        let naive: Vec<f64> = (0..4).map(|i| values[i + 1..=i + 2].iter().copied().fold(f64::MIN, f64::max)).collect();
        assert_eq!(peaks_ahead(&values, 2), naive);
    }

    #[test]
    fn a_backlog_grows_with_what_exceeds_the_service() {
        assert_eq!(lindley(&[3.0, 0.0, 0.5, 0.0], 0.5), [2.5, 1.5, 1.0, 0.0]);
    }

    #[test]
    fn the_load_is_what_was_asked_for() {
        let events: Vec<_> = (0..10_000).map(|i| (i * i, 10 + i as u32 % 7)).collect();
        let arrivals = arrivals_a_tick(&events, 0.6);
        let mean = arrivals.iter().sum::<f64>() / arrivals.len() as f64;
        assert!((mean - 0.6).abs() < 1e-9);
    }

    #[test]
    fn rows_are_what_the_live_forecast_would_see() {
        let events: Vec<_> = (0..20_000u64).map(|i| (i * 1000 + i % 13, 100)).collect();
        let trace =
            ArrivalTrace { name: "x".into(), family: "x".into(), sha256: String::new(), events, is_cut_short: false };
        let params = TrainParams::default().check().unwrap();
        let made = series(&trace, 0.85, &params);
        let arrivals = arrivals_a_tick(&trace.events, 0.85);
        let backlogs = lindley(&arrivals, 0.0);
        let mut window = FeatureWindow::default();
        let mut row = 0;
        for (tick, (&arrivals, &backlog)) in arrivals.iter().zip(&backlogs).enumerate() {
            window.push(Demand { arrivals, backlog });
            if tick + 1 >= WARM_TICKS && (tick + 1 - WARM_TICKS).is_multiple_of(made.stride) && row < made.rows.len() {
                assert_eq!(made.rows[row].map(f64::to_bits), window.features().map(f64::to_bits));
                row += 1;
            }
        }
        assert!(row > 1000);
    }
}
