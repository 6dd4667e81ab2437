//! Standardised columns, as every method fits them.

use ndarray::{Array2, Axis};
use tidegate::model::{FEATURES, ModelPart};

use super::Row;

/// A feature that hardly varies is scaled by this rather than by its deviation.
const SCALE_MIN: f64 = 1e-3;

/// What a method found: for features at their means, and per standard deviation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weights {
    pub(crate) intercept: f64,
    pub(crate) of_features: Vec<f64>,
}

/// Rows to fit to: shape (rows, features), each column with mean 0 and deviation 1, and the labels.
pub(crate) struct Design {
    pub(crate) columns: Array2<f64>,
    pub(crate) labels: Vec<f64>,
    /// Labels of nearer horizons.
    pub(crate) nearer: Vec<[f64; 2]>,
}

impl Design {
    /// Standardises `rows` on the scale of `part`, and enters ranges, means and scales in it.
    pub(super) fn new(rows: &[Row<'_>], part: &mut ModelPart) -> Self {
        let values: Vec<[f64; FEATURES]> = rows.iter().map(|row| part.scale.of(row.features)).collect();
        for (i, feature) in part.features.iter_mut().enumerate() {
            let column = || values.iter().map(|row| row[i]);
            let mean = column().sum::<f64>() / rows.len() as f64;
            let variance = column().map(|x| (x - mean).powi(2)).sum::<f64>() / rows.len() as f64;
            feature.mean = mean;
            feature.scale = variance.sqrt().max(SCALE_MIN);
            feature.low = column().fold(f64::INFINITY, f64::min);
            feature.high = column().fold(0.0, f64::max);
        }
        let standardised = |(row, i): (usize, usize)| (values[row][i] - part.features[i].mean) / part.features[i].scale;
        Self {
            columns: Array2::from_shape_fn((rows.len(), FEATURES), standardised),
            labels: rows.iter().map(|row| row.label_on(part.scale)).collect(),
            nearer: rows.iter().map(|row| row.nearer).collect(),
        }
    }

    /// At most `rows_max` rows of it, evenly spaced, for methods that take long.
    pub(super) fn thinned(&self, rows_max: usize) -> Self {
        let stride = self.labels.len().div_ceil(rows_max).max(1);
        let kept: Vec<usize> = (0..self.labels.len()).step_by(stride).collect();
        Self {
            columns: self.columns.select(Axis(0), &kept),
            labels: kept.iter().map(|&row| self.labels[row]).collect(),
            nearer: kept.iter().map(|&row| self.nearer[row]).collect(),
        }
    }

    /// Predictions of `weights`, one a row.
    pub(super) fn predict(&self, weights: &Weights) -> Vec<f64> {
        let of = |row: ndarray::ArrayView1<'_, f64>| -> f64 {
            weights.intercept + row.iter().zip(&weights.of_features).map(|(x, w)| x * w).sum::<f64>()
        };
        self.columns.axis_iter(Axis(0)).map(of).collect()
    }
}
