//! Multi-task elastic net: the rise within a quarter, half and the whole of the horizon, fitted together.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_elasticnet::MultiTaskElasticNet;
use ndarray::Array2;

use super::{Design, Weights};
use crate::TrainError;

/// Rows used: coordinate descent is slow on collinear columns.
const ROWS_MAX: usize = 20_000;
/// Rounds of coordinate descent at most: a watchdog.
const ROUNDS_MAX: u32 = 300;
/// Share of the penalty on the number of features used rather than on their size.
const L1_RATIO: f64 = 0.5;
/// The task that the forecast asks for: the whole horizon.
const WHOLE_HORIZON: usize = 2;

/// Elastic net with one group of weights a feature (Obozinski, Taskar and Jordan, "Joint covariate selection for
/// grouped classification", 2007): a feature is used for all horizons or for none.
pub(super) fn fit(design: &Design, penalty: f64) -> Result<Weights, TrainError> {
    let design = design.thinned(ROWS_MAX);
    let task = |(row, task): (usize, usize)| match task {
        WHOLE_HORIZON => design.labels[row],
        nearer => design.nearer[row][nearer],
    };
    let tasks = Array2::from_shape_fn((design.labels.len(), 3), task);
    let net = MultiTaskElasticNet::params().penalty(penalty).l1_ratio(L1_RATIO).max_iterations(ROUNDS_MAX);
    let fitted = net.fit(&Dataset::new(design.columns.clone(), tasks))?;
    Ok(Weights {
        intercept: fitted.intercept()[WHOLE_HORIZON],
        of_features: fitted.hyperplane().column(WHOLE_HORIZON).to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::ridge::tests::design;

    #[test]
    fn a_feature_that_helps_no_horizon_is_left_out() {
        let plane = design(4000, |a, _, noise| 1.0 + 2.0 * a + noise);
        let found = fit(&plane, 0.05).unwrap();
        assert!(found.of_features[0] > 1.5, "{found:?}");
        assert_eq!(found.of_features[1], 0.0, "{found:?}");
    }
}
