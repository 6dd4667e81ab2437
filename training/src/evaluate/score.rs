//! How good predictions were: losses by stretch of time, so that a bootstrap can resample them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::judged::Judged;
use super::warnings::{Warnings, warnings};
use crate::baselines::pinball;

/// Stretches that a series is cut into.
const STRETCHES: usize = 16;

/// A measured figure and the 95 % interval of its bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// 2.5 % and 97.5 % quantiles over resamples.
    pub interval: [f64; 2],
}

/// How one predictor did.
#[derive(Debug, Clone, Serialize)]
pub struct Score {
    /// Mean pinball loss at tau, ticks of service.
    pub pinball: f64,
    /// Its 95 % interval.
    pub pinball_interval: [f64; 2],
    /// Share of rows whose peak was at most the prediction; tau is the aim.
    pub coverage: f64,
    /// Its 95 % interval.
    pub coverage_interval: [f64; 2],
    /// Mean prediction, ticks of service: what the rings would cost.
    pub mean_prediction: f64,
    /// Mean cost of choosing among rings of 1, 2, 4, ... ticks by the prediction, beyond that of the best choice in
    /// hindsight; in units of the pinball loss.
    pub regret: f64,
    /// How well overflow is foretold.
    pub warnings: Warnings,
}

/// Sums over some rows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) loss: f64,
    pub(super) covered: f64,
    pub(super) predicted: f64,
    pub(super) regret: f64,
    pub(super) rows: f64,
}

impl std::iter::Sum for Sums {
    fn sum<I: Iterator<Item = Self>>(sums: I) -> Self {
        sums.fold(Self::default(), |a, b| Self {
            loss: a.loss + b.loss,
            covered: a.covered + b.covered,
            predicted: a.predicted + b.predicted,
            regret: a.regret + b.regret,
            rows: a.rows + b.rows,
        })
    }
}

impl Sums {
    pub(super) fn mean(&self, of: fn(&Self) -> f64) -> f64 {
        of(self) / self.rows.max(1.0)
    }
}

/// Sums of one predictor over each stretch of one series.
fn stretches(judged: &Judged<'_>, predictor: &str, tau: f64) -> Vec<Sums> {
    let peaks = judged.peaks();
    let length = peaks.len().div_ceil(STRETCHES).max(1);
    let predictions = &judged.predictions[predictor];
    let of_row = |(&peak, &predicted): (&f64, &f64)| Sums {
        loss: pinball(peak, predicted, tau),
        covered: f64::from(u8::from(peak <= predicted + 1e-9)),
        predicted,
        regret: class_regret(peak, predicted, tau),
        rows: 1.0,
    };
    let chunks = peaks.chunks(length).zip(predictions.chunks(length));
    chunks.map(|(peaks, predictions)| peaks.iter().zip(predictions).map(of_row).sum()).collect()
}

/// Cost of the smallest class that holds the prediction, beyond that of the cheapest class in hindsight.
fn class_regret(peak: f64, predicted: f64, tau: f64) -> f64 {
    let class_of = |ticks: f64| ticks.max(1.0).log2().ceil().exp2();
    let (chosen, above) = (class_of(predicted), class_of(peak));
    let best = pinball(peak, above, tau).min(pinball(peak, (above / 2.0).max(1.0), tau));
    pinball(peak, chosen, tau) - best
}

/// What can be resampled: the sums of each trace at all its loads, or of each stretch where there is one trace only.
pub(super) fn resampling_units(judged: &[&Judged<'_>], predictor: &str, tau: f64) -> Vec<Sums> {
    let mut traces: BTreeMap<&str, Vec<Vec<Sums>>> = BTreeMap::new();
    for one in judged {
        traces.entry(&one.series.trace).or_default().push(stretches(one, predictor, tau));
    }
    if traces.len() > 1 {
        return traces.into_values().map(|loads| loads.into_iter().flatten().sum()).collect();
    }
    let loads: Vec<Vec<Sums>> = traces.into_values().flatten().collect();
    let longest = loads.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest).map(|i| loads.iter().filter_map(|load| load.get(i).copied()).sum()).collect()
}

/// Scores one predictor over `judged`.
pub(super) fn score(judged: &[&Judged<'_>], predictor: &str, tau: f64, lead_ticks: u32) -> Score {
    let units = resampling_units(judged, predictor, tau);
    let total: Sums = units.iter().copied().sum();
    let interval = |of: fn(&Sums) -> f64| {
        super::bootstrap::interval(units.len(), |picked| picked.iter().map(|&i| units[i]).sum::<Sums>().mean(of))
    };
    Score {
        pinball: total.mean(|s| s.loss),
        pinball_interval: interval(|s| s.loss),
        coverage: total.mean(|s| s.covered),
        coverage_interval: interval(|s| s.covered),
        mean_prediction: total.mean(|s| s.predicted),
        regret: total.mean(|s| s.regret),
        warnings: warnings(judged, predictor, lead_ticks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regret_is_zero_for_the_class_that_holds_the_peak_and_grows_away_from_it() {
        assert_eq!(class_regret(3.0, 3.0, 0.99), 0.0);
        assert_eq!(class_regret(3.0, 3.9, 0.99), 0.0);
        let (half, double) = (class_regret(3.0, 2.0, 0.99), class_regret(3.0, 8.0, 0.99));
        assert!(half > double && double > 0.0, "{half} {double}");
    }
}
