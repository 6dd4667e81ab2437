//! From samples to a forecast in bytes: the model where it holds, a rule of thumb where it does not.

use serde::{Deserialize, Serialize};

use crate::control::journal::Contribution;
use crate::model::{FEATURE_NAMES, FeatureWindow, Observation, Online, OverflowModel, ServiceRate};
use crate::telemetry::Sample;

/// Features outside the range of training from which on the model is not asked.
const CLIPPED_MAX: usize = 4;
/// The rule of thumb: this multiple of the largest arrivals of the last 64 ticks, on top of the backlog.
const HEURISTIC_FACTOR: f64 = 2.0;
/// The quantile that it is taken for.
const HEURISTIC_TAU: f64 = 0.99;

/// Where a forecast came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ForecastSource {
    /// The model.
    Model,
    /// The rule of thumb, since there is no model or its windows are not full yet.
    Heuristic,
    /// The rule of thumb, since too many features are outside what the model was trained on.
    OutOfDistribution,
    /// The rule of thumb, since the model was exceeded far more often than it promises.
    Drifted,
}

impl ForecastSource {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Model, Self::Heuristic, Self::OutOfDistribution, Self::Drifted];

    /// Its name in the journal and the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Heuristic => "heuristic",
            Self::OutOfDistribution => "out_of_distribution",
            Self::Drifted => "drifted",
        }
    }
}

/// A forecast for a channel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Largest backlog within the horizon that is exceeded with probability 1 - tau, bytes, all lanes together.
    pub peak_backlog_bytes: f64,
    /// Where it came from.
    pub source: ForecastSource,
    /// Features outside the range of training.
    pub clipped: usize,
    /// Bytes that the receiver takes out in a tick.
    pub service_bytes: f64,
}

/// Turns a channel's samples into predictions.
#[derive(Debug)]
pub(crate) struct Forecaster {
    model: Option<(OverflowModel, Online)>,
    rate: ServiceRate,
    window: FeatureWindow,
}

impl Forecaster {
    pub(crate) fn new(model: Option<OverflowModel>) -> Self {
        let model = model.map(|model| (model.clone(), Online::new(&model, 1)));
        Self { model, rate: ServiceRate::default(), window: FeatureWindow::default() }
    }

    /// Takes a sample in and predicts; `None` until a busy receiver was seen.
    pub(crate) fn observe(&mut self, sample: &Sample) -> Option<Prediction> {
        let seen = self.rate.observe(sample)?;
        let mut by_model = None;
        for left in (0..seen.ticks).rev() {
            self.window.push(seen.demand);
            let Some((model, online)) = self.model.as_mut().filter(|_| self.window.is_warm()) else { continue };
            if left > 0 {
                online.pass(seen.demand.backlog);
            } else {
                by_model = Some((online.correct(model.forecast(&self.window.features())), online.has_drifted()));
            }
        }
        let (mut source, mut clipped) = (ForecastSource::Heuristic, 0);
        if let Some((forecast, has_drifted)) = by_model {
            clipped = forecast.clipped;
            source = match clipped {
                CLIPPED_MAX.. => ForecastSource::OutOfDistribution,
                _ if has_drifted => ForecastSource::Drifted,
                _ => return Some(predict(seen, forecast.peak_backlog, ForecastSource::Model, clipped)),
            };
        }
        let peak = seen.demand.backlog + HEURISTIC_FACTOR * self.window.arrivals_max(64);
        Some(predict(seen, peak, source, clipped))
    }

    /// What moved the model's last forecast.
    pub(crate) fn contributions(&self) -> Vec<Contribution> {
        let row = self.window.features();
        let top = self.model.as_ref().map(|(model, _)| model.top_contributions(&row));
        let named = |(i, moved): (usize, f64)| Contribution { feature: FEATURE_NAMES[i].into(), value: row[i], moved };
        top.into_iter().flatten().filter(|(_, moved)| *moved != 0.0).map(named).collect()
    }

    /// What a byte too few costs for whom the forecast is the best ring, in bytes too many.
    pub(crate) fn overflow_to_memory(&self) -> f64 {
        let tau = self.tau();
        tau / (1.0 - tau)
    }

    /// The quantile that is forecast.
    pub(crate) fn tau(&self) -> f64 {
        self.model.as_ref().map_or(HEURISTIC_TAU, |(model, _)| model.file().tau)
    }

    /// Ticks ahead that are predicted.
    pub(crate) fn horizon_ticks(&self) -> u32 {
        self.model.as_ref().map_or(32, |(model, _)| model.horizon_ticks())
    }
}

fn predict(seen: Observation, peak: f64, source: ForecastSource, clipped: usize) -> Prediction {
    Prediction { peak_backlog_bytes: peak * seen.service_bytes, source, clipped, service_bytes: seen.service_bytes }
}
