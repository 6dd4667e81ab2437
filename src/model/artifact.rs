//! The model file: untrusted JSON in, a checked model out.

use serde::{Deserialize, Serialize};

use crate::model::{FEATURE_NAMES, FEATURES, OverflowModel, TICK_NS, feature_schema};

/// Version of the file format that this build reads and writes.
pub const FORMAT_VERSION: u32 = 1;
const FILE_BYTES_MAX: usize = 1 << 20;
const HORIZON_TICKS_MAX: u32 = 100_000;

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
    /// Ticks ahead that are predicted.
    pub horizon_ticks: u32,
    /// Quantile that is predicted, 0 to 1.
    pub tau: f64,
    /// What it was trained on.
    pub traces: Vec<TrainingTrace>,
    /// One entry a feature, in order.
    pub features: Vec<FeatureBounds>,
    /// Prediction for features at their means, log1p scale.
    pub intercept: f64,
    /// What lifts the regression to the quantile, log1p scale.
    pub conformal_offset: f64,
    /// Scores on families that were held out, as measured by the evaluation.
    pub held_out: Vec<Score>,
    /// CRC-32 of the file with this field 0.
    pub checksum: u32,
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

/// Range, scaling and weight of one feature.
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
    /// `ridge`, or a baseline.
    pub predictor: String,
    /// Mean pinball loss at tau, in ticks of service.
    pub pinball: f64,
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
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Makes a model of it, if everything in it is sound.
    ///
    /// # Errors
    /// Another format, feature schema, tick or checksum, or a number out of its range.
    pub fn check(self) -> Result<OverflowModel, ModelError> {
        let same = |field, found: &dyn ToString, expected: &dyn ToString| {
            let (found, expected) = (found.to_string(), expected.to_string());
            if found == expected { Ok(()) } else { Err(ModelError::Mismatch { field, found, expected }) }
        };
        same("format version", &self.format_version, &FORMAT_VERSION)?;
        same("feature schema", &self.feature_schema, &schema())?;
        same("tick, ns,", &self.tick_ns, &TICK_NS)?;
        same("number of features", &self.features.len(), &FEATURES)?;
        same("checksum", &self.checksum, &self.content_checksum())?;
        let within = |field: String, value: f64, low: f64, high: f64| {
            if value >= low && value <= high { Ok(()) } else { Err(ModelError::Absurd { field, value }) }
        };
        within("horizon_ticks".into(), self.horizon_ticks.into(), 1.0, HORIZON_TICKS_MAX.into())?;
        within("tau".into(), self.tau, 0.5, 0.999_999)?;
        within("intercept".into(), self.intercept, -1e6, 1e6)?;
        within("conformal_offset".into(), self.conformal_offset, -1e6, 1e6)?;
        for (feature, name) in self.features.iter().zip(FEATURE_NAMES) {
            same("feature", &feature.name, &name)?;
            let field = |part: &str| format!("{part} of {name}");
            within(field("low"), feature.low, 0.0, 100.0)?;
            within(field("high"), feature.high, feature.low, 100.0)?;
            within(field("mean"), feature.mean, 0.0, 100.0)?;
            within(field("scale"), feature.scale, 1e-9, 100.0)?;
            within(field("weight"), feature.weight, -1e6, 1e6)?;
        }
        Ok(OverflowModel::of_checked(self))
    }

    fn content_checksum(&self) -> u32 {
        let content = Self { checksum: 0, ..self.clone() };
        // Numbers are written so that they read back bit by bit; one that is not finite fails `check` by its range.
        crc32fast::hash(serde_json::to_string(&content).unwrap_or_default().as_bytes())
    }
}

impl OverflowModel {
    /// Reads a model file.
    ///
    /// # Errors
    /// It is not one, or not one that this build can use.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ModelError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(ModelError::TooLong { bytes: bytes.len() });
        }
        serde_json::from_slice::<ModelFile>(bytes)?.check()
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

impl Default for ModelFile {
    /// A file for this build's features that predicts nothing: to be filled in.
    fn default() -> Self {
        let feature =
            |name: &str| FeatureBounds { name: name.into(), low: 0.0, high: 0.0, mean: 0.0, scale: 1.0, weight: 0.0 };
        Self {
            format_version: FORMAT_VERSION,
            feature_schema: schema(),
            tick_ns: TICK_NS,
            horizon_ticks: 32,
            tau: 0.99,
            traces: Vec::new(),
            features: FEATURE_NAMES.into_iter().map(feature).collect(),
            intercept: 0.0,
            conformal_offset: 0.0,
            held_out: Vec::new(),
            checksum: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> ModelFile {
        let mut file = ModelFile { intercept: 0.5, conformal_offset: 0.25, ..ModelFile::default() };
        file.features[2] = FeatureBounds { high: 3.0, mean: 1.0, scale: 2.0, weight: 0.5, ..file.features[2].clone() };
        file.sealed()
    }

    #[test]
    fn a_model_survives_its_file_and_predicts_by_hand_arithmetic() {
        let json = file().to_json().unwrap();
        let model = OverflowModel::from_json(json.as_bytes()).unwrap();
        assert_eq!(model.file(), &file());
        let mut row = [0.0; FEATURES];
        row[2] = 5.0; // clipped to 3
        let forecast = model.forecast(&row);
        let log = 0.5 + 0.25 + 0.5 * (3.0 - 1.0) / 2.0;
        assert!((forecast.peak_backlog - f64::exp_m1(log)).abs() < 1e-12);
        assert_eq!(forecast.clipped, 1);
        assert_eq!(forecast.top[0], (2, 0.5));
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
        assert!(change(&|f| f.features.truncate(3)).contains("number of features is 3"));
        assert!(change(&|f| f.features[1].scale = 0.0).contains("scale of backlog_max_64 is 0"));
        assert!(change(&|f| f.features[0].weight = f64::NAN).contains("weight of backlog"));
        assert!(change(&|f| f.intercept = f64::INFINITY).contains("intercept"));
        assert!(change(&|f| f.tau = 1.0).contains("tau"));
    }

    #[test]
    fn damage_is_found_by_the_checksum() {
        let json = file().to_json().unwrap().replace("0.25", "0.26");
        let error = OverflowModel::from_json(json.as_bytes()).unwrap_err();
        assert!(matches!(error, ModelError::Mismatch { field: "checksum", .. }), "{error}");
        assert!(matches!(OverflowModel::from_json(b"{}"), Err(ModelError::Json(_))));
        assert!(matches!(OverflowModel::from_json(&vec![b' '; 2 << 20]), Err(ModelError::TooLong { .. })));
    }

    #[test]
    fn the_packaged_model_fits_this_build() {
        let model = OverflowModel::packaged().unwrap();
        assert!(!model.file().traces.is_empty() && !model.file().held_out.is_empty());
    }
}
