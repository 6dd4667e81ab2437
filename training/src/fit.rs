//! Ridge regression on standardised features, and the conformal offset that lifts it to the quantile.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_linear::{FittedLinearRegression, LinearRegression};
use ndarray::{Array1, Array2};
use tidegate::model::{FEATURES, Features, ModelFile};

use crate::TrainError;
use crate::params::ValidParams;
use crate::series::Series;

/// Share of each series, its end, that the offset is taken from and the regression never sees.
const CALIBRATION: f64 = 0.25;
/// Rows needed to fit at all.
const ROWS_MIN: usize = 500;
/// A feature that hardly varies is scaled by this rather than by its deviation.
const SCALE_MIN: f64 = 1e-3;

/// Fits a model to `series`: regression on the beginning of each, offset from the end, with a gap of the horizon
/// between, so that no label spans both.
///
/// # Errors
/// Too few rows, or linfa fails.
pub fn fit(series: &[&Series], params: &ValidParams) -> Result<ModelFile, TrainError> {
    let (train, calibration) = split(series, params);
    if train.len().min(calibration.len()) < ROWS_MIN {
        return Err(TrainError::TooLittle { needs: "500 rows each to fit and to calibrate", found: train.len() });
    }
    let mut file = ModelFile { horizon_ticks: params.horizon_ticks, tau: params.tau, ..ModelFile::default() };
    for (i, feature) in file.features.iter_mut().enumerate() {
        let column: Vec<f64> = train.iter().map(|(row, _)| row[i]).collect();
        let mean = column.iter().sum::<f64>() / column.len() as f64;
        let variance = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / column.len() as f64;
        feature.mean = mean;
        feature.scale = variance.sqrt().max(SCALE_MIN);
        feature.low = column.iter().copied().fold(f64::INFINITY, f64::min);
        feature.high = column.iter().copied().fold(0.0, f64::max);
    }
    let fitted = ridge(&file, &train, params.penalty)?;
    file.intercept = train.iter().map(|(_, label)| label).sum::<f64>() / train.len() as f64;
    for (feature, weight) in file.features.iter_mut().zip(fitted.params()) {
        feature.weight = *weight;
    }
    let mut residuals: Vec<f64> = calibration.iter().map(|(row, label)| label - predict(&file, row)).collect();
    file.conformal_offset = conformal_quantile(&mut residuals, params.tau);
    Ok(file)
}

/// Ridge regression as least squares on augmented rows: one more for each feature, sqrt(penalty n) in its column and
/// zero as its label (Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", exercise 3.12). Exact and
/// in one step, where coordinate descent takes minutes on columns as collinear as means over several windows are. The
/// columns are centred, so the intercept is the mean label.
fn ridge(file: &ModelFile, train: &Rows<'_>, penalty: f64) -> Result<FittedLinearRegression<f64>, TrainError> {
    let rows = train.len();
    let weight = (penalty * rows as f64).sqrt();
    let design = Array2::from_shape_fn((rows + FEATURES, FEATURES), |(row, i)| match train.get(row) {
        Some((features, _)) => (features[i] - file.features[i].mean) / file.features[i].scale,
        None => weight * f64::from(u8::from(row - rows == i)),
    });
    let mean = train.iter().map(|(_, label)| label).sum::<f64>() / rows as f64;
    let centred = train.iter().map(|(_, label)| label - mean);
    let labels = Array1::from_iter(centred.chain(std::iter::repeat_n(0.0, FEATURES)));
    let least_squares = LinearRegression::new().with_intercept(false);
    Ok(least_squares.fit(&Dataset::new(design, labels))?)
}

/// How far the regression predicts the backlog to rise, log1p scale, with whatever offset the file has.
pub fn predict(file: &ModelFile, row: &Features) -> f64 {
    let moved = file.features.iter().zip(row).map(|(f, x)| f.weight * (x.clamp(f.low, f.high) - f.mean) / f.scale);
    (file.intercept + file.conformal_offset + moved.sum::<f64>()).max(0.0)
}

/// The peak backlog that the model predicts, ticks of service.
pub fn predict_peak(file: &ModelFile, row: &Features) -> f64 {
    row[0].exp_m1() + predict(file, row).exp_m1()
}

/// The smallest residual that at least a share tau of n + 1 exchangeable ones stays below (Lei et al., 2018, section 2).
pub fn conformal_quantile(residuals: &mut [f64], tau: f64) -> f64 {
    residuals.sort_by(f64::total_cmp);
    let rank = ((residuals.len() + 1) as f64 * tau).ceil() as usize;
    residuals.get(rank.saturating_sub(1)).or(residuals.last()).copied().unwrap_or(0.0)
}

type Rows<'a> = Vec<(&'a Features, f64)>;

fn split<'a>(series: &[&'a Series], params: &ValidParams) -> (Rows<'a>, Rows<'a>) {
    let (mut train, mut calibration) = (Vec::new(), Vec::new());
    for one in series {
        let cut = (one.rows.len() as f64 * (1.0 - CALIBRATION)) as usize;
        let gap = (params.horizon_ticks as usize).div_ceil(one.stride);
        let pairs = || one.rows.iter().zip(one.labels.iter().copied());
        train.extend(pairs().take(cut.saturating_sub(gap)));
        calibration.extend(pairs().skip(cut));
    }
    (train, calibration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conformal_quantile_is_the_rank_of_the_literature() {
        let mut residuals: Vec<f64> = (1..=99).rev().map(f64::from).collect();
        assert_eq!(conformal_quantile(&mut residuals, 0.9), 90.0);
        assert_eq!(conformal_quantile(&mut residuals, 0.995), 99.0);
    }
}
