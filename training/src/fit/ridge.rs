//! Ridge regression by linfa's least squares.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2};

use super::{Design, Weights};
use crate::TrainError;

/// Ridge regression (Hoerl and Kennard, 1970) of every row alike.
pub(crate) fn fit(design: &Design, penalty: f64) -> Result<Weights, TrainError> {
    fit_weighted(design, &vec![1.0; design.labels.len()], penalty)
}

/// Ridge regression with a weight a row, as least squares on augmented rows: one more for each feature, sqrt(penalty *
/// sum of weights) in its column and zero as its label (Hastie, Tibshirani and Friedman, "The Elements of Statistical
/// Learning", exercise 3.12). Exact and in one step, where coordinate descent takes minutes on columns as collinear as
/// means over several windows are. The intercept is a column of its own, which is not penalised.
pub(super) fn fit_weighted(design: &Design, weights: &[f64], penalty: f64) -> Result<Weights, TrainError> {
    let (rows, features) = design.columns.dim();
    let ridge = (penalty * weights.iter().sum::<f64>()).sqrt();
    let roots: Vec<f64> = weights.iter().map(|w| w.sqrt()).collect();
    let augmented = Array2::from_shape_fn((rows + features, features + 1), |(row, i)| match roots.get(row) {
        Some(root) if i == features => *root,
        Some(root) => root * design.columns[(row, i)],
        None => ridge * f64::from(u8::from(row - rows == i)),
    });
    let labels = design.labels.iter().zip(&roots).map(|(label, root)| label * root);
    let labels = Array1::from_iter(labels.chain(std::iter::repeat_n(0.0, features)));
    let fitted = LinearRegression::new().with_intercept(false).fit(&Dataset::new(augmented, labels))?;
    let mut of_features = fitted.params().to_vec();
    let intercept = of_features.pop().unwrap_or(f64::NAN);
    Ok(Weights { intercept, of_features })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::fit) fn design(rows: usize, label: impl Fn(f64, f64, f64) -> f64) -> Design {
        // Two independent columns and noise, from a multiplicative congruential generator (Lehmer).
        let mut state = 48_271u64;
        let mut next = || {
            state = state * 48_271 % 2_147_483_647;
            state as f64 / 2_147_483_647.0 * 2.0 - 1.0
        };
        let drawn: Vec<[f64; 3]> = (0..rows).map(|_| [next(), next(), next()]).collect();
        Design {
            columns: Array2::from_shape_fn((rows, 2), |(row, i)| drawn[row][i]),
            labels: drawn.iter().map(|[a, b, noise]| label(*a, *b, *noise)).collect(),
            nearer: drawn.iter().map(|[a, b, noise]| [label(*a, *b, *noise) / 2.0; 2]).collect(),
        }
    }

    #[test]
    fn a_plane_is_found_and_the_penalty_shrinks_it() {
        let plane = design(2000, |a, b, _| 3.0 + 2.0 * a - b);
        let free = fit(&plane, 1e-9).unwrap();
        assert!((free.intercept - 3.0).abs() < 1e-6 && (free.of_features[0] - 2.0).abs() < 1e-6, "{free:?}");
        let held = fit(&plane, 1.0).unwrap();
        assert!(held.of_features[0] > 0.2 && held.of_features[0] < 1.0, "{held:?}");
    }
}
