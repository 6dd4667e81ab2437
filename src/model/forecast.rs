//! The forecast: dot products over features.

use crate::model::artifact::{ModelFile, ModelPart, PartScale, Standing};
use crate::model::features::{ARRIVALS_MAX_256, BACKLOG};
use crate::model::{FEATURES, Features};

/// Parts of a model at most.
pub(super) const PARTS_MAX: usize = 4;

/// A checked overflow model: predicts a quantile of the largest backlog within its horizon, as the backlog now and how
/// far it rises.
///
/// One or more linear parts (ridge regression; Hoerl and Kennard, 1970; or quantile regression; Koenker and Bassett,
/// 1978), on the features or on their log1p, each lifted by its split-conformal offset (Lei et al., "Distribution-free
/// predictive inference for regression", 2018). Their mean on the log1p scale is the forecast.
#[derive(Debug, Clone)]
pub struct OverflowModel {
    file: ModelFile,
    parts: Vec<Part>,
    centre: Part,
}

/// A part with weights of unscaled features.
#[derive(Debug, Clone)]
struct Part {
    scale: PartScale,
    low: Features,
    high: Features,
    weights: Features,
    mean: Features,
    intercept: f64,
}

/// A prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Quantile of the largest backlog within the horizon, in multiples of the service per tick.
    pub peak_backlog: f64,
    /// The backlog now, in the same.
    pub backlog: f64,
    /// The rise from one to the other, log1p scale.
    pub log_rise: f64,
    /// The rise to be expected rather than feared, log1p scale.
    pub log_centre: f64,
    /// Features outside the range seen in training; they were clipped.
    pub clipped: usize,
}

/// Shares of training ticks at which a model file tells how far rises exceeded its centre. The overflow probability is
/// read between them.
pub const EXCEEDANCE_LEVELS: [f64; 16] =
    [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999];

/// Predictions beyond e^25 ticks of service mean nothing more.
const LOG_MAX: f64 = 25.0;

impl OverflowModel {
    pub(crate) fn of_checked(file: ModelFile) -> Self {
        let part = |part: &ModelPart| {
            let weights: Features = std::array::from_fn(|i| part.features[i].weight / part.features[i].scale);
            let mean: Features = std::array::from_fn(|i| part.features[i].mean);
            let shift: f64 = weights.iter().zip(mean).map(|(weight, mean)| weight * mean).sum();
            Part {
                scale: part.scale,
                low: std::array::from_fn(|i| part.features[i].low),
                high: std::array::from_fn(|i| part.features[i].high),
                weights,
                mean,
                intercept: part.intercept + part.conformal_offset - shift,
            }
        };
        Self { parts: file.parts.iter().map(part).collect(), centre: part(&file.centre), file }
    }

    /// Predicts from one row of features. Allocates nothing.
    ///
    /// The rise is at most what would come if every tick of the horizon were as the worst of the last 256.
    pub fn forecast(&self, features: &Features) -> Forecast {
        let logs = features.map(f64::ln_1p);
        let (mut log_rise, mut clipped) = (0.0, 0);
        for part in &self.parts {
            let (rise, clipped_here) = part.predict(if part.scale == PartScale::Log { &logs } else { features });
            log_rise += part.scale.to_log(rise) / self.parts.len() as f64;
            clipped = clipped.max(clipped_here);
        }
        let backlog = features[BACKLOG];
        let rise_max = f64::from(self.file.horizon_ticks) * features[ARRIVALS_MAX_256];
        let log_rise = log_rise.min(rise_max.ln_1p());
        let peak_backlog = backlog + log_rise.exp_m1();
        Forecast { peak_backlog, backlog, log_rise, log_centre: self.centre.predict(&logs).0, clipped }
    }

    /// The three features that move the first part's prediction for `features` most from its mean: index, and by how
    /// much on the part's scale.
    pub fn top_contributions(&self, features: &Features) -> [(usize, f64); 3] {
        let mut top = [(0, 0.0f64); 3];
        let Some(part) = self.parts.first() else { return top };
        for (i, value) in part.scale.of(features).into_iter().enumerate() {
            let moved = part.weights[i] * (value.clamp(part.low[i], part.high[i]) - part.mean[i]);
            if let Some(place) = top.iter().position(|(_, other)| moved.abs() > other.abs()) {
                top[place..].rotate_right(1);
                top[place] = (i, moved);
            }
        }
        top
    }

    /// Probability that the backlog exceeds `capacity` (ticks of service) within the horizon, read off how far
    /// rises exceeded what was to be expected on ticks that nothing was fitted to. Between 0.0005 and 0.975, beyond which those say
    /// nothing; 1 where the backlog exceeds it already.
    pub fn overflow_probability(&self, forecast: &Forecast, capacity: f64) -> f64 {
        let room = capacity - forecast.backlog;
        if room < 0.0 {
            return 1.0;
        }
        let short = room.ln_1p() - forecast.log_centre;
        let shortfalls = &self.file.exceedance;
        let above = shortfalls.partition_point(|s| *s <= short);
        let level = match (above.checked_sub(1), shortfalls.get(above)) {
            (None, _) => EXCEEDANCE_LEVELS[0] / 2.0,
            (Some(_), None) => (1.0 + EXCEEDANCE_LEVELS[EXCEEDANCE_LEVELS.len() - 1]) / 2.0,
            (Some(below), Some(&next)) => {
                // `next` is above `short` and the one below is not, so they differ.
                let share = (short - shortfalls[below]) / (next - shortfalls[below]);
                EXCEEDANCE_LEVELS[below] + share * (EXCEEDANCE_LEVELS[above] - EXCEEDANCE_LEVELS[below])
            }
        };
        1.0 - level
    }

    /// Ticks ahead that a forecast covers.
    pub fn horizon_ticks(&self) -> u32 {
        self.file.horizon_ticks
    }

    /// Whether it did better than every rule of thumb on families it had not seen.
    pub fn is_proven(&self) -> bool {
        self.file.standing == Standing::Proven
    }

    /// What the model file says.
    pub fn file(&self) -> &ModelFile {
        &self.file
    }
}

impl PartScale {
    /// Features as a part of this scale takes them.
    pub fn of(self, features: &Features) -> [f64; FEATURES] {
        match self {
            Self::Log => features.map(f64::ln_1p),
            Self::Linear => *features,
        }
    }

    /// A part's result on the log1p scale: never below 0, nor beyond what means anything.
    pub fn to_log(self, rise: f64) -> f64 {
        match self {
            Self::Log => rise.clamp(0.0, LOG_MAX),
            Self::Linear => rise.max(0.0).ln_1p().min(LOG_MAX),
        }
    }
}

impl Part {
    /// Result on the part's scale, and how many features were clipped.
    fn predict(&self, values: &Features) -> (f64, usize) {
        let (mut rise, mut clipped) = (self.intercept, 0);
        for (i, &value) in values.iter().enumerate() {
            let within = value.clamp(self.low[i], self.high[i]);
            clipped += usize::from(within != value);
            rise += self.weights[i] * within;
        }
        (rise, clipped)
    }
}
