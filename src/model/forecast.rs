//! The forecast: a dot product over features.

use crate::model::Features;
use crate::model::artifact::ModelFile;

/// A checked overflow model: predicts a quantile of the largest backlog within its horizon, as the backlog
/// now and how far it rises.
///
/// Linear in log1p features (ridge regression; Hoerl and Kennard, 1970), raised by a split-conformal offset to the
/// quantile (Lei et al., "Distribution-free predictive inference for regression", 2018).
#[derive(Debug, Clone)]
pub struct OverflowModel {
    file: ModelFile,
    low: Features,
    high: Features,
    /// Weights of unscaled features.
    weights: Features,
    intercept: f64,
}

/// A prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Quantile of the largest backlog within the horizon, in multiples of the service per tick.
    pub peak_backlog: f64,
    /// Features outside the range seen in training; they were clipped.
    pub clipped: usize,
    /// The three features that moved the prediction most from its mean: index, and by how much on the log1p scale.
    pub top: [(usize, f64); 3],
}

/// Predictions beyond e^25 ticks of service mean nothing more.
const LOG_MAX: f64 = 25.0;

impl OverflowModel {
    pub(crate) fn of_checked(file: ModelFile) -> Self {
        let at = |f: fn(&ModelFile, usize) -> f64| -> Features { std::array::from_fn(|i| f(&file, i)) };
        let low = at(|file, i| file.features[i].low);
        let high = at(|file, i| file.features[i].high);
        let weights = at(|file, i| file.features[i].weight / file.features[i].scale);
        let shift: f64 = file.features.iter().map(|f| f.weight * f.mean / f.scale).sum();
        Self { low, high, weights, intercept: file.intercept + file.conformal_offset - shift, file }
    }

    /// Predicts from one row of features.
    pub fn forecast(&self, features: &Features) -> Forecast {
        let mut log = self.intercept;
        let mut clipped = 0;
        let mut top = [(0, 0.0f64); 3];
        for (i, &feature) in features.iter().enumerate() {
            let value = feature.clamp(self.low[i], self.high[i]);
            clipped += usize::from(value != feature);
            log += self.weights[i] * value;
            let moved = self.weights[i] * (value - self.file.features[i].mean);
            if let Some(place) = top.iter().position(|(_, other)| moved.abs() > other.abs()) {
                top[place..].rotate_right(1);
                top[place] = (i, moved);
            }
        }
        // The first feature is the backlog now. It is known: only the rise over it is the regression's to predict.
        let peak_backlog = features[0].exp_m1() + log.clamp(0.0, LOG_MAX).exp_m1();
        Forecast { peak_backlog, clipped, top }
    }

    /// Ticks ahead that a forecast covers.
    pub fn horizon_ticks(&self) -> u32 {
        self.file.horizon_ticks
    }

    /// What the model file says.
    pub fn file(&self) -> &ModelFile {
        &self.file
    }
}
