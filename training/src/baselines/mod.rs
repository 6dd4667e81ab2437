//! What a model must beat: rules of thumb, each with its numbers fitted on the training part.

mod signals;

pub use signals::{SignalTracker, Signals};

use crate::series::Series;

/// A rule of thumb that predicts the peak backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Baseline {
    /// The same for ever: what a hand-set buffer is.
    Static,
    /// By the largest backlog of the last 64 ticks.
    LastPeak,
    /// By backlog and mean arrivals (exponentially weighted).
    Ewma,
    /// By level and trend of the backlog (Holt, 1957).
    Holt,
    /// By the size of a buffer that is doubled when full and halved when idle.
    Doubling,
    /// By mean throughput times the horizon, with a threshold (Flink's buffer debloating, FLIP-183).
    Debloating,
    /// By the largest arrivals of the last 64 ticks: the rule that the library falls back on.
    Burst,
}

/// A baseline with its numbers: `base + factor * signal + floor`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fitted {
    baseline: Baseline,
    /// Whether the backlog now is added: the rule then predicts the rise over it.
    over_backlog: bool,
    factor: f64,
    floor: f64,
}

/// Factors tried.
const FACTORS: [f64; 11] = [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 8.0];

impl Baseline {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Static, Self::LastPeak, Self::Ewma, Self::Holt, Self::Doubling, Self::Debloating, Self::Burst];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::LastPeak => "last_peak",
            Self::Ewma => "ewma",
            Self::Holt => "holt",
            Self::Doubling => "doubling",
            Self::Debloating => "debloating",
            Self::Burst => "burst",
        }
    }

    fn signal(self, signals: &Signals) -> f64 {
        match self {
            Self::Static => 0.0,
            Self::LastPeak => signals.last_peak,
            Self::Ewma => signals.ewma,
            Self::Holt => signals.holt,
            Self::Doubling => signals.doubled,
            Self::Debloating => signals.debloated,
            Self::Burst => signals.burst,
        }
    }

    /// The numbers with the least pinball loss at `tau` on `rows`, each what was seen and the peak that followed. For
    /// each factor of a grid, with and without the backlog added, the best constant is the tau-quantile of what is left.
    pub fn fit(self, rows: &[(Signals, f64)], tau: f64) -> Fitted {
        let (bases, factors): (&[bool], &[f64]) =
            if self == Self::Static { (&[false], &[0.0]) } else { (&[false, true], &FACTORS) };
        let mut best = (f64::INFINITY, Fitted { baseline: self, over_backlog: false, factor: 0.0, floor: 0.0 });
        let mut left = Vec::with_capacity(rows.len());
        for (&over_backlog, &factor) in bases.iter().flat_map(|base| factors.iter().map(move |factor| (base, factor))) {
            let mut fitted = Fitted { baseline: self, over_backlog, factor, floor: 0.0 };
            left.clear();
            left.extend(rows.iter().map(|(signals, peak)| peak - fitted.raw(signals)));
            let rank = ((left.len() as f64 * tau) as usize).min(left.len().saturating_sub(1));
            if rank < left.len() {
                fitted.floor = *left.select_nth_unstable_by(rank, f64::total_cmp).1;
            }
            let loss: f64 = rows.iter().map(|(signals, peak)| pinball(*peak, fitted.predict(signals), tau)).sum();
            if loss < best.0 {
                best = (loss, fitted);
            }
        }
        best.1
    }

    /// [`fit`](Self::fit) on whole series.
    pub fn fit_series(self, series: &[&Series], tau: f64) -> Fitted {
        let rows: Vec<(Signals, f64)> =
            series.iter().flat_map(|s| s.signals.iter().copied().zip(s.peaks.iter().copied())).collect();
        self.fit(&rows, tau)
    }
}

impl Fitted {
    fn raw(&self, signals: &Signals) -> f64 {
        f64::from(u8::from(self.over_backlog)) * signals.backlog
            + self.factor * self.baseline.signal(signals)
            + self.floor
    }

    /// Predicted peak backlog, ticks of service; never below the backlog now.
    pub fn predict(&self, signals: &Signals) -> f64 {
        self.raw(signals).max(signals.backlog)
    }
}

/// Pinball loss of predicting `predicted` for the `tau`-quantile (Koenker and Bassett, "Regression quantiles", 1978).
pub fn pinball(actual: f64, predicted: f64, tau: f64) -> f64 {
    let off = actual - predicted;
    if off >= 0.0 { tau * off } else { (tau - 1.0) * off }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinball_loss_weighs_too_little_by_tau_and_too_much_by_the_rest() {
        assert!((pinball(10.0, 8.0, 0.99) - 1.98).abs() < 1e-12);
        assert!((pinball(8.0, 10.0, 0.99) - 0.02).abs() < 1e-12);
    }

    #[test]
    fn the_best_static_is_the_quantile() {
        let rows: Vec<_> = (0..100).map(|peak| (Signals::default(), f64::from(peak))).collect();
        assert!((Baseline::Static.fit(&rows, 0.9).predict(&Signals::default()) - 90.0).abs() < 1e-9);
    }

    #[test]
    fn a_rule_finds_the_factor_that_made_the_peaks() {
        let seen = |i: u32| Signals { backlog: f64::from(i % 7), burst: f64::from(i % 11), ..Signals::default() };
        let rows: Vec<_> = (0..500).map(|i| (seen(i), seen(i).backlog + 3.0 * seen(i).burst + 1.0)).collect();
        let fitted = Baseline::Burst.fit(&rows, 0.9);
        let loss: f64 = rows.iter().map(|(signals, peak)| pinball(*peak, fitted.predict(signals), 0.9)).sum();
        assert!(loss < 1e-9, "{fitted:?}");
    }

    #[test]
    fn no_rule_predicts_less_than_is_there_already() {
        let rows = vec![(Signals::default(), 0.0); 10];
        let crowded = Signals { backlog: 9.0, ..Signals::default() };
        assert!(Baseline::ALL.iter().all(|baseline| baseline.fit(&rows, 0.9).predict(&crowded) >= 9.0));
    }
}
