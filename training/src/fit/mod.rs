//! From series to a model file: linear fits of the rise of the backlog by one of several methods, and the conformal
//! offset that lifts them to the quantile.

mod conformal;
mod design;
mod elastic_net;
mod quantile;
mod ridge;

pub use conformal::conformal_quantile;
pub(crate) use design::Design;
use design::Weights;
pub(crate) use ridge::fit as fit_ridge;

use tidegate::model::{EXCEEDANCE_LEVELS, Features, ModelFile, ModelPart, OverflowModel, PartScale};

use crate::TrainError;
use crate::params::ValidParams;
use crate::series::Series;

/// Share of each series, its end, that offsets are taken from and regressions never see.
const CALIBRATION: f64 = 0.25;
/// Rows needed to fit at all.
const ROWS_MIN: usize = 200;
/// Rows below which the penalty a row grows.
const PRIOR_ROWS: f64 = 20_000.0;
/// Weights of standardised columns beyond this, as a multiple of the labels' mean, come of columns that cannot be told
/// apart, not of traffic.
const WEIGHT_MAX: f64 = 1e4;

/// A way to fit the linear model. All yield the same form, so the live forecast need not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Ridge regression of the log rise, lifted to the quantile by its conformal offset.
    Ridge,
    /// Quantile regression of the log rise by iteratively reweighted least squares; ridge where that does not improve on
    /// it.
    Quantile,
    /// Elastic net of the log rise within several horizons at once, for features that help all of them.
    ElasticNet,
    /// Mean of two quantile regressions, of the rise and of its logarithm: the one is steady where the other leaps.
    Blend,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ridge, Self::Quantile, Self::ElasticNet, Self::Blend];

    /// Its name in reports and model files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ridge => "ridge",
            Self::Quantile => "quantile",
            Self::ElasticNet => "elastic_net",
            Self::Blend => "blend",
        }
    }
}

/// Fits a model to `series`: regression on the beginning of each, offset from the end, with a gap of the horizon
/// between, so that no label spans both. A quantile regression needs no offset on the log scale, and is then fitted anew
/// to all rows.
///
/// # Errors
/// Too few rows, linfa fails, or the fit is degenerate.
pub fn fit(series: &[&Series], method: Method, params: &ValidParams) -> Result<OverflowModel, TrainError> {
    let (train, calibration) = split(series, params);
    let rows = train.len().min(calibration.len());
    if rows < ROWS_MIN {
        return Err(TrainError::TooLittle { needs: "200 rows each to fit and to calibrate", found: rows });
    }
    let calibrated = |method, scale| -> Result<ModelPart, TrainError> {
        let mut part = part(method, scale, &train, params)?;
        part.conformal_offset = offset(&part, &calibration, params.tau);
        Ok(part)
    };
    let parts = match method {
        Method::Ridge | Method::ElasticNet => vec![calibrated(method, PartScale::Log)?],
        Method::Quantile | Method::Blend => {
            let everything: Vec<Row<'_>> = train.iter().chain(&calibration).copied().collect();
            let mut parts = vec![part(Method::Quantile, PartScale::Log, &everything, params)?];
            if method == Method::Blend {
                parts.push(calibrated(Method::Quantile, PartScale::Linear)?);
            }
            parts
        }
    };
    let centre = match method {
        Method::Ridge => ModelPart { conformal_offset: 0.0, ..parts[0].clone() },
        _ => part(Method::Ridge, PartScale::Log, &train, params)?,
    };
    let mut above: Vec<f64> = calibration.iter().map(|row| row.label - predict(&centre, row.features)).collect();
    let file = ModelFile {
        method: method.name().into(),
        horizon_ticks: params.horizon_ticks,
        tau: params.tau,
        parts,
        centre,
        exceedance: EXCEEDANCE_LEVELS.map(|level| conformal_quantile(&mut above, level)).to_vec(),
        ..ModelFile::default()
    };
    Ok(file.sealed().check()?)
}

/// Fits one part, without an offset.
fn part(method: Method, scale: PartScale, rows: &[Row<'_>], params: &ValidParams) -> Result<ModelPart, TrainError> {
    let mut part = ModelPart::new(scale);
    let design = Design::new(rows, &mut part);
    // The prior that weights are small is worth as much whatever the number of rows, where these are few.
    let penalty = params.penalty * (PRIOR_ROWS / rows.len() as f64).max(1.0);
    let weights = match method {
        Method::Ridge => ridge::fit(&design, penalty)?,
        Method::ElasticNet => elastic_net::fit(&design, penalty)?,
        Method::Quantile | Method::Blend => quantile::fit(&design, penalty, params.tau)?,
    };
    refuse_degenerate(method, &weights, &design)?;
    part.intercept = weights.intercept;
    for (feature, weight) in part.features.iter_mut().zip(&weights.of_features) {
        feature.weight = *weight;
    }
    Ok(part)
}

fn refuse_degenerate(method: Method, weights: &Weights, design: &Design) -> Result<(), TrainError> {
    let largest = weights.of_features.iter().copied().map(f64::abs).fold(0.0, f64::max);
    let mean = design.labels.iter().sum::<f64>() / design.labels.len() as f64;
    let found = if !weights.intercept.is_finite() || !weights.of_features.iter().all(|w| w.is_finite()) {
        "a weight that is no number"
    } else if largest > WEIGHT_MAX * mean.max(1e-3) {
        "weights of 10,000 times the mean rise"
    } else if design.labels.iter().all(|label| *label == design.labels[0]) {
        "only one label"
    } else {
        return Ok(());
    };
    Err(TrainError::Degenerate { method: method.name(), found })
}

/// What lifts a part to the quantile on rows it has not seen.
fn offset(part: &ModelPart, calibration: &[Row<'_>], tau: f64) -> f64 {
    let residual = |row: &Row<'_>| row.label_on(part.scale) - predict(part, row.features);
    conformal_quantile(&mut calibration.iter().map(residual).collect::<Vec<_>>(), tau)
}

fn predict(part: &ModelPart, row: &Features) -> f64 {
    let values = part.scale.of(row);
    let moved = part.features.iter().zip(values).map(|(f, x)| f.weight * (x.clamp(f.low, f.high) - f.mean) / f.scale);
    part.intercept + part.conformal_offset + moved.sum::<f64>()
}

/// One row to fit or to calibrate with.
#[derive(Debug, Clone, Copy)]
struct Row<'a> {
    features: &'a Features,
    /// log1p of the rise within the horizon.
    label: f64,
    /// log1p of the rise within a quarter and within half of the horizon.
    nearer: [f64; 2],
}

impl Row<'_> {
    fn label_on(&self, scale: PartScale) -> f64 {
        if scale == PartScale::Log { self.label } else { self.label.exp_m1() }
    }
}

fn split<'a>(series: &[&'a Series], params: &ValidParams) -> (Vec<Row<'a>>, Vec<Row<'a>>) {
    let (mut train, mut calibration) = (Vec::new(), Vec::new());
    for one in series {
        let cut = (one.rows.len() as f64 * (1.0 - CALIBRATION)) as usize;
        let gap = (params.horizon_ticks as usize).div_ceil(one.stride);
        let rows = || {
            let labels = one.labels.iter().zip(&one.nearer);
            one.rows.iter().zip(labels).map(|(features, (&label, &nearer))| Row { features, label, nearer })
        };
        train.extend(rows().take(cut.saturating_sub(gap)));
        calibration.extend(rows().skip(cut));
    }
    (train, calibration)
}
