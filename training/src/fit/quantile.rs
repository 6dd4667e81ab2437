//! Linear quantile regression by iteratively reweighted least squares.

use super::{Design, Weights, ridge};
use crate::TrainError;
use crate::baselines::pinball;

/// Rows used: every round is a fit of its own.
const ROWS_MAX: usize = 20_000;
/// Rounds at most. A watchdog: the loss settles in about a dozen.
const ROUNDS_MAX: usize = 40;
/// Residuals count as at least this large in the weights, as a multiple of the labels' deviation; a third less each
/// round down to the second.
const SMOOTHING: (f64, f64) = (0.5, 0.005);
/// A relative gain smaller than this ends the rounds.
const GAIN_MIN: f64 = 1e-4;

/// The plane with the least pinball loss at `tau` that the rounds found (Schlossmacher, "An iterative technique for
/// absolute deviations curve fitting", 1973, with asymmetric weights); the ridge plane if none improved on it.
pub(super) fn fit(design: &Design, penalty: f64, tau: f64) -> Result<Weights, TrainError> {
    let design = design.thinned(ROWS_MAX);
    let loss = |weights: &Weights| -> f64 {
        let predicted = design.predict(weights);
        design.labels.iter().zip(predicted).map(|(label, predicted)| pinball(*label, predicted, tau)).sum()
    };
    let mut current = ridge::fit(&design, penalty)?;
    let mut best = (loss(&current), current.clone());
    let mean = design.labels.iter().sum::<f64>() / design.labels.len() as f64;
    let variance = design.labels.iter().map(|label| (label - mean).powi(2)).sum::<f64>() / design.labels.len() as f64;
    let deviation = variance.sqrt().max(f64::MIN_POSITIVE);
    let mut smoothing = SMOOTHING.0;
    for _ in 0..ROUNDS_MAX {
        let residuals = design.labels.iter().zip(design.predict(&current)).map(|(label, predicted)| label - predicted);
        let reweighted: Vec<f64> = residuals
            .map(|off| if off >= 0.0 { tau } else { 1.0 - tau } / off.abs().max(smoothing * deviation))
            .collect();
        current = ridge::fit_weighted(&design, &reweighted, penalty)?;
        let found = loss(&current);
        let gain = (best.0 - found) / best.0.max(f64::MIN_POSITIVE);
        if found < best.0 {
            best = (found, current.clone());
        }
        if smoothing <= SMOOTHING.1 && gain.abs() < GAIN_MIN {
            break;
        }
        smoothing = (smoothing / 1.5).max(SMOOTHING.1);
    }
    Ok(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::ridge::tests::design;

    #[test]
    fn the_quantile_is_found_where_it_is_steeper_than_the_mean() {
        // Noise uniform on (-1, 1), scaled by 1 + a/2: its 0.9 quantile is 0.8 (1 + a/2).
        let fanned = design(20_000, |a, b, noise| b + noise * (1.0 + a / 2.0));
        let found = fit(&fanned, 1e-6, 0.9).unwrap();
        assert!((found.intercept - 0.8).abs() < 0.05, "{found:?}");
        assert!((found.of_features[0] - 0.4).abs() < 0.05, "{found:?}");
        assert!((found.of_features[1] - 1.0).abs() < 0.05, "{found:?}");
    }
}
