//! Features of recent demand. Training and the live forecast use this one implementation.

use crate::model::past::{Past, largest};

/// Demand of one tick, in multiples of the service per tick.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Demand {
    /// Bytes offered in the tick.
    pub arrivals: f64,
    /// Bytes waiting at its end.
    pub backlog: f64,
}

/// Number of features.
pub const FEATURES: usize = 20;
/// One row of features: ratios to the service per tick, and shares. Models take them as they are, or their log1p.
pub type Features = [f64; FEATURES];

/// What each feature is. Windows are in ticks: `max_N` is the largest of the last N, `mean_N` and `deviation_N` weigh a
/// tick by 1 - 1/N a tick of age, and a `peak_N` shrinks by 1/N a tick until a larger one comes. `surge_8` is what
/// arrived in 8 ticks, `rise_32` how far the backlog rose at most within the last 32.
pub const FEATURE_NAMES: [&str; FEATURES] = [
    "backlog",
    "backlog_max_64",
    "arrivals",
    "arrivals_mean_4",
    "arrivals_mean_16",
    "arrivals_mean_64",
    "arrivals_mean_256",
    "arrivals_max_16",
    "arrivals_max_64",
    "arrivals_max_256",
    "arrivals_deviation_16",
    "arrivals_deviation_64",
    "overload_share_64",
    "rise_4_over_64",
    "arrivals_mean_1024",
    "surge_8_peak_512",
    "rise_32",
    "rise_32_mean_256",
    "rise_32_peak_256",
    "rise_32_peak_2048",
];

/// Where the features are that a forecast looks at beside its weights.
pub(super) const BACKLOG: usize = 0;
pub(super) const ARRIVALS_MAX_256: usize = 9;

/// Ticks after which the longest window is full.
pub const WARM_TICKS: usize = 256;
/// Demand beyond this many ticks of service is cut: it overflows any ring, and its square must stay finite.
const DEMAND_MAX: f64 = 1e9;
const MEANS: [f64; 5] = [4.0, 16.0, 64.0, 256.0, 1024.0];
const DEVIATIONS: [f64; 2] = [16.0, 64.0];
/// Ticks of a surge.
const SURGE_TICKS: usize = 8;
const SURGE_PEAK_TICKS: f64 = 512.0;
/// Ticks of a rise.
const RISE_TICKS: usize = 32;
const RISE_PEAKS: [f64; 2] = [256.0, 2048.0];
const RISE_MEAN_TICKS: f64 = 256.0;

/// The recent past of one channel. Pushing and reading allocate nothing.
#[derive(Debug, Clone)]
pub struct FeatureWindow {
    arrivals: Past<WARM_TICKS>,
    backlogs: Past<64>,
    ticks: usize,
    last: Demand,
    means: [f64; MEANS.len()],
    squares: [f64; DEVIATIONS.len()],
    centres: [f64; DEVIATIONS.len()],
    overload: f64,
    surge: f64,
    surge_peak: f64,
    rise: f64,
    rise_mean: f64,
    rise_peaks: [f64; RISE_PEAKS.len()],
}

impl Default for FeatureWindow {
    fn default() -> Self {
        Self {
            arrivals: Past::default(),
            backlogs: Past::default(),
            ticks: 0,
            last: Demand::default(),
            means: [0.0; MEANS.len()],
            squares: [0.0; DEVIATIONS.len()],
            centres: [0.0; DEVIATIONS.len()],
            overload: 0.0,
            surge: 0.0,
            surge_peak: 0.0,
            rise: 0.0,
            rise_mean: 0.0,
            rise_peaks: [0.0; RISE_PEAKS.len()],
        }
    }
}

impl FeatureWindow {
    /// Takes in the demand of one more tick. What is not a finite, non-negative number counts as the nearest one.
    pub fn push(&mut self, demand: Demand) {
        let arrivals = sound(demand.arrivals);
        self.last = Demand { arrivals, backlog: sound(demand.backlog) };
        self.arrivals.push(arrivals);
        self.backlogs.push(self.last.backlog);
        self.ticks += 1;
        for (mean, ticks) in self.means.iter_mut().zip(MEANS) {
            *mean += (arrivals - *mean) / ticks;
        }
        for (i, ticks) in DEVIATIONS.into_iter().enumerate() {
            // Incremental weighted variance (West, "Updating mean and variance estimates", 1979).
            let off = arrivals - self.centres[i];
            self.centres[i] += off / ticks;
            self.squares[i] = (1.0 - 1.0 / ticks) * (self.squares[i] + off * off / ticks);
        }
        self.overload += (f64::from(arrivals > 1.0) - self.overload) / 64.0;
        // Summed anew each time: a running difference would keep the rounding of every number that passed through.
        self.surge = self.arrivals.last(SURGE_TICKS).iter().rev().sum();
        self.surge_peak = (self.surge_peak * (1.0 - 1.0 / SURGE_PEAK_TICKS)).max(self.surge);
        let peak = largest(self.backlogs.last(RISE_TICKS));
        let is_known = self.ticks > RISE_TICKS;
        self.rise = if is_known { (peak - self.backlogs.before(RISE_TICKS)).max(0.0) } else { 0.0 };
        self.rise_mean += (self.rise - self.rise_mean) / RISE_MEAN_TICKS;
        for (peak, ticks) in self.rise_peaks.iter_mut().zip(RISE_PEAKS) {
            *peak = (*peak * (1.0 - 1.0 / ticks)).max(self.rise);
        }
    }

    /// Whether the longest window is full.
    pub fn is_warm(&self) -> bool {
        self.ticks >= WARM_TICKS
    }

    /// The largest arrivals of the last `ticks` ticks, at most [`WARM_TICKS`].
    pub fn arrivals_max(&self, ticks: usize) -> f64 {
        largest(self.arrivals.last(ticks))
    }

    /// The row as of the last tick.
    pub fn features(&self) -> Features {
        [
            self.last.backlog,
            largest(self.backlogs.last(64)),
            self.last.arrivals,
            self.means[0],
            self.means[1],
            self.means[2],
            self.means[3],
            self.arrivals_max(16),
            self.arrivals_max(64),
            self.arrivals_max(256),
            self.squares[0].sqrt(),
            self.squares[1].sqrt(),
            self.overload,
            (self.means[0] - self.means[2]).max(0.0),
            self.means[4],
            self.surge_peak,
            self.rise,
            self.rise_mean,
            self.rise_peaks[0],
            self.rise_peaks[1],
        ]
    }
}

fn sound(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(0.0, DEMAND_MAX) }
}

/// Changes with every change of the features' number, order or names (FNV-1a; Fowler, Noll, Vo).
pub fn feature_schema() -> u64 {
    let bytes = FEATURE_NAMES.iter().flat_map(|name| name.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(name: &str) -> usize {
        FEATURE_NAMES.iter().position(|n| *n == name).unwrap()
    }

    #[test]
    fn steady_demand_has_its_own_size_as_every_mean_and_no_deviation() {
        let mut window = FeatureWindow::default();
        (0..5000).for_each(|_| window.push(Demand { arrivals: 0.5, backlog: 2.0 }));
        let row = window.features();
        for name in ["arrivals", "arrivals_mean_4", "arrivals_mean_256", "arrivals_max_256"] {
            assert!((row[at(name)] - 0.5).abs() < 1e-6, "{name}");
        }
        assert!((row[at("backlog")] - 2.0).abs() < 1e-12);
        assert!(row[at("arrivals_deviation_64")] < 1e-6);
        assert_eq!(row[at("overload_share_64")], 0.0);
    }

    #[test]
    fn a_burst_leaves_each_window_after_its_length() {
        let mut window = FeatureWindow::default();
        window.push(Demand { arrivals: 9.0, backlog: 0.0 });
        for (ticks, left, stayed) in
            [(16, "arrivals_max_16", "arrivals_max_64"), (64, "arrivals_max_64", "arrivals_max_256")]
        {
            while window.ticks <= ticks {
                window.push(Demand::default());
            }
            let row = window.features();
            assert_eq!((row[at(left)], row[at(stayed)]), (0.0, 9.0));
        }
    }

    #[test]
    fn a_rise_is_seen_when_it_has_happened_and_remembered_as_a_peak() {
        let mut window = FeatureWindow::default();
        (0..100).for_each(|_| window.push(Demand { arrivals: 1.0, backlog: 3.0 }));
        assert_eq!(window.features()[at("rise_32")], 0.0);
        (1..=10).for_each(|i| window.push(Demand { arrivals: 2.0, backlog: 3.0 + f64::from(i) }));
        let row = window.features();
        assert_eq!((row[at("rise_32")], row[at("rise_32_peak_256")]), (10.0, 10.0));
        assert_eq!(row[at("surge_8_peak_512")], 16.0);
        (0..40).for_each(|_| window.push(Demand { arrivals: 0.0, backlog: 0.0 }));
        let row = window.features();
        assert_eq!(row[at("rise_32")], 0.0);
        assert!(row[at("rise_32_peak_256")] > 8.0 && row[at("rise_32_peak_2048")] > 9.5);
    }

    #[test]
    fn features_lie_where_a_forecast_looks_for_them() {
        assert_eq!((at("backlog"), at("arrivals_max_256")), (BACKLOG, ARRIVALS_MAX_256));
    }

    #[test]
    fn absurd_demand_leaves_the_features_finite() {
        let mut window = FeatureWindow::default();
        for arrivals in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, f64::MAX] {
            window.push(Demand { arrivals, backlog: arrivals });
            assert!(window.features().iter().all(|f| f.is_finite() && *f >= 0.0));
        }
    }
}
