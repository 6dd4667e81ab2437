//! Predictions beside what came.

use std::collections::BTreeMap;

use tidegate::model::{Online, OverflowModel};

use crate::TrainError;
use crate::baselines::{Baseline, Fitted};
use crate::fit::{self, Method};
use crate::params::ValidParams;
use crate::series::Series;

/// The model's name among the predictors.
pub const MODEL: &str = "model";
/// The model's name where it learns on while it is judged.
pub const ADAPTED: &str = "adapted";

/// Rows of one series that no predictor was fitted to, with what each predicted for them.
#[derive(Debug, Clone)]
pub struct Judged<'a> {
    /// The series.
    pub series: &'a Series,
    /// The rows that are judged: from this one on.
    pub first_row: usize,
    /// Predicted peak of each judged row, by predictor; ticks of service.
    pub predictions: BTreeMap<&'static str, Vec<f64>>,
    /// Capacity in ticks of service of the ring whose overflow is foretold: half the horizon.
    pub capacity: f64,
    /// The model's probability that `capacity` is exceeded, of each judged row.
    pub overflow_probability: Vec<f64>,
}

impl Judged<'_> {
    /// What came, of each judged row.
    pub fn peaks(&self) -> &[f64] {
        &self.series.peaks[self.first_row..]
    }

    /// Backlog at each judged row.
    pub fn backlogs(&self) -> impl Iterator<Item = f64> + '_ {
        self.series.signals[self.first_row..].iter().map(|signals| signals.backlog)
    }
}

/// The model and every baseline, fitted to the same training part.
#[derive(Debug)]
pub struct Contenders {
    model: OverflowModel,
    baselines: Vec<(Baseline, Fitted)>,
    capacity: f64,
}

impl Contenders {
    /// Fits them to whole series.
    ///
    /// # Errors
    /// Too few rows, or the model's fit fails.
    pub fn fit(train: &[&Series], method: Method, params: &ValidParams) -> Result<Self, TrainError> {
        let model = fit::fit(train, method, params)?;
        let baselines = Baseline::ALL.map(|baseline| (baseline, baseline.fit_series(train, params.tau))).to_vec();
        Ok(Self { model, baselines, capacity: f64::from(params.horizon_ticks) / 2.0 })
    }

    /// What they predict for `series`, from `first_row` on.
    pub fn judge<'a>(&self, series: &'a Series, first_row: usize) -> Judged<'a> {
        let forecasts: Vec<_> = series.rows[first_row..].iter().map(|row| self.model.forecast(row)).collect();
        let mut online = Online::new(&self.model, series.stride);
        let adapted = series.rows[..first_row].iter().chain(&series.rows[first_row..]);
        let adapted: Vec<f64> = adapted.map(|row| online.correct(self.model.forecast(row)).peak_backlog).collect();
        let of_baseline = |fitted: &Fitted| series.signals[first_row..].iter().map(|s| fitted.predict(s)).collect();
        let mut predictions: BTreeMap<_, Vec<f64>> =
            self.baselines.iter().map(|(baseline, fitted)| (baseline.name(), of_baseline(fitted))).collect();
        predictions.insert(ADAPTED, adapted[first_row..].to_vec());
        predictions.insert(MODEL, forecasts.iter().map(|forecast| forecast.peak_backlog).collect());
        let probability = |forecast| self.model.overflow_probability(forecast, self.capacity);
        Judged {
            series,
            first_row,
            predictions,
            capacity: self.capacity,
            overflow_probability: forecasts.iter().map(probability).collect(),
        }
    }
}
