//! The model file: untrusted JSON in, a checked model out.

use serde::{Deserialize, Serialize};

use crate::model::forecast::PARTS_MAX;
use crate::model::sealed::{FILE_BYTES_MAX, checksum_of, read, same, text_of};
use crate::model::{EXCEEDANCE_LEVELS, FEATURE_NAMES, FEATURES, OverflowModel, TICK_NS, feature_schema};

/// Version of the file format that this build reads and writes.
pub const FORMAT_VERSION: u32 = 2;
const HORIZON_TICKS_MAX: u32 = 100_000;
/// Largest features that a model may speak of: as they are, and their log1p.
const FEATURE_MAX: f64 = 1e12;
const LOG_FEATURE_MAX: f64 = 100.0;

/// An overflow model as it stands in its file. [`ModelFile::check`] makes it usable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// [`feature_schema`] of the build that trained it, in hexadecimal.
    pub feature_schema: String,
    /// Tick of training, nanoseconds.
    pub tick_ns: u64,
    /// How it was fitted: `ridge`, `quantile`, `elastic_net` or `blend`.
    pub method: String,
    /// Ticks ahead that are predicted.
    pub horizon_ticks: u32,
    /// Quantile that is predicted, 0 to 1.
    pub tau: f64,
    /// Whether it may be in charge.
    pub standing: Standing,
    /// What it was trained on.
    pub traces: Vec<TrainingTrace>,
    /// Linear models whose mean on the log1p scale is the forecast; one to four.
    pub parts: Vec<ModelPart>,
    /// What rise is to be expected; on the log scale. The overflow probability is read off it and the next field.
    pub centre: ModelPart,
    /// How far rises exceeded the centre, log1p scale, at each of [`EXCEEDANCE_LEVELS`]; ascending.
    pub exceedance: Vec<f64>,
    /// Scores on families that were held out, as measured by the evaluation.
    pub held_out: Vec<Score>,
    /// CRC-32 of the file with this field 0.
    pub checksum: u32,
}

/// Whether a model did better than every rule of thumb on families it had not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It did, with the whole interval of the difference.
    Proven,
    /// It did not: it may be looked at, and the rule of thumb stays in charge.
    Candidate,
}

/// A trace that a model was trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingTrace {
    /// File name without its suffix.
    pub name: String,
    /// Origin that it shares with related traces.
    pub family: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

/// One linear model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPart {
    /// What it takes and yields.
    pub scale: PartScale,
    /// Prediction for features at their means, on the part's scale.
    pub intercept: f64,
    /// What lifts the regression to the quantile, on the part's scale.
    pub conformal_offset: f64,
    /// One entry a feature, in order.
    pub features: Vec<FeatureBounds>,
}

/// What a part takes and yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartScale {
    /// log1p of the features, log1p of the rise.
    Log,
    /// Features and rise as they are, in ticks of service.
    Linear,
}

/// Range, scaling and weight of one feature, on the part's scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureBounds {
    /// Name, as in [`FEATURE_NAMES`].
    pub name: String,
    /// Values below are clipped.
    pub low: f64,
    /// Values above are clipped.
    pub high: f64,
    /// Mean in training.
    pub mean: f64,
    /// Standard deviation in training; positive.
    pub scale: f64,
    /// Weight of the standardised feature.
    pub weight: f64,
}

/// How one predictor did on one held-out family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// The family that was not trained on.
    pub family: String,
    /// `model`, or a baseline.
    pub predictor: String,
    /// Mean pinball loss at tau, in ticks of service.
    pub pinball: f64,
    /// Its 95 % interval.
    pub pinball_interval: [f64; 2],
    /// Share of ticks whose peak was at most the prediction; tau is the aim.
    pub coverage: f64,
}

/// A model file cannot be used. The heuristic stays in charge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Longer than any model.
    #[error("the model file has {bytes} bytes, at most {FILE_BYTES_MAX} are read: is it a model?")]
    TooLong {
        /// Length of the file.
        bytes: usize,
    },
    /// Not the JSON of a model.
    #[error("not a model file: {0}")]
    Json(#[from] serde_json::Error),
    /// Made by or for another build.
    #[error("the model's {field} is {found}, this build needs {expected}: train it anew with `tidegate train`")]
    Mismatch {
        /// Which field.
        field: &'static str,
        /// Its value.
        found: String,
        /// The value this build needs.
        expected: String,
    },
    /// The same model in other bytes than training writes.
    #[error(
        "the file is not as it was written: something changed it since, so write it anew with `tidegate train`, or `calibrate`"
    )]
    Rewritten,
    /// A number that no training yields.
    #[error("the model's {field} is {value}, which no training yields: train it anew with `tidegate train`")]
    Absurd {
        /// Which field.
        field: String,
        /// Its value.
        value: f64,
    },
}

impl ModelFile {
    /// Sets the checksum of what the other fields hold.
    pub fn sealed(mut self) -> Self {
        self.checksum = self.content_checksum();
        self
    }

    /// The file's text.
    ///
    /// # Errors
    /// A number is not finite, which JSON cannot hold.
    pub fn to_json(&self) -> Result<String, ModelError> {
        text_of(self)
    }

    /// Makes a model of it, if everything in it is sound.
    ///
    /// # Errors
    /// Another format, feature schema, tick or checksum, or a number out of its range.
    pub fn check(self) -> Result<OverflowModel, ModelError> {
        same("format version", &self.format_version, &FORMAT_VERSION)?;
        same("feature schema", &self.feature_schema, &schema())?;
        same("tick, ns,", &self.tick_ns, &TICK_NS)?;
        if self.checksum != self.content_checksum() {
            return Err(ModelError::Rewritten);
        }
        same("number of exceedance levels", &self.exceedance.len(), &EXCEEDANCE_LEVELS.len())?;
        let within = |field: String, value: f64, low: f64, high: f64| {
            if value >= low && value <= high { Ok(()) } else { Err(ModelError::Absurd { field, value }) }
        };
        within("horizon_ticks".into(), self.horizon_ticks.into(), 1.0, HORIZON_TICKS_MAX.into())?;
        within("tau".into(), self.tau, 0.5, 0.999_999)?;
        within("number of parts".into(), self.parts.len() as f64, 1.0, PARTS_MAX as f64)?;
        let mut below = -1e6;
        for (level, &residual) in EXCEEDANCE_LEVELS.iter().zip(&self.exceedance) {
            within(format!("exceedance at {level}"), residual, below, 1e6)?;
            below = residual;
        }
        if self.centre.scale != PartScale::Log {
            return Err(ModelError::Mismatch {
                field: "scale of the centre",
                found: "linear".into(),
                expected: "log".into(),
            });
        }
        for part in self.parts.iter().chain([&self.centre]) {
            let largest = if part.scale == PartScale::Log { LOG_FEATURE_MAX } else { FEATURE_MAX };
            same("number of features", &part.features.len(), &FEATURES)?;
            within("intercept".into(), part.intercept, -1e12, 1e12)?;
            within("conformal_offset".into(), part.conformal_offset, -1e12, 1e12)?;
            for (feature, name) in part.features.iter().zip(FEATURE_NAMES) {
                same("feature", &feature.name, &name)?;
                let field = |part: &str| format!("{part} of {name}");
                within(field("low"), feature.low, 0.0, largest)?;
                within(field("high"), feature.high, feature.low, largest)?;
                within(field("mean"), feature.mean, 0.0, largest)?;
                within(field("scale"), feature.scale, 1e-9, largest)?;
                within(field("weight"), feature.weight, -1e12, 1e12)?;
            }
        }
        Ok(OverflowModel::of_checked(self))
    }

    fn content_checksum(&self) -> u32 {
        checksum_of(&Self { checksum: 0, ..self.clone() })
    }
}

impl OverflowModel {
    /// Reads a model file.
    ///
    /// # Errors
    /// It is not one, or not one that this build can use.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ModelError> {
        read(bytes, ModelFile::check)
    }

    /// The model that comes with the library, `models/overflow.json`.
    ///
    /// # Errors
    /// It was trained for another build.
    pub fn packaged() -> Result<Self, ModelError> {
        Self::from_json(include_bytes!("../../models/overflow.json"))
    }
}

/// The schema as files hold it.
fn schema() -> String {
    format!("{:016x}", feature_schema())
}

impl ModelPart {
    /// A part for this build's features that predicts nothing: to be filled in.
    pub fn new(scale: PartScale) -> Self {
        let feature =
            |name: &str| FeatureBounds { name: name.into(), low: 0.0, high: 0.0, mean: 0.0, scale: 1.0, weight: 0.0 };
        Self {
            scale,
            intercept: 0.0,
            conformal_offset: 0.0,
            features: FEATURE_NAMES.into_iter().map(feature).collect(),
        }
    }
}

impl Default for ModelFile {
    /// A file without parts: to be filled in.
    fn default() -> Self {
        Self {
            format_version: FORMAT_VERSION,
            feature_schema: schema(),
            tick_ns: TICK_NS,
            method: "ridge".into(),
            horizon_ticks: 32,
            tau: 0.99,
            standing: Standing::Candidate,
            traces: Vec::new(),
            parts: Vec::new(),
            centre: ModelPart::new(PartScale::Log),
            exceedance: vec![0.0; EXCEEDANCE_LEVELS.len()],
            held_out: Vec::new(),
            checksum: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> ModelFile {
        let mut part = ModelPart { intercept: 0.5, conformal_offset: 0.25, ..ModelPart::new(PartScale::Log) };
        part.features[2] = FeatureBounds { high: 3.0, mean: 1.0, scale: 2.0, weight: 0.5, ..part.features[2].clone() };
        let exceedance = (0..EXCEEDANCE_LEVELS.len()).map(|i| i as f64 / 10.0).collect();
        ModelFile { parts: vec![part], exceedance, ..ModelFile::default() }.sealed()
    }

    /// A row that no cap on the rise touches.
    fn row() -> [f64; FEATURES] {
        let mut row = [0.0; FEATURES];
        row[9] = 1e6;
        row
    }

    #[test]
    fn a_model_survives_its_file_and_predicts_by_hand_arithmetic() {
        let json = file().to_json().unwrap();
        let model = OverflowModel::from_json(json.as_bytes()).unwrap();
        assert_eq!(model.file(), &file());
        let mut row = row();
        row[2] = 5f64.exp_m1(); // its log1p is clipped to 3
        let forecast = model.forecast(&row);
        let log = 0.5 + 0.25 + 0.5 * (3.0 - 1.0) / 2.0;
        assert!((forecast.peak_backlog - f64::exp_m1(log)).abs() < 1e-12);
        assert_eq!(forecast.clipped, 2);
        assert_eq!(model.top_contributions(&row)[0], (2, 0.5));
    }

    #[test]
    fn parts_are_averaged_on_the_log_scale_and_a_rise_has_an_end() {
        let mut two = file();
        two.parts.push(ModelPart { intercept: 3.0, ..ModelPart::new(PartScale::Linear) });
        let model = two.sealed().check().unwrap();
        // The first part at a feature of 0 is a quarter of a deviation times 0.5 below its intercept.
        let log = (0.75 - 0.25 + 3f64.ln_1p()) / 2.0;
        assert!((model.forecast(&row()).log_rise - log).abs() < 1e-12);
        assert_eq!(model.forecast(&[0.0; FEATURES]).peak_backlog, 0.0);
    }

    #[test]
    fn the_overflow_probability_falls_with_capacity_and_reads_the_levels() {
        let model = file().check().unwrap();
        let forecast = model.forecast(&row());
        let at_short = |short: f64| model.overflow_probability(&forecast, (forecast.log_centre + short).exp_m1());
        assert!((at_short(0.5) - 0.5).abs() < 1e-9); // the level at 0.5 is 0.5
        assert!((at_short(0.05) - (1.0 - 0.075)).abs() < 1e-9);
        assert!(at_short(9.0) < 0.001 && at_short(-0.4) > 0.95);
        let mut before = 1.0;
        for capacity in (0..60).map(|c| f64::from(c) * 0.2) {
            let now = model.overflow_probability(&forecast, capacity);
            assert!(now <= before);
            before = now;
        }
    }

    #[test]
    fn every_unsound_field_is_refused_by_name() {
        let change = |change: &dyn Fn(&mut ModelFile)| {
            let mut file = file();
            change(&mut file);
            file.sealed().check().unwrap_err().to_string()
        };
        assert!(change(&|f| f.format_version = 9).contains("format version is 9"));
        assert!(change(&|f| f.feature_schema = "0".into()).contains("feature schema is 0"));
        assert!(change(&|f| f.parts.clear()).contains("number of parts is 0"));
        assert!(change(&|f| f.parts[0].features.truncate(3)).contains("number of features is 3"));
        assert!(change(&|f| f.parts[0].features[1].scale = 0.0).contains("scale of backlog_max_64 is 0"));
        assert!(change(&|f| f.parts[0].features[0].weight = f64::NAN).contains("weight of backlog"));
        assert!(change(&|f| f.parts[0].intercept = f64::INFINITY).contains("intercept"));
        assert!(change(&|f| f.exceedance[3] = 0.0).contains("exceedance at 0.3"));
        assert!(change(&|f| f.tau = 1.0).contains("tau"));
    }

    #[test]
    fn every_flip_of_a_bit_is_found() {
        let json = file().to_json().unwrap().into_bytes();
        for bit in 0..json.len() * 8 {
            let mut flipped = json.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(OverflowModel::from_json(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn what_is_no_model_is_refused() {
        assert!(matches!(OverflowModel::from_json(b"{}"), Err(ModelError::Json(_))));
        assert!(matches!(OverflowModel::from_json(&vec![b' '; 2 << 20]), Err(ModelError::TooLong { .. })));
    }

    #[test]
    fn the_packaged_model_fits_this_build() {
        let model = OverflowModel::packaged().unwrap();
        assert!(!model.file().traces.is_empty() && !model.file().held_out.is_empty());
    }
}
